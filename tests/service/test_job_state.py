"""A measurement is under way from the moment it was asked for, and no longer than its process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from scaling_app.ledger import Ledger
from scaling_app.service.forecasting import ForecastKeeper, LiveFacts
from scaling_app.service.glance import work_sentences
from scaling_app.service.job_state import NOT_STARTED, STARTING, CurveTask, with_start
from scaling_app.service.payloads import Job, Payload
from scaling_app.service.routes import make_router
from scaling_app.service.sections import state_note

ENDED = {"state": "idle", "done": 9, "total": 9, "eta_seconds": None, "message": "The curve is measured."}
RUNS = {**ENDED, "state": "running", "done": 3, "message": "Training"}
STARTS = {"state": "running", "done": 0, "total": 0, "eta_seconds": None, "message": STARTING}


@pytest.mark.parametrize(
    ("job", "noted_at", "task", "told"),
    [
        (ENDED, 50.0, None, ENDED),
        (ENDED, 50.0, CurveTask(100.0), STARTS),
        (ENDED, 100.7, CurveTask(100.0), STARTS),  # stopped in the second in which the next was asked for
        (ENDED, None, CurveTask(100.0), STARTS),  # a first job, or a ledger of an older version
        (ENDED, 130.0, CurveTask(100.0), ENDED),  # it has ended, and its process not yet
        (RUNS, 130.0, CurveTask(100.0), RUNS),
        (RUNS, None, CurveTask(100.0), RUNS),
        (ENDED, 50.0, CurveTask(100.0, failed=True), {**ENDED, "message": NOT_STARTED}),
        (ENDED, 130.0, CurveTask(100.0, failed=True), ENDED),
    ],
)
def test_a_job_that_has_said_nothing_yet_is_being_started(job, noted_at, task, told) -> None:
    assert with_start(job, noted_at, task) == told


@dataclass
class Queue:
    """Stands in for the server's: the newest curve job in it."""

    task: CurveTask | None = None
    asked: list[float] = field(default_factory=lambda: [4e9])

    def start(self) -> None:
        self.task = CurveTask(self.asked.pop())


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def client(ledger: Ledger, queue: Queue) -> Iterator[TestClient]:
    keeper = ForecastKeeper(ledger, lambda: LiveFacts(n_pool=3, curve=queue.task))
    app = FastAPI()
    roles = dict.fromkeys(("user", "annotator", "admin"), lambda: None)
    app.include_router(make_router(keeper, ledger, start_update=queue.start, has_image=bool, **roles))
    with TestClient(app) as made:
        yield made
    keeper.close()


def test_the_answer_and_the_page_say_at_once_that_a_measurement_is_being_started(
    client: TestClient, ledger: Ledger, queue: Queue
) -> None:
    ledger.set_job(ENDED)
    assert client.post("/sufficiency/update").json()["job"]["message"] == STARTING
    job = client.get("/sufficiency/").json()["job"]
    assert (job["state"], job["message"]) == ("running", STARTING)
    often = client.get("/sufficiency/report/often").json()
    assert STARTING in often["parts"]["work"] and "being measured" not in often["parts"]["work"]
    assert often["ask_again"] == 3
    queue.task = None  # its process is gone, or the server was started anew
    assert client.get("/sufficiency/").json()["job"] == ENDED
    queue.task = CurveTask(4e9, failed=True)
    assert escape(NOT_STARTED) in client.get("/sufficiency/report/often").json()["parts"]["work"]


def test_a_job_that_is_at_work_says_so_itself(client: TestClient, ledger: Ledger, queue: Queue) -> None:
    client.post("/sufficiency/update")
    ledger.set_job(RUNS)
    assert client.get("/sufficiency/").json()["job"] == RUNS


def test_the_file_says_it_too() -> None:
    starts = Payload.model_validate(
        {
            "schema": 1,
            "status": "ready",
            "advice": {"action": "wait", "sentence": "", "reason": ""},
            "job": STARTS,
        }
    )
    assert STARTING in state_note(starts) and "measured" not in state_note(starts)
    assert work_sentences(Job.model_validate(STARTS), None)[0] == STARTING


def test_the_ledger_says_when_a_job_was_noted(ledger: Ledger) -> None:
    assert ledger.job_noted_at() is None
    ledger.set_job(RUNS)
    assert ledger.job_noted_at() > 1.7e9
    assert ledger.job() == RUNS
