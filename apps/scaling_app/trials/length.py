"""How many steps a training takes where nobody says: as many as its cases ask for."""

from __future__ import annotations

import math

AUTO_STEPS = "auto"
"""As many as the cases ask for, where a number of steps could stand."""

MOST_STEPS = 1_000_000
"""The most training steps that may be asked for."""

_STEPS_OF_ONE_CASE = 560
_FEWEST, _MOST = 800, 12_000


def parse_steps(text: str) -> int | None:
    """A number of training steps, or None for `auto`.

    Raises:
        ValueError: neither, or out of range.
    """
    if text == AUTO_STEPS:
        return None
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= MOST_STEPS:
        raise ValueError(f"{AUTO_STEPS}, or a whole number from 1 to {MOST_STEPS} is wanted")
    return int(text)


def steps_for(cases: int) -> int:
    """Steps of a training on so many cases; they grow with the root of the cases.

    Raises:
        ValueError: no case.
    """
    if cases < 1:
        raise ValueError("a training needs at least one case")
    return min(_MOST, max(_FEWEST, 10 * round(_STEPS_OF_ONE_CASE * math.sqrt(cases) / 10)))
