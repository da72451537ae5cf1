"""What MONAI Label's queue trains at the moment, and how long it still takes."""

from __future__ import annotations

from collections.abc import Mapping

from monailabel.utils.async_tasks.utils import tasks

from scaling_app.service.glance import Training

_UNDER_WAY = ("SUBMITTED", "RUNNING")


def training_of(model: str, stats: Mapping[str, object]) -> Training | None:
    """The training of a model that waits or runs; None while there is none.

    Args:
        model: the trainer's name.
        stats: of that trainer, which may be those of the training before.
    """
    task = next((task for task in reversed(list(tasks("train"))) if task["status"] in _UNDER_WAY), None)
    if task is None or (task.get("request") or {}).get("model") != model:
        return None
    began, done, total = (_whole(stats.get(name)) for name in ("start_ts", "epoch", "total_epochs"))
    if "total_time" in stats or began < _whole(task.get("start_ts")) or not 0 <= done <= total:
        return Training()
    left = stats.get("seconds_left")
    return Training(done, total, float(left) if isinstance(left, (int, float)) else None)


def _whole(value: object) -> int:
    return int(value) if isinstance(value, (int, float)) else 0
