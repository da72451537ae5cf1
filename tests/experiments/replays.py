"""A replay without trainings, and its table."""

from __future__ import annotations

import csv
from pathlib import Path

from scaling_app.experiments.replay_run import ReplayRun
from scaling_app.forecast.score_table import RUN as KEY
from scaling_app.trials.case_files import CaseFiles


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as text:
        return list(csv.DictReader(text))


def folders(volumes: list[CaseFiles]) -> tuple[Path, Path]:
    return volumes[0].image.parent, volumes[0].label.parent


def stand_in(run: ReplayRun, **_) -> list[dict[str, object]]:
    """Rows without training."""
    assert not {c.patient for c in run.training} & {c.patient for c in run.testing}
    shared = {
        **dict(zip(KEY, run.key, strict=True)),
        "dice": 0.5,
        "nsd": None,
        "hd95_mm": None,
        "bce": 0.1,
        "seconds": 1.0,
    }
    return [shared | {"case": c.case_id, "structure": s} for c in run.testing for s in run.structures]
