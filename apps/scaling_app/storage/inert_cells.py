"""Cells of tables that no spreadsheet takes for a formula.

A name such as `=HYPERLINK(...)` would be run by whoever opens the table (OWASP, *CSV Injection*). A quote in front
makes it text. Numbers stay numbers.
"""

from __future__ import annotations

_RUN = ("=", "+", "-", "@", "\t", "\r", " ")


def inert(value: object) -> object:
    """The value as a cell: None empty, a text that a spreadsheet would run with a quote in front, no returns."""
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(_RUN) and not _is_number(value):
        value = f"'{value}"
    return value.replace("\r", " ") if isinstance(value, str) else value


def restored(cell: str) -> str:
    """The text that `inert` was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_RUN) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
