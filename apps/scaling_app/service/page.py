"""The pieces of a self-contained HTML page: escaping, tables, figures, the shell with scripts and style inside."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib import resources
from typing import Any

from scaling_app.words import signed_tenths, tenths

Json = dict[str, Any]

_POLICY = "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:"
"""The page may load nothing from anywhere, and runs no script but its own. Plotly writes styles."""

_UNBROKEN = re.compile(r"(\d) %")
"""A number and its per cent sign stay on one line."""


def unbroken(html: str) -> str:
    """The same with per cent signs that stay with their numbers."""
    return _UNBROKEN.sub("\\1\u00a0%", html)


@cache
def _asset(name: str) -> str:
    return (
        resources.files("scaling_app.service").joinpath("assets").joinpath(name).read_text(encoding="utf-8")
    )


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs().replace("</script", "<\\/script")


@cache
def _hash(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _json_script(name: str, value: object) -> str:
    text = json.dumps(value, allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


class Page:
    """Collects sections and figures, and writes them as one HTML file.

    Args:
        title: heading of the window.
        live: what `live.js` begins with, where the page is to follow its server.

    Attributes:
        figures: Plotly JSON by name.
    """

    def __init__(self, title: str, *, live: Mapping[str, str] | None = None) -> None:
        self.title = title
        self.figures: dict[str, Json] = {}
        self._live = live
        self._parts: list[str] = []

    def add(self, html: str) -> None:
        """Adds ready HTML."""
        self._parts.append(html)

    def figure(self, name: str, figure: Json, alt: str, *, look: str = "", height: int = 0) -> str:
        """The place of a figure; it is drawn when the page opens.

        Args:
            name: unique on the page.
            figure: Plotly JSON with named colours.
            alt: what it shows, for those who cannot see it.
            look: further CSS classes of the place.
            height: in pixels, where the class does not decide.
        """
        self.figures[name] = figure
        size = f' style="height:{height}px"' if height else ""
        return f'<div class="chart {look}" id="{name}" role="img" aria-label="{escape(alt)}"{size}></div>'

    def html(self) -> str:
        """The file."""
        data = {"figures": self.figures} | ({} if self._live is None else {"live": self._live})
        scripts = [_plotly(), _asset("report.js"), *(() if self._live is None else (_asset("live.js"),))]
        policy = _POLICY.format(scripts=" ".join(map(_hash, scripts)))
        styles = _asset("report.css")
        if self._live is not None:
            policy += "; connect-src 'self'; form-action 'none'"
            styles += _asset("live.css")
        return "\n".join(
            [
                '<!doctype html><html lang="en"><head><meta charset="utf-8">',
                f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
                '<meta name="viewport" content="width=device-width, initial-scale=1">',
                f"<title>{escape(self.title)}</title><style>{styles}</style></head><body><main>",
                *map(unbroken, self._parts),
                "<noscript><p>The figures need JavaScript; the tables hold the same numbers.</p></noscript>",
                "</main>",
                *(_json_script(name, value) for name, value in data.items()),
                *(f"<script>{script}</script>" for script in scripts),
                "</body></html>",
            ]
        )


def section(title: str, body: str, *, lead: str = "") -> str:
    """A titled block; `lead` and `title` are text, `body` is HTML."""
    introduction = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    return f"<section><h2>{escape(title)}</h2>{introduction}{body}</section>"


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str = "",
    marked: int | None = None,
    fold: bool = False,
) -> str:
    """A table of text; the first column names the row.

    Args:
        headings, rows: text, escaped here.
        caption: what it holds.
        marked: index of the row that is today's.
        fold: on a narrow screen, each row becomes a small block.
    """
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    body = "".join(
        f"<tr{' class=now' if k == marked else ''}>{_cells(headings, row)}</tr>" for k, row in enumerate(rows)
    )
    named = f"<caption>{escape(caption)}</caption>" if caption else ""
    look = ' class="fold"' if fold else ""
    return f'<div class="scroll"><table{look}>{named}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cells(headings: Sequence[str], row: Sequence[str]) -> str:
    first = f'<th scope="row"><span>{escape(row[0])}</span></th>'
    rest = (
        f'<td class="nowrap{" unknown" if cell == "–" else ""}" data-label="{escape(heading)}"><span>{escape(cell)}</span></td>'
        for heading, cell in zip(headings[1:], row[1:], strict=True)
    )
    return first + "".join(rest)


def numbers(content: str, label: str = "The numbers") -> str:
    """A table that opens on demand, beside a figure."""
    return f"<details><summary>{escape(label)}</summary>{content}</details>"


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Swatch and text per entry; the swatch is one of the names in `_SWATCHES`."""
    items = "".join(
        f'<li><svg viewBox="0 0 22 14" aria-hidden="true">{_SWATCHES[swatch]}</svg>{escape(text)}</li>'
        for swatch, text in entries
    )
    return f'<ul class="legend">{items}</ul>'


