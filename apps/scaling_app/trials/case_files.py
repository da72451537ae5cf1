"""Where a case lies on the disk."""

from __future__ import annotations

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
