"""How far the curve job is, also before its process has said a word: it has to load PyTorch first, for 10 to 20 s.

Nothing is noted of a start. It is seen in the server's queue, so that it ends with the process, or with the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaling_app.ledger.notes import IDLE

STARTING = "The measurement is being started."
NOT_STARTED = "The measurement could not be started; the server's log says why."

_QUEUE_SECONDS = 1.0
"""The queue keeps times to the second; no process has anything to note as soon as that."""


@dataclass(frozen=True)
class CurveTask:
    """The newest curve job in the server's queue.

    Attributes:
        began: when it was asked for, in seconds since 1970.
        failed: whether it ended with an error.
    """

    began: float
    failed: bool = False


def measuring(message: str | None, how_far: str) -> str:
    """The sentence for a job that runs.

    Args:
        message: the job's.
        how_far: what stands behind it once trainings are made.
    """
    return STARTING if message == STARTING else f"New curve points are being measured{how_far}."


def with_start(job: Mapping[str, Any], noted_at: float | None, task: CurveTask | None) -> dict[str, Any]:
    """What the ledger says of the job, or of a later one that has noted nothing there that it is being started.

    Args:
        job: of the ledger.
        noted_at: when that was noted; None where the ledger does not say, as one of an older version.
        task: None where none is under way, and the last one did not fail.
    """
    if task is None or job["state"] == "running":
        return dict(job)
    if noted_at is not None and noted_at >= task.began + _QUEUE_SECONDS:
        return dict(job)
    if task.failed:
        return {**job, "message": NOT_STARTED}
    return {**IDLE, "state": "running", "message": STARTING}
