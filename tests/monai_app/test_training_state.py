"""What is being trained, from MONAI Label's queue and the stats of the training."""

from __future__ import annotations

import time
from datetime import datetime
from types import SimpleNamespace

import pytest
from monailabel.utils.async_tasks import utils

from scaling_app.monai_app import training_state
from scaling_app.service.glance import Training
from scaling_app_client.answers import ServerInfo

MODEL = "segmentation"
NOTHING_RUNS = SimpleNamespace(runs=lambda purpose: [SimpleNamespace(state="done")])
STATS = {"start_ts": 1010, "epoch": 100, "total_epochs": 400, "current_time": "0:01:40", "seconds_left": 300}


def queue(status: str, model: str) -> list[dict]:
    """As MONAI Label's own holds it."""
    began = datetime.fromtimestamp(1000).strftime("%Y-%m-%d %H:%M:%S")
    return [{"status": "ERROR"}, {"status": status, "request": {"model": model}, "start_ts": began}]


def test_the_queue_writes_when_a_task_began_as_these_tests_do(monkeypatch) -> None:
    monkeypatch.setattr(utils, "_task_func", lambda *_: None)
    monkeypatch.setattr(utils, "background_tasks", {})
    before = int(time.time())
    task = utils.run_background_task({"model": MODEL}, "train", debug=True)
    assert before <= training_state._began(task) <= time.time()
    assert training_state._began(queue("RUNNING", MODEL)[1]) == 1000


@pytest.mark.parametrize(
    "stats",
    [
        {**STATS, "start_ts": 900, "best_metric": 0.8},  # stopped, or failed
        {**STATS, "start_ts": 999, "best_metric": 0.8, "total_time": "0:06:00", "epoch": 400},
    ],
)
def test_a_training_that_prepares_is_not_told_as_far_as_the_one_before(monkeypatch, stats) -> None:
    monkeypatch.setattr(training_state, "tasks", lambda _: queue("RUNNING", MODEL))
    found = training_state.stats_of(MODEL, stats)
    assert found == {"epoch": 0, "current_time": "0:00:00", "best_metric": 0.8}
    assert training_state.training_of(MODEL, found, NOTHING_RUNS) == Training()
    info = {"name": "x", "version": "1", "models": {}, "trainers": {}, "strategies": {}, "datastore": {}}
    plan = ServerInfo.from_json({**info, "train_stats": {MODEL: found}}).plans[MODEL]
    assert plan.progress is None and plan.minutes_left is None
    assert training_state.stats_of(MODEL, STATS) == STATS
    for status, model in (("DONE", MODEL), ("RUNNING", "learning_curve")):
        monkeypatch.setattr(training_state, "tasks", lambda _, s=status, m=model: queue(s, m))
        assert training_state.stats_of(MODEL, stats) == stats


@pytest.mark.parametrize(
    ("status", "model", "stats", "found"),
    [
        ("RUNNING", MODEL, STATS, Training(100, 400, 300.0)),
        ("RUNNING", MODEL, {**STATS, "epoch": 0, "seconds_left": None}, Training(0, 400, None)),
        ("SUBMITTED", MODEL, {}, Training()),
        ("RUNNING", MODEL, {**STATS, "total_time": "0:06:00"}, Training()),
        ("RUNNING", MODEL, {**STATS, "seconds_left": "soon", "epoch": "x"}, Training(0, 400, None)),
        ("RUNNING", "learning_curve", STATS, None),
        ("DONE", MODEL, STATS, None),
    ],
)
def test_a_training_under_way_is_told_with_what_is_known_of_it(
    monkeypatch, status, model, stats, found
) -> None:
    monkeypatch.setattr(training_state, "tasks", lambda _: queue(status, model))
    assert training_state.training_of(MODEL, stats, NOTHING_RUNS) == found
