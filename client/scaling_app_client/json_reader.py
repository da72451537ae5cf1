"""Reading a JSON object field by field, with the place of the fault in the error."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

#: Of a whole number: Python's have no end, and those without one are no floating-point numbers.
_MOST_DIGITS = 20
#: Nothing that is counted or measured here is larger, seconds and minutes included.
LARGEST = 1e9


class BadAnswer(ValueError):
    """The server sent something that breaks the contract."""


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`.

    Raises:
        BadAnswer: When it is not UTF-8, not JSON, not an object, nested without end, or has a NaN, an infinity, a whole
            number in it that is larger than any that is counted here, or half a character (a lone surrogate).
    """
    data = _parsed(body)
    if not isinstance(data, dict):
        raise BadAnswer(f"the answer is a JSON {type(data).__name__}, not an object")
    return data


def parse_objects(body: bytes) -> list[dict[str, Any]]:
    """The JSON objects of the list in `body`.

    Raises:
        BadAnswer: When it is no list of them, or for what `parse_object` raises it.
    """
    data = _parsed(body)
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise BadAnswer("the answer is no list of JSON objects")
    return data


def _parsed(body: bytes) -> Any:
    try:
        text = body.decode("utf-8")
        data = json.loads(text, parse_constant=_no_constant, parse_int=_whole)
        if "\\ud" in text.lower():  # no address, no file and no window takes half a character
            json.dumps(data, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"the answer is not JSON: {error}") from error
    return data


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


class JsonReader:
    """Typed access to one JSON object; a field that is absent or null reads as None."""

    def __init__(self, data: Any, where: str = "answer") -> None:
        if not isinstance(data, dict):
            raise BadAnswer(f"{where} should be an object, but is {_short(data)!r}")
        self._data = data
        self._where = where

    def has(self, name: str) -> bool:
        return self._data.get(name) is not None

    def names(self) -> list[str]:
        return list(self._data)

    def raw(self, name: str) -> Any:
        return self._data.get(name)

    def number(self, name: str, low: float = -LARGEST, high: float = LARGEST) -> float | None:
        """A number inside [low, high]."""
        value = self._data.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self._fault(name, "a number")
        if not low <= value <= high:
            raise self._fault(name, f"a number between {low:g} and {high:g}")
        return float(value) + 0.0  # JSON has a zero with a minus, which no figure on a screen needs

    def integer(self, name: str, low: float = -LARGEST) -> int | None:
        value = self.number(name, low)
        if value is None:
            return None
        if value != int(value):
            raise self._fault(name, "a whole number")
        return int(value)

    def text(self, name: str) -> str:
        """A string; empty where absent."""
        value = self._data.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._fault(name, "a text")
        return value

    def boolean(self, name: str) -> bool | None:
        value = self._data.get(name)
        if value is not None and not isinstance(value, bool):
            raise self._fault(name, "true or false")
        return value

    def choice(self, name: str, options: Sequence[str]) -> str:
        value = self.text(name)
        if value not in options:
            raise self._fault(name, "one of " + ", ".join(options))
        return value

    def child(self, name: str) -> JsonReader | None:
        value = self._data.get(name)
        return None if value is None else JsonReader(value, self._path(name))

    def children(self, name: str) -> Iterator[JsonReader]:
        """The objects of a list; nothing where the list is absent."""
        value = self._data.get(name)
        if value is None:
            return
        if not isinstance(value, list):
            raise self._fault(name, "a list")
        for index, item in enumerate(value):
            yield JsonReader(item, f"{self._path(name)}[{index}]")

    def _path(self, name: str) -> str:
        return f"{self._where}.{name}"

    def _fault(self, name: str, wanted: str) -> BadAnswer:
        return BadAnswer(f"{self._path(name)} should be {wanted}, but is {_short(self._data.get(name))!r}")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def seconds_between(made: str, sent: str) -> float | None:
    """Seconds from one moment to another: the first in ISO 8601, in UTC where it does not say, the second as HTTP has it."""
    try:
        start = datetime.datetime.fromisoformat(made.replace("Z", "+00:00"))
        end = parsedate_to_datetime(sent)
    except (ValueError, TypeError, IndexError):
        return None
    utc = datetime.timezone.utc
    start, end = (moment if moment.tzinfo else moment.replace(tzinfo=utc) for moment in (start, end))
    return (end - start).total_seconds()
