"""What MONAI Label's queue trains at the moment, and how long it still takes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from monailabel.utils.async_tasks.utils import tasks

from scaling_app.ledger import Ledger
from scaling_app.service.glance import Training
from scaling_app.service.job_state import CurveTask

_UNDER_WAY = ("SUBMITTED", "RUNNING")
_QUEUE_TIME = "%Y-%m-%d %H:%M:%S"
"""How the queue writes when a task began, in local time."""


def training_of(model: str, stats: Mapping[str, object], ledger: Ledger) -> Training | None:
    """The training of a model that waits or runs; None while there is none.

    Args:
        model: the trainer's name.
        stats: of that trainer, as `stats_of` gives them.
        ledger: knows a training that an earlier server began, and that the queue of this one does not.
    """
    if _under_way(model) is None and (_task() is not None or not _runs_on(ledger)):
        return None
    done, total = (_whole(stats.get(name)) for name in ("epoch", "total_epochs"))
    if "total_time" in stats or not 0 <= done <= total:
        return Training()
    left = stats.get("seconds_left")
    return Training(done, total, float(left) if isinstance(left, (int, float)) else None)


def stats_of(model: str, stats: Mapping[str, Any]) -> dict[str, Any]:
    """The stats of a trainer, without how far the training before was, where a new one has not yet told how far it is.

    Args:
        model: the trainer's name.
        stats: as they were written last.
    """
    task = _under_way(model)
    if task is None or _whole(stats.get("start_ts")) >= _began(task):
        return dict(stats)
    accuracy = {name: stats[name] for name in ("best_metric",) if name in stats}
    return {"epoch": 0, "current_time": "0:00:00", **accuracy}


def curve_task(model: str) -> CurveTask | None:
    """The curve job that is its turn now, or the last one where that failed; None where there is neither.

    Args:
        model: the trainer's name.
    """
    task = _under_way(model)
    if task is not None:
        return CurveTask(_began(task))
    earlier = [task for task in list(tasks("train")) if _model_of(task) == model]
    failed = bool(earlier) and earlier[-1]["status"] == "ERROR"
    return CurveTask(_began(earlier[-1]), failed=True) if failed else None


def _runs_on(ledger: Ledger) -> bool:
    return any(run.state == "running" for run in ledger.runs("published"))


def _task() -> Mapping[str, Any] | None:
    """The one that runs; those behind it wait."""
    return next((task for task in list(tasks("train")) if task["status"] in _UNDER_WAY), None)


def _under_way(model: str) -> Mapping[str, Any] | None:
    task = _task()
    return task if task is not None and _model_of(task) == model else None


def _model_of(task: Mapping[str, Any]) -> object:
    return (task.get("request") or {}).get("model")


def _began(task: Mapping[str, Any]) -> float:
    try:
        return datetime.strptime(str(task.get("start_ts")), _QUEUE_TIME).timestamp()
    except ValueError:
        return 0.0


def _whole(value: object) -> int:
    return int(value) if isinstance(value, (int, float)) else 0
