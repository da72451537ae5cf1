"""The newest forecast, always at hand.

`ForecastKeeper.payload()` answers at once from memory. When the ledger has moved since the forecast in hand
was made, it says `computing` and has a new one made in a process of its own (`forecast_worker`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any

from scaling_app import __version__
from scaling_app.curve.ledger_curve import case_facts
from scaling_app.ledger import Ledger
from scaling_app.service.answers import summary_of
from scaling_app.service.forecast_worker import ForecastWorker, WorkerDiedError
from scaling_app.service.job_state import CurveTask, with_start
from scaling_app.service.payloads import SCHEMA, Payload

logger = logging.getLogger(__name__)

RETRY_SECONDS = 60.0
"""After a failure, the same forecast is not tried again for so long."""

ATTEMPTS = 2
"""How often a forecast is tried when its process dies."""

_NOTHING_YET: dict[str, Any] = {
    "status": "computing",
    "message": "The first forecast is being computed.",
    "advice": {
        "action": "wait",
        "sentence": "Please wait: the first forecast is being computed.",
    },
}


@dataclass(frozen=True)
class LiveFacts:
    """What only the server knows at the moment of the question.

    Attributes:
        n_pool: unlabelled images.
        coverage: `{"outside", "pool", "cases": [{"image", "distance"}]}`, where it has been computed.
        files: what is odd about files of the studies, as `{"image", "sentence"}`.
        curve: the curve job in the server's queue.
    """

    n_pool: int | None = None
    coverage: dict[str, Any] | None = None
    files: Sequence[dict[str, str]] = ()
    curve: CurveTask | None = None


_Key = tuple[int, int | None]


class ForecastKeeper:
    """Keeps the forecast of one ledger up to date.

    Args:
        ledger: what happened.
        live: asked at every answer; must be quick.
    """

    def __init__(self, ledger: Ledger, live: Callable[[], LiveFacts] = LiveFacts) -> None:
        self._ledger, self._live = ledger, live
        self._lock = Lock()
        self._idle = Event()
        self._idle.set()
        self._worker = ForecastWorker()
        self._thread: ThreadPoolExecutor | None = None
        self._closed = False
        self._forecast: dict[str, Any] | None = None
        self._key: _Key | None = None
        self._failure: tuple[_Key, str, float] | None = None
        self._facts: tuple[int, dict[str, Any]] | None = None
        self._answered: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._take_up_saved_forecast()

    def payload(self, *, fresh: bool = False, timeout: float = 60.0) -> dict[str, Any]:
        """The JSON of `GET /sufficiency/`; starts a new forecast when the ledger has moved.

        While nothing changes the same object is returned: read it, do not change it.

        Args:
            fresh: wait for that new forecast, at most `timeout` seconds (for tasks, not for the server).
        """
        deadline = time.monotonic() + timeout
        while True:
            live = self._live()
            key = (self._ledger.revision(), live.n_pool)
            status = self._bring_up_to_date(key)
            left = deadline - time.monotonic()
            if not fresh or status != "computing" or left <= 0:
                return self._answer(key, live, status)
            self._idle.wait(left)

    def summary(self, *, fresh: bool = False) -> dict[str, Any]:
        """The short form for `/info/`, saved labels and scoring."""
        return summary_of(self.payload(fresh=fresh))

    def close(self) -> None:
        """Ends the worker process and waits for it. Closing twice does no harm."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        self._worker.close()
        if thread is not None:
            thread.shutdown(wait=True, cancel_futures=True)
        self._idle.set()

    def _take_up_saved_forecast(self) -> None:
        saved = self._ledger.latest_forecast()
        if saved is None:
            return
        forecast, revision = saved
        self._forecast = forecast
        if forecast.get("version") == __version__:
            self._key = (revision, forecast.get("n_pool"))

    def _bring_up_to_date(self, key: _Key) -> str | None:
        """`computing`, `error`, or None when the forecast in hand is the newest."""
        with self._lock:
            if key == self._key or self._closed:
                return None
            if self._failure is not None and self._failure[0] == key:
                if time.monotonic() < self._failure[2] + RETRY_SECONDS:
                    return "error"
                self._failure = None
            if self._idle.is_set():
                self._idle.clear()
                self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="forecast")
                self._thread.submit(self._compute, key)
            return "computing"

    def _compute(self, key: _Key) -> None:
        question = {"ledger": str(Path(self._ledger.path).resolve()), "n_pool": key[1]}
        try:
            answer = self._ask(question)
        except Exception as error:
            logger.exception("no forecast")
            answer = {"error": f"the forecast process failed ({error})"}
        with self._lock:
            if "forecast" in answer:
                self._forecast, self._key = answer["forecast"], (answer["revision"], key[1])
            else:
                self._failure = (key, str(answer["error"]), time.monotonic())
            self._idle.set()
        self._follow(key)

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._worker.ask(question)
            except WorkerDiedError as death:
                if self._closed or attempt == ATTEMPTS:
                    return {"error": f"the forecast process ended before it was done ({death})"}
                logger.warning("the forecast process died (%s); once more", death)
        raise AssertionError("unreachable")

    def _follow(self, key: _Key) -> None:
        """The ledger may have moved meanwhile: goes on without being asked."""
        if self._closed:
            return
        try:
            self._bring_up_to_date((self._ledger.revision(), key[1]))
        except Exception:
            logger.exception("the ledger could not be read")

    def _answer(self, key: _Key, live: LiveFacts, status: str | None) -> dict[str, Any]:
        job = with_start(self._ledger.job(), self._ledger.job_noted_at(), live.curve)
        with self._lock:
            forecast, failure = self._forecast or _NOTHING_YET, self._failure
        state = (key, live, status, job, failure, id(forecast))
        if self._answered is not None and self._answered[0] == state:
            return self._answered[1]
        facts = self._ledger_facts(key[0])
        answer = {
            **forecast,
            **facts,
            "files": [*live.files],
            "schema": SCHEMA,
            "model": "segmentation",
            "n_pool": live.n_pool,
            "coverage": live.coverage,
            "job": job,
        }
        if status is not None:
            answer["status"] = status
        if status == "error" and failure is not None:
            answer["message"] = f"There is no new forecast: {failure[1]}"
        sent = Payload.model_validate(answer).sent()
        self._answered = (state, sent)
        return sent

    def _ledger_facts(self, revision: int) -> dict[str, Any]:
        """What is read from the cases, once per revision."""
        known = self._facts
        if known is not None and known[0] == revision:
            return known[1]
        facts = case_facts(self._ledger)
        self._facts = (revision, facts)
        return facts
