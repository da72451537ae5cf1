"""How long a curve's trainings were, and what that leaves open where the curve is flat, in words."""

from __future__ import annotations

from collections.abc import Iterable

from scaling_app.forecast.arms import LONGER_TIMES
from scaling_app.words import counted


def steps_in_words(steps: Iterable[int | None]) -> str:
    """`400 steps`, or `800 to 3,170 steps`; empty where no training's steps are known."""
    return counted((number for number in steps if number is not None), "step")


def trainings_took(steps: str, cut: int = 0, trainings: int = 0) -> str:
    """A sentence on how long they were; empty where nobody knows.

    Args:
        steps: as `steps_in_words` says it.
        cut: so many of the `trainings` ended when their minutes were over.
    """
    if not steps:
        return ""
    short = f", and {cut} of {trainings} ended when their minutes were over: more minutes may raise the curve"
    return f"The trainings of this curve took {steps}{short if cut else ''}."


def flat_end_note(steps: str) -> str:
    """Of a curve that is flat at its end: what it may come from, besides the cases.

    Args:
        steps: as `steps_in_words` says it.
    """
    made = trainings_took(steps) or "How long its trainings were the table does not tell."
    return (
        f"{made} The curve is flat at its end, and that may be their length: "
        f"{LONGER_TIMES} times the steps at one of its sizes would tell."
    )
