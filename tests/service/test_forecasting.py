"""The keeper: answers at once, follows the ledger, survives its worker, leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaling_app.ledger import Ledger, Observation, Run, utc_now
from scaling_app.service import forecasting
from scaling_app.service.forecast_worker import WorkerDiedError
from scaling_app.service.forecasting import ForecastKeeper, LiveFacts
from scaling_app.service.report import report_html

pytestmark = pytest.mark.slow_processes


@pytest.fixture
def keeper(ledger: Ledger) -> Iterator[ForecastKeeper]:
    made = ForecastKeeper(ledger, lambda: LiveFacts(n_pool=40, coverage={"outside": 2, "pool": 40}))
    yield made
    made.close()


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


def is_running(pid: int) -> bool:
    """Whether there is such a process that is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_moved_ledger_is_followed_without_waiting(session, keeper: ForecastKeeper) -> None:
    first = keeper.payload()
    assert first["status"] == "computing"
    assert first["advice"]["action"] == "wait"
    for n in range(1, 9):
        session.label(n)
    began = time.monotonic()
    waiting = keeper.payload()
    assert time.monotonic() - began < 1
    assert waiting["status"] == "computing"
    assert (waiting["n_labelled"], waiting["n_pool"], waiting["coverage"]["outside"]) == (8, 40, 2)
    ready = keeper.payload(fresh=True)
    assert ready["status"] == "ready"
    assert ready["overall"]["now"]["lo80"] < ready["overall"]["now"]["mean"] < ready["overall"]["now"]["hi80"]
    session.ledger.set_setting("target", 0.8)
    again = keeper.payload()
    assert again["status"] == "computing"
    assert again["overall"] == ready["overall"]
    assert keeper.payload(fresh=True)["target"]["dice"] == 0.8


def test_a_saved_forecast_is_taken_up_without_a_process(session, keeper: ForecastKeeper) -> None:
    session.label(1)
    made = keeper.payload(fresh=True)
    assert made["status"] == "too_few"
    other = ForecastKeeper(session.ledger, lambda: LiveFacts(n_pool=40))
    assert other.payload()["status"] == "too_few"
    assert other.payload()["updated"] == made["updated"]
    assert other._worker.pid is None
    other.close()


def test_odd_files_are_no_doubts_about_labels(session) -> None:
    odd = {"image": "a", "sentence": "a.nrrd is the label in use; a.nii.gz beside it is not."}
    keeper = ForecastKeeper(session.ledger, lambda: LiveFacts(files=[odd]))
    payload, summary = keeper.payload(), keeper.summary()
    keeper.close()
    assert (payload["files"], payload["doubts"], summary["n_doubts"]) == ([odd], [], 0)
    html = report_html(payload)
    assert "Files to look at" in html and odd["sentence"] in html
    assert "Labels to look at" not in html


def test_a_killed_worker_is_replaced(session, keeper: ForecastKeeper) -> None:
    keeper.payload(fresh=True)
    pid = keeper._worker.pid
    os.kill(pid, 9)
    session.label(1)
    summary = keeper.summary(fresh=True)
    assert (summary["status"], summary["n_labelled"]) == ("too_few", 1)
    assert keeper._worker.pid != pid


def test_contradictory_observations_are_an_error_with_a_sentence(session, keeper: ForecastKeeper) -> None:
    for n in range(1, 9):
        session.label(n)
    ledger = session.ledger
    for run, size in (("x", 2), ("y", 3)):  # one patient under two names: the same scores throughout
        ids = [f"case_{k:02d}" for k in range(size)]
        ledger.start_run(
            Run(
                run,
                "fold",
                "baseline",
                "resunet",
                ids,
                size,
                0,
                0,
                "s",
                utc_now(),
                None,
                None,
                None,
                "running",
            )
        )
        seen = [
            Observation(run, case, structure, "fold", dice=0.1234 * size + len(structure) / 100)
            for case in ("twin_1", "twin_2")
            for structure in ("anterior", "posterior")
        ]
        ledger.finish_run(run, seen)
    answer = keeper.payload(fresh=True)
    assert answer["status"] == "error"
    assert "twin_1" in answer["message"]


def test_an_unexpected_failure_is_told_and_not_tried_for_ever(
    ledger: Ledger, keeper: ForecastKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def broken(question: dict) -> dict:
        asked.append(question)
        raise WorkerDiedError("exit status 1")

    monkeypatch.setattr(keeper._worker, "ask", broken)
    assert keeper.payload(fresh=True)["status"] == "error"
    assert "exit status 1" in keeper.payload()["message"]
    assert len(asked) == forecasting.ATTEMPTS
    monkeypatch.setattr(forecasting, "RETRY_SECONDS", 0.0)
    keeper.payload(fresh=True, timeout=0.5)
    assert len(asked) > forecasting.ATTEMPTS


@needs_proc
def test_closing_leaves_no_process_and_the_process_had_no_torch(keeper: ForecastKeeper) -> None:
    keeper.payload(fresh=True)
    pid = keeper._worker.pid
    assert is_running(pid)
    assert "libtorch" not in Path(f"/proc/{pid}/maps").read_text()
    keeper.close()
    keeper.close()
    assert not Path(f"/proc/{pid}").exists()
    assert keeper.payload()["status"] == "too_few"


def test_closing_while_computing_does_not_wait_for_it(session, keeper: ForecastKeeper) -> None:
    session.label(1)
    keeper.payload()
    began = time.monotonic()
    keeper.close()
    assert time.monotonic() - began < 10


@needs_proc
def test_the_worker_ends_when_its_server_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from scaling_app.ledger import Ledger\n"
        "from scaling_app.service.forecasting import ForecastKeeper\n"
        f"keeper = ForecastKeeper(Ledger({str(tmp_path / 'ledger.sqlite')!r}))\n"
        "keeper.payload(fresh=True)\n"
        "print(keeper._worker.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    pid = int(server.stdout.readline())
    assert is_running(pid)
    server.kill()
    server.wait()
    server.stdout.close()
    deadline = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)
