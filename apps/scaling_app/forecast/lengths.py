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
    return f"The trainings of this curve took {steps}{_cut_short(cut, trainings)}."


def trainings_of(steps: str, cut: int = 0, trainings: int = 0) -> str:
    """The same of all trainings of a table; arguments as of `trainings_took`."""
    return f"Trainings of {steps}{_cut_short(cut, trainings)}." if steps else ""


def flat_end_note(steps: str, cut: int = 0, trainings: int = 0, *, falls: bool = False) -> str:
    """Of a curve that is flat at its end: what it may come from, besides the cases; arguments as of `trainings_took`.

    Args:
        falls: whether it goes down there.
    """
    made = trainings_took(steps, cut, trainings) or "How long its trainings were the table does not tell."
    # where minutes ended them, more steps would be cut again
    longer = "minutes enough for all steps" if cut else f"{LONGER_TIMES} times the steps"
    return (
        f"{made} The curve {'falls' if falls else 'is flat'} at its end, and that may be their length: {longer} at one of its sizes "
        "would tell."
    )


def _cut_short(cut: int, trainings: int) -> str:
    said = f", and {cut} of {trainings} ended when their minutes were over: more minutes may raise the curve"
    return said if cut else ""
