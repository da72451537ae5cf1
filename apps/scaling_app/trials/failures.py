"""How trainings fail, and which of them may go on where their checkpoint stands."""

from __future__ import annotations

import math


class TrainingError(RuntimeError):
    """Training that cannot go on; the message says what was seen."""


class NoMemoryError(TrainingError):
    """Not even one patch finds the memory that it needs."""


def would_fail_again(error: BaseException) -> bool:
    """Whether a training that ended with it would end so again where its checkpoint stands, which is of no more use then.

    Any other error may have come from the machine: its disk was full, its memory in others' hands, a file not there.
    """
    return isinstance(error, TrainingError) and not isinstance(error, NoMemoryError)


def too_short(seconds: float, minutes: float) -> TrainingError:
    """That so many minutes leave a network as random as it began, its first batch having taken these seconds."""
    times = max(2, math.ceil(2 * seconds / (60 * minutes)))
    return TrainingError(
        f"not one training step fits into the minutes: drawing the first batch took {seconds:.1f} s of "
        f"{60 * minutes:.1f} s. Give at least {times} times as many minutes (max_minutes)"
    )
