"""Searches of a DICOM server, which may answer in parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Row = TypeVar("Row")


def in_parts(
    ask: Callable[[int], Sequence[Row | None]], uid_of: Callable[[Row], str]
) -> tuple[dict[str, Row], int]:
    """What a search finds, by its UID, and in how many rows. Some servers give the first part to every question.

    Args:
        ask: for the rows from one on; None stands for one that cannot be read.
    """
    found: dict[str, Row] = {}
    rows = 0
    while True:
        part = ask(rows)
        new = {uid_of(row): row for row in part if row is not None and uid_of(row) not in found}
        if not new:
            return found, rows
        found |= new
        rows += len(part)
