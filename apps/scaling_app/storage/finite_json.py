"""What JSON can carry: no NaN, no infinity, no NumPy scalar."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def finite(value: Any, *, decimals: int | None = None) -> Any:
    """The same value with None for every NaN and infinity, tuples as lists, NumPy scalars as Python's.

    Args:
        decimals: to how many every float is rounded; None leaves them.
    """
    if isinstance(value, Mapping):
        return {str(key): finite(item, decimals=decimals) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item, decimals=decimals) for item in value]
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item()
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return float(value) if decimals is None else round(value, decimals)


def to_json(value: Any, *, indent: int | None = None) -> str:
    """The value as JSON text that every reader takes.

    Raises:
        TypeError: something that JSON does not know.
    """
    return json.dumps(finite(value), allow_nan=False, ensure_ascii=False, indent=indent)
