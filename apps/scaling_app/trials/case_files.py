"""Where a case lies on the disk, and whose it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CaseFiles:
    """Where a case's image and label lie.

    Attributes:
        patient: groups cases that must not be separated.
        values: the label's values in the file and in the task, where they differ between files; see `label_names`.
    """

    case_id: str
    patient: str
    image: Path
    label: Path | None = None
    values: tuple[tuple[int, int], ...] = ()

    @property
    def known_label(self) -> Path:
        """The label's file.

        Raises:
            ValueError: the case has no label.
        """
        if self.label is None:
            raise ValueError(f"case {self.case_id} has no label")
        return self.label


def patient_in(case_id: str, pattern: str) -> str:
    """The patient in an id: the first group of `pattern` that holds something, else all that it matches, else the id.

    Raises:
        re.error: the pattern is no regular expression.
    """
    found = re.search(pattern, case_id)
    if found is None:
        return case_id
    return next((group for group in found.groups() if group), None) or found.group(0) or case_id
