"""The checkpoints of trainings that have not ended: where they lie, and which of them may go.

A checkpoint is found again by what its run is made of. Once a label is corrected, an option changed or the next curve size
reached, nobody asks for it again, and it is as large as a model with all that its training keeps.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from scaling_app.storage import sweep_parts
from scaling_app.studies.studies import Studies

MOST_OTHERS = 4
"""Checkpoints of curve runs that are not due now, and stay: a comparison that was broken off may be asked for again."""

_PUBLISHED = "published-"
_ABANDONED_SECONDS = 3600.0
"""Workers elsewhere may be writing what is younger."""


def published_checkpoint(studies: Studies, identity: str) -> Path:
    """Where a published training of that identity is kept; those of others are deleted."""
    file = _folder(studies) / f"{_PUBLISHED}{identity}.pt"
    for other in file.parent.glob(f"{_PUBLISHED}*.pt"):
        if other != file:
            other.unlink(missing_ok=True)
    _sweep_parts(studies)
    return file


def curve_checkpoint(studies: Studies, run_id: str) -> Path:
    """Where a run of the curve is kept."""
    return _folder(studies) / f"{run_id}.pt"


def sweep_curve_checkpoints(studies: Studies, due: Collection[str], done: Collection[str]) -> None:
    """Deletes those of curve runs that are done, and of those that are not due all but the newest."""
    others = []
    for file in _folder(studies).glob("*.pt"):
        if file.stem in done:
            file.unlink(missing_ok=True)
        elif file.stem not in due and not file.name.startswith((_PUBLISHED, ".")):
            others.append(file)
    for file in sorted(others, key=lambda file: file.stat().st_mtime_ns, reverse=True)[MOST_OTHERS:]:
        file.unlink(missing_ok=True)
    _sweep_parts(studies)


def _folder(studies: Studies) -> Path:
    return studies.folder / "unfinished"


def _sweep_parts(studies: Studies) -> None:
    """Deletes checkpoints and models that killed trainings left half written."""
    for folder in (_folder(studies), studies.folder):
        sweep_parts(folder, _ABANDONED_SECONDS)
