"""A task whose process cannot be started has failed: MONAI Label's queue would say for ever that it waits."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from monailabel.utils.async_tasks import utils

logger = logging.getLogger(__name__)


def tell_of_failed_starts() -> None:
    """From now on the queue says so; a second call changes nothing."""
    if not hasattr(utils._task_func, "__wrapped__"):
        utils._task_func = _telling(utils._task_func)


def _telling(run: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(run)
    def told(task: dict[str, Any], method: str, callback: Any = None) -> None:
        try:
            run(task, method, callback)
        except Exception as error:
            logger.exception("The task %s could not be carried out", method)
            if task["status"] == "SUBMITTED":  # else its process is there, and may live
                task["details"] = [f"{type(error).__name__}: {error}"]
                task["end_ts"] = datetime.today().strftime("%Y-%m-%d %H:%M:%S")
                task["status"] = "ERROR"

    return told
