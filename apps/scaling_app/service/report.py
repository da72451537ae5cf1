"""The report page (in the making)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def report_html(payload: Mapping[str, Any], *, history: Sequence[Mapping[str, Any]] | None = None) -> str:
    """The page."""
    return "<html></html>"


def write_report(
    payload: Mapping[str, Any], out: Path, *, history: Sequence[Mapping[str, Any]] | None = None
) -> Path:
    """Writes the page."""
    out.write_text(report_html(payload, history=history), encoding="utf-8")
    return out
