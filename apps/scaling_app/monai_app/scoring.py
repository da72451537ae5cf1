"""Scoring method `sufficiency`: what is known about the next case, for clients that know only MONAI Label."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from monailabel.interfaces.tasks.scoring import ScoringMethod

if TYPE_CHECKING:
    from monailabel.interfaces.datastore import Datastore


class SufficiencyScoring(ScoringMethod):
    """Answers with the newest forecast; the computing is done elsewhere, so this takes milliseconds.

    Args:
        shown: the short form that `/info/` is about to show.
        payload: the whole of it, brought up to date first where the server does not do so itself.
    """

    def __init__(self, shown: Callable[[], dict], payload: Callable[[], dict]) -> None:
        super().__init__("What the next labelled case is worth")
        self._shown = shown
        self._payload = payload

    def info(self) -> dict:
        """The description, and the newest summary as `result`."""
        return {**super().info(), "result": self._shown()}

    def __call__(self, request: dict, datastore: Datastore) -> dict:
        """The newest forecast."""
        return self._payload()
