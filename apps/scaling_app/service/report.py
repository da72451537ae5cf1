"""The report: one HTML file that needs nothing else, for a radiologist first and a statistician second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from scaling_app import __version__
from scaling_app.service import picture_sections, sections
from scaling_app.service.outcomes import outcomes_of
from scaling_app.service.page import Page
from scaling_app.service.payloads import Payload
from scaling_app.storage import write_whole_text

TITLE = "What the next labelled case is worth"


def report_html(
    payload: Mapping[str, Any],
    *,
    history: Sequence[Mapping[str, Any]] | None = None,
    title: str = TITLE,
) -> str:
    """The page as text.

    Args:
        payload: the JSON of `GET /sufficiency/`.
        history: earlier such answers of the session, oldest first; then the page shows how they did.
        title: heading of the page.

    Raises:
        ValueError: the payload does not have that form.
    """
    answer = Payload.model_validate(dict(payload))
    page = Page(title)
    page.add(head(answer, title))
    page.add(sections.state_note(answer))
    page.add(sections.advice(answer))
    page.add(sections.missing(answer))
    page.add(sections.doubts_section(answer))
    page.add(sections.files_section(answer))
    page.add(add_sections(page, answer, history or ()))
    page.add(
        f"<footer>Scaling App {escape(__version__)}. This page works offline and loads nothing.</footer>"
    )
    return page.html()


def add_sections(page: Page, answer: Payload, history: Sequence[Mapping[str, Any]]) -> str:
    """The sections below the advice, as HTML; their figures join the page's."""
    return "\n".join(
        [
            sections.forecast_table(answer),
            sections.readers_section(answer),
            picture_sections.curve_section(page, answer),
            _pair(picture_sections.gain_section(page, answer), sections.information_section(answer)),
            picture_sections.structures_section(page, answer),
            picture_sections.strategies_section(page, answer),
            picture_sections.reliability_section(page, outcomes_of(history)),
            sections.coverage_section(answer),
            sections.methods_section(answer),
            sections.limits_section(),
        ]
    )


def write_report(
    payload: Mapping[str, Any],
    out: Path,
    *,
    history: Sequence[Mapping[str, Any]] | None = None,
    title: str = TITLE,
) -> Path:
    """Writes the page to `out` and returns it; the arguments are those of `report_html`."""
    return write_page(report_html(payload, history=history, title=title), Path(out))


def write_page(html: str, out: Path) -> Path:
    """Writes `html` to `out`, which is the whole page or what it was before, and returns `out`."""
    return write_whole_text(out, html)


def head(answer: Payload, title: str) -> str:
    """The heading, with the model and the time of the forecast."""
    updated = answer.updated
    when = f", {updated[:16].replace('T', ' ')} UTC" if updated else ""
    return (
        f'<header class="top"><h1>{escape(title)}</h1>'
        f'<p class="muted small">model “{escape(answer.model)}”{escape(when)}</p></header>'
    )


def _pair(left: str, right: str) -> str:
    return f'<div class="pair">{left}{right}</div>' if left and right else left + right
