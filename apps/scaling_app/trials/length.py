"""How long a training is: what may be asked for, and as many steps as its cases ask for where nobody says."""

from __future__ import annotations

import math

from scaling_app.words import number_within, whole_number

AUTO_STEPS = "auto"
"""As many as the cases ask for, where a number of steps could stand."""

MOST_STEPS = 1_000_000
"""The most training steps that may be asked for."""

LEAST_MINUTES, MOST_MINUTES = 0.05, 10_080
"""Bounds of the minutes that a training may be given: three seconds, and a week."""

_STEPS_OF_ONE_CASE = 560
_FEWEST, _MOST = 800, 12_000


def parse_steps(text: str) -> int | None:
    """A number of training steps, or None for `auto`.

    Raises:
        ValueError: neither, or out of range.
    """
    if text == AUTO_STEPS:
        return None
    steps = whole_number(text)
    if steps is None or not 1 <= steps <= MOST_STEPS:
        raise ValueError(f"{AUTO_STEPS}, or a whole number from 1 to {MOST_STEPS} is wanted")
    return steps


def parse_minutes(text: str) -> float:
    """The minutes that bound a training.

    Raises:
        ValueError: no number, or out of range.
    """
    minutes = number_within(text, LEAST_MINUTES, MOST_MINUTES)
    if minutes is None:
        raise ValueError(f"a number of minutes from {LEAST_MINUTES} to {MOST_MINUTES} is wanted")
    return minutes


def steps_for(cases: int) -> int:
    """Steps of a training on so many cases; they grow with the root of the cases.

    Raises:
        ValueError: no case.
    """
    if cases < 1:
        raise ValueError("a training needs at least one case")
    return min(_MOST, max(_FEWEST, 10 * round(_STEPS_OF_ONE_CASE * math.sqrt(cases) / 10)))
