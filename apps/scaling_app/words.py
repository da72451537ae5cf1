"""Lists and numbers as sentences say them, the same on every page, and numbers as people type them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_DIGITS = re.compile(r"[0-9]{1,20}")
"""Python takes others for digits too: `²`, which it then makes no number of, and those of other scripts."""


def whole_number(text: str) -> int | None:
    """The number that a text of digits says; None for any other text, and for more digits than anything here counts."""
    return int(text) if _DIGITS.fullmatch(text) else None


def number_within(text: str, low: float, high: float) -> float | None:
    """The number that a text says; None for any other text, and for a number out of these bounds."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if low <= number <= high else None


def in_words(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def count(number: int, noun: str) -> str:
    """`1 case`, `3,170 cases`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def counted(numbers: Iterable[int], word: str) -> str:
    """`1 case`, `400 cases`, or `800 to 3,170 cases`; empty where there are none."""
    known = sorted(numbers)
    if not known:
        return ""
    low, high = known[0], known[-1]
    most = count(high, word)
    return most if low == high else f"{low:,} to {most}"


def tenths(number: float) -> str:
    """A number to a tenth. A loss too small to be seen is `0.0`, not `-0.0`."""
    text = f"{number:.1f}"
    return "0.0" if text == "-0.0" else text


def signed_tenths(number: float) -> str:
    """A difference to a tenth: `+2.0`, `-0.3`; one too small to be seen has no sign."""
    text = tenths(number)
    return text if text.startswith("-") or text == "0.0" else f"+{text}"
