"""A real browser, and a server of the report alone: its routes, a ledger, and an answer that a test may change."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from scaling_app.commands.launch import free_port
from scaling_app.curve.ledger_curve import case_facts
from scaling_app.ledger import Ledger
from scaling_app.service.glance import Training
from scaling_app.service.routes import make_router

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)

WATCH = """
window.found = [];
addEventListener("error", (e) => found.push(String(e.message)));
addEventListener("unhandledrejection", (e) => found.push(String(e.reason)));
addEventListener("securitypolicyviolation", (e) => found.push("blocked " + e.blockedURI + " " + e.violatedDirective));
"""
"""Runs before the page's own scripts, and past its policy."""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install '.[test]'")
    if CHROMIUM is None:
        pytest.skip("no chromium or chrome on this machine")
    with playwright.sync_playwright() as made:
        browser = made.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@dataclass
class Shown:
    """What the page is to show; also plays `ForecastKeeper`, whose answer changes only when something does."""

    answer: dict[str, Any]
    ledger: Ledger
    training: Training | None = None
    fault: Callable[[Request], Response | None] | None = None
    token: str = ""
    asked: list[tuple[str, int]] = field(default_factory=list)
    _kept: tuple[Any, dict[str, Any]] | None = None

    def payload(self) -> dict[str, Any]:
        state = (id(self.answer), self.ledger.revision())
        if self._kept is None or self._kept[0] != state:
            doubts = case_facts(self.ledger)["doubts"]
            self._kept = (state, {**self.answer, "doubts": [*self.answer.get("doubts", ()), *doubts]})
        return self._kept[1]


class LiveServer:
    """The report's routes over HTTP, which may go away and come back at the same address."""

    def __init__(self, shown: Shown) -> None:
        self.shown, self.port = shown, free_port()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.start()

    @property
    def page(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/sufficiency/report"

    def start(self) -> None:
        config = uvicorn.Config(_app(self.shown), port=self.port, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        until = time.monotonic() + 30
        while not self._server.started:
            assert time.monotonic() < until
            time.sleep(0.02)

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join(30)
            self._server = None


def _app(shown: Shown) -> FastAPI:
    app = FastAPI()

    def known(authorization: str = Header("")) -> None:
        if shown.token and authorization != f"Bearer {shown.token}":
            raise HTTPException(401, "Not authenticated", headers={"WWW-Authenticate": "Bearer"})

    @app.middleware("http")
    async def faults(request: Request, call_next: Any) -> Response:
        answer = shown.fault(request) if shown.fault else None
        if asyncio.iscoroutine(answer):
            answer = await answer
        answer = answer or await call_next(request)
        shown.asked.append((request.url.path.removeprefix("/sufficiency/"), answer.status_code))
        return answer

    @app.post("/auth/token")
    async def token(request: Request) -> dict[str, str]:
        form = await request.form()
        if form.get("password") != "right":
            raise HTTPException(401, "The name or the password is wrong.")
        return {"access_token": shown.token, "token_type": "bearer"}

    app.include_router(
        make_router(
            shown,  # type: ignore[arg-type]
            shown.ledger,
            start_update=lambda: None,
            has_image=lambda image: shown.ledger.case(image) is not None,
            user=known,
            annotator=known,
            admin=known,
            training=lambda: shown.training,
        )
    )
    return app


def to_login(_: Request) -> Response:
    """A guard in front of the server that sends everybody to its own page."""
    return RedirectResponse("http://127.0.0.1:9/login", 302)
