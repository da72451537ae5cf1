"""The time left: of a curve job what its minutes have room for, of a training what it expects itself."""

from __future__ import annotations

import json
import time
from collections import deque
from types import SimpleNamespace

import pytest

from scaling_app.studies import train_stats
from scaling_app.studies.curve_work import CurveWork
from scaling_app.trials.step_report import StepReport


@pytest.mark.parametrize(("minutes", "left"), [(60, 20 + 10 * 40), (2, 20), (3, 20 + 40)])
def test_the_time_left_ends_with_the_budget(minutes: float, left: float) -> None:
    work = CurveWork(None, None, "baseline", 60.0 * minutes, None, lambda strategy: 1.0)
    run = SimpleNamespace(
        run_id="a", strategy="baseline", purpose="fold", again=False, n=9, fold=0, test_ids=["x"]
    )
    half = SimpleNamespace(share=0.5, step=20, steps=40)
    work.crew = SimpleNamespace(
        trouble=None, step_of=lambda name: half, place=SimpleNamespace(is_cluster=False)
    )
    work.durations = [("baseline", 40.0)] * 2
    work.started = time.monotonic() - 90
    work.waiting, work.under_way = deque([run] * 10), {"a": (run, None, 0.0)}
    told: list[float] = []
    work.tell = lambda message, eta=None: told.append(eta)
    work._tell_of_runs()
    assert told == [pytest.approx(left)]


def test_the_stats_tell_the_time_that_the_training_itself_expects(tmp_path, monkeypatch) -> None:
    """Its steps over those made say another where minutes end it, or where it goes on from a checkpoint."""
    monkeypatch.setattr(train_stats, "WRITE_EVERY_SECONDS", 0.0)
    file = tmp_path / "stats.json"
    stats = train_stats.TrainStats(file, total=1480, accuracy=None)
    stats.step(StepReport(1190, 1480, 0.1, 10.0, 90.4, "training"))
    assert json.loads(file.read_text())["seconds_left"] == 90
    stats.step(StepReport(1191, 1480, 0.1, 10.0, None, "training"))
    assert "seconds_left" not in json.loads(file.read_text())
    stats.step(StepReport(1192, 1480, 0.1, 10.0, 80.0, "training"))
    assert "seconds_left" not in stats.end(None, steps=1192)