def _line(colour: str, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="0" x2="22" y1="7" y2="7" stroke="var(--{colour})" stroke-width="2.6"{dashed}/>'


_SHAPES = (
    "M6 7a5 5 0 1 0 10 0a5 5 0 1 0-10 0z",
    "M6.5 2.5h9v9h-9z",
    "M11 1l6 6-6 6-6-6z",
    "M11 2l6 10H5z",
    "M7 1l4 4 4-4 2 2-4 4 4 4-2 2-4-4-4 4-2-2 4-4-4-4z",
    "M11 0l2 4.6 5 .5-3.800 3.300 1.200 4.900-4.400-2.600-4.400 2.600 1.200-4.900L4 5.100l5-.5z",
    "M11 12l6-10H5z",
    "M9 1h4v4h4v4h-4v4H9V9H5V5h4z",
)
"""Circle, square, diamond, triangle, x, star, triangle down, cross: the markers of series 0 to 7."""

_SWATCHES: Mapping[str, str] = {
    "curve": _line("accent"),
    "forecast": _line("accent", "5 3"),
    "target": _line("target", "5 3"),
    "diagonal": _line("muted", "2 3"),
    "band80": '<rect width="22" height="14" rx="2" fill="var(--band80)"/>',
    "band95": '<rect width="22" height="14" rx="2" fill="var(--band95)"/>',
    "prequential": '<circle cx="11" cy="7" r="5" fill="var(--prequential)"/>',
    "fold": '<rect x="6.5" y="2.5" width="9" height="9" fill="var(--fold)"/>',
    "nested": '<path d="M11 1l6 6-6 6-6-6z" fill="var(--nested)"/>',
    "arm": '<path d="M11 2l6 10H5z" fill="var(--arm)"/>',
    "held": '<circle cx="11" cy="7" r="5" fill="var(--nested)"/>',
    "failed": '<path d="M7 3l8 8M15 3l-8 8" stroke="var(--target)" stroke-width="3"/>',
    **{f"c{k}": f'<path d="{path}" fill="var(--c{k})"/>' for k, path in enumerate(_SHAPES)},
}


def points(dice: float | None) -> str:
    """Dice in points, one decimal; a dash where it is not known."""
    return "–" if dice is None else tenths(100 * dice)


def gain_points(dice: float | None) -> str:
    """A difference of Dice in points, with its sign; nothing has none."""
    return "–" if dice is None else signed_tenths(100 * dice).replace("-", "−")


def spread(low: float | None, high: float | None, text: Any = points) -> str:
    """A range."""
    return "–" if low is None or high is None else f"{text(low)} to {text(high)}"


def duration(minutes: float | None) -> str:
    """Annotation time as people say it."""
    if minutes is None:
        return "–"
    if minutes < 90:
        return f"{minutes:.0f} min" if minutes >= 9.5 else f"{minutes:.1f} min"
    return f"{minutes / 60:.1f} h"
