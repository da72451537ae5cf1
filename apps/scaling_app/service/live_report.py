"""The report as a page that follows the server, and what it asks for while it is open.

The page is made as the file is, from the same sections. It holds a small script more, which asks for two things: the
parts that change often, and the sections with their figures, when those parts say that they have changed. Both have an
`ETag`, so that an answer without news is a 304 without a body.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from threading import Lock
from typing import Any

from scaling_app import __version__
from scaling_app.ledger import Ledger
from scaling_app.service import sections
from scaling_app.service.forecasting import ForecastKeeper
from scaling_app.service.glance import Training, glance, spoken, work_sentences
from scaling_app.service.page import Page, unbroken
from scaling_app.service.payloads import Payload
from scaling_app.service.report import TITLE, add_sections, head, report_html

BUSY_SECONDS, CALM_SECONDS = 3, 15
"""How often the page asks while something is under way, and else."""

PARTS = ("head", "state", "advice", "work", "missing", "doubts")
"""The parts that change often, from above."""

_OFTEN = ("job", "doubts", "files", "updated")
"""What changes without the sections."""


@dataclass(frozen=True)
class Tagged:
    """A body of JSON with its tag."""

    body: bytes
    tag: str


class LiveReport:
    """What the page of one server shows.

    Args:
        keeper: the newest forecast.
        ledger: the forecasts before it.
        training: what the server trains at the moment.
    """

    def __init__(
        self, keeper: ForecastKeeper, ledger: Ledger, training: Callable[[], Training | None] = lambda: None
    ) -> None:
        self._keeper, self._ledger, self._training = keeper, ledger, training
        self._lock = Lock()
        self._often: tuple[Any, Training | None, Tagged] | None = None
        self._sections: tuple[str, Tagged] | None = None

    def page(self) -> str:
        """The whole page."""
        often, below = self.often(), self.sections()
        said, drawn = json.loads(often.body), json.loads(below.body)
        page = _frame({"often": often.tag, "sections": below.tag, "key": drawn["key"]})
        for name in PARTS:
            page.add(_part(name, said["parts"][name]))
        page.add(f'<div id="sections">{drawn["html"]}</div>')
        page.figures = drawn["figures"]
        page.add(_FOOT)
        return page.html()

    def file(self) -> str:
        """The report as it stands now, which follows nothing."""
        return report_html(self._keeper.payload(), history=self._ledger.forecast_levels())

    def often(self) -> Tagged:
        """The parts that change often: advice, what is under way, doubts; and which sections belong to them."""
        payload, training = self._keeper.payload(), self._training()
        known = self._often
        if known is not None and known[0] is payload and known[1] == training:
            return known[2]
        # without what fills the sections below: there may be hundreds of structures, and a job that moves
        answer = Payload.model_validate({**payload, "structures": [], "strategies": []})
        history = self._ledger.forecast_levels()
        busy = training is not None or answer.job.state == "running" or answer.status == "computing"
        work = "".join(f"<p>{escape(line)}</p>" for line in work_sentences(answer.job, training))
        parts = (
            head(answer, TITLE),
            sections.state_note(answer, with_job=False),
            sections.advice(answer, more=glance(answer, history)),
            f'<section class="work" aria-label="Under way">{work}</section>' if work else "",
            sections.missing(answer),
            sections.doubts_section(answer, buttons=True) + sections.files_section(answer),
        )
        said = {
            "version": __version__,
            "ask_again": BUSY_SECONDS if busy else CALM_SECONDS,
            "said": spoken(answer),
            "sections": _sections_key(payload),
            "parts": dict(zip(PARTS, map(unbroken, parts), strict=True)),
        }
        made = _answer(said)
        self._often = (payload, training, made)
        return made

    def sections(self) -> Tagged:
        """The sections below, with their figures."""
        payload = self._keeper.payload()
        key = _sections_key(payload)
        with self._lock:  # drawn once, however many pages ask
            if self._sections is None or self._sections[0] != key:
                page = Page(TITLE)
                history = self._ledger.forecast_levels()
                html = unbroken(add_sections(page, Payload.model_validate(dict(payload)), history))
                self._sections = (key, _answer({"key": key, "html": html, "figures": page.figures}))
            return self._sections[1]


def sign_in_page() -> str:
    """The page for somebody who is not known yet: it holds nothing of the studies, and asks for a name."""
    page = _frame({"often": "", "sections": "", "key": ""})
    for name in PARTS:
        page.add(
            _part(name, f'<header class="top"><h1>{escape(TITLE)}</h1></header>' if name == "head" else "")
        )
    page.add('<div id="sections"></div>')
    page.add(_FOOT)
    return page.html()


def _frame(known: Mapping[str, str]) -> Page:
    page = Page(TITLE, live={**known, "version": __version__})
    page.add(_NEWS)
    return page


def _part(name: str, html: str) -> str:
    return f'<div data-part="{name}">{html}</div>'


def _sections_key(payload: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in payload.items() if key not in _OFTEN}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:16]


def _answer(said: Mapping[str, Any]) -> Tagged:
    body = json.dumps(said, allow_nan=False).encode()
    return Tagged(body, f'"{hashlib.sha256(body).hexdigest()[:24]}"')


_FOOT = (
    f"<footer>Scaling App {escape(__version__)}. This page follows the server while it is open, and loads nothing else. "
    '<button data-act="save">Save it as a file</button> <span id="saved" role="status" aria-live="polite"></span></footer>'
)

_NEWS = """<p id="trouble" class="note bad" role="status" aria-live="polite" hidden></p>
<p id="spoken" class="unseen" role="status" aria-live="polite"></p>
<form id="sign-in" class="note" aria-labelledby="sign-in-why" hidden><p id="sign-in-why" role="status"></p>
<label>Name <input name="username" autocomplete="username" required></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<button>Sign in</button></form>"""
