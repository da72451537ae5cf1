"""One image under two names: its cases stay on one side of every split, as those of one patient do."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from scaling_app.imaging.same_content import Known, same_images
from scaling_app.storage import write_whole_text
from scaling_app.trials.case_files import CaseFiles

logger = logging.getLogger(__name__)

_NAMED = 5


class Twins:
    """Finds the cases of the same image.

    Args:
        memory: file that remembers what the images hold, so that each is read once; `keep` writes it.
    """

    def __init__(self, memory: Path | None = None) -> None:
        self.memory = memory
        self._known: Known = _remembered(memory)

    def together(
        self, cases: Sequence[CaseFiles], on_case: Callable[[int, int], None] | None = None
    ) -> list[CaseFiles]:
        """The cases, those of the same image under one patient, with the other cases of their patients.

        Twins of different patients are named in the log.
        """
        patients = {case.case_id: case.patient for case in cases}
        groups = same_images({case.case_id: case.image for case in cases}, self._known, on_case)
        groups = [names for names in groups if len({patients[name] for name in names}) > 1]
        if groups:
            named = "; ".join(" and ".join(names) for names in groups[:_NAMED])
            more = f"; and {len(groups) - _NAMED} more" if len(groups) > _NAMED else ""
            logger.warning(
                "the same image under several names, taken as one patient's: %s%s. Remove one of them, unless both are "
                "wanted",
                named,
                more,
            )
        one = united([{patients[name] for name in names} for names in groups])
        return [replace(case, patient=one.get(case.patient, case.patient)) for case in cases]

    def keep(self) -> None:
        """Remembers what the images hold."""
        if self.memory is not None:
            write_whole_text(self.memory, json.dumps(self._known))


def united(groups: Sequence[set[str]]) -> dict[str, str]:
    """For patients that are one, through whatever chain of groups, the first name of them all."""
    one: dict[str, str] = {}
    for group in groups:
        whole = group | {name for name in one if one[name] in {one.get(member, member) for member in group}}
        one |= dict.fromkeys(whole, min(one.get(name, name) for name in whole))
    return one


def _remembered(memory: Path | None) -> Known:
    if memory is None:
        return {}
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
        return {str(name): [str(part) for part in parts] for name, parts in known.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
