"""A log gets a plain line every so often, with the time left, also while a command tells nothing new."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace

import pytest

from scaling_app.experiments import progress as module
from scaling_app.experiments.progress import LogLines, shown
from scaling_app.experiments.replay import ReplayProgress
from scaling_app.trials.step_report import StepReport

RUN = SimpleNamespace(strategy="genda", network="resunet", n=4, draw=0, seed=1)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINE_SECONDS", 0.05)


def lines(capsys: pytest.CaptureFixture[str], at_least: int) -> list[str]:
    """What a log holds after so many lines."""
    found: list[str] = []
    deadline = time.monotonic() + 10
    while len(found) < at_least and time.monotonic() < deadline:
        time.sleep(0.02)
        found += capsys.readouterr().err.splitlines()
    return found


def test_a_log_says_where_a_replay_stands_while_a_run_takes_long(capsys) -> None:
    with shown() as bars:
        assert isinstance(bars, LogLines)
        step = StepReport(120, 400, 0.5, 60.0, 140.0, "training")
        bars.show(ReplayProgress(3, 20, RUN, step, None, 7300.0))
        first, second, *_ = lines(capsys, 2)
        bars.show(ReplayProgress(4, 20, RUN, None, 0.812, 7000.0))
        done, after, *_ = [line for line in lines(capsys, 3) if "step 120" not in line]
    pattern = (
        r"runs: 3 of 20; genda resunet n=4 draw 0 seed 1: step 120 of 400, about 2\.0 h left \(0 s so far\)"
    )
    assert re.fullmatch(pattern, first) and re.fullmatch(pattern, second)
    assert done == "genda resunet n=4 draw 0 seed 1: mean Dice 0.812"
    assert after.startswith("runs: 4 of 20, about 1.9 h left")


def test_a_log_says_where_a_preview_stands(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with shown() as bars:
        bars.phase("learning from the cases", 0, 12)
        assert lines(capsys, 1)[0].startswith("learning from the cases: 0 of 12 (")
        bars.phase("samples", 1, 41)
        now[0] += 10.0
        bars.phase("samples", 2, 42)
        assert "samples: 2 of 42, about 3 min left (10 s so far)" in lines(capsys, 3)


def test_nothing_is_written_before_there_is_something_to_say_and_after_the_end(capsys) -> None:
    with shown() as bars:
        time.sleep(0.15)
    bars.stands("late")
    time.sleep(0.15)
    assert capsys.readouterr().err == ""


def test_a_log_on_a_full_disk_ends_no_replay() -> None:
    class Full:
        def write(self, text: str) -> None:
            raise OSError(28, "No space left on device")

    log = LogLines(Full())
    log.show(ReplayProgress(1, 20, RUN, None, 0.8, None))
    time.sleep(0.1)
    assert log._thread.is_alive()
    log.close()
