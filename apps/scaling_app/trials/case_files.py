"""Where a case lies on the disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CaseFiles:
    """Where a case's image and label lie; `patient` groups cases that must not be separated."""

    case_id: str
    patient: str
    image: Path
    label: Path | None = None
