"""The rules for the next case as MONAI Label asks them; it calls them active-learning strategies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monailabel.interfaces.tasks.strategy import Strategy

if TYPE_CHECKING:
    from monailabel.interfaces.datastore import Datastore

    from scaling_app.studies.next_case import NextCaseRule


class NextCase(Strategy):
    """One rule."""

    def __init__(self, rule: NextCaseRule) -> None:
        super().__init__(rule.description)
        self._rule = rule

    def __call__(self, request: dict, datastore: Datastore) -> dict:
        """What the rule answers; it knows the studies itself."""
        return self._rule(request)
