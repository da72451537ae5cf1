"""What is being trained, from MONAI Label's queue and the stats of the training."""

from __future__ import annotations

import time
from datetime import datetime
from types import SimpleNamespace

import pytest
from monailabel.utils.async_tasks import utils

from scaling_app.monai_app import failed_starts, training_state
from scaling_app.service.glance import Training
from scaling_app.service.job_state import CurveTask
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


CURVE = "learning_curve"


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ([("RUNNING", CURVE)], CurveTask(1000)),
        ([("SUBMITTED", CURVE)], CurveTask(1000)),
        ([("RUNNING", MODEL), ("SUBMITTED", CURVE)], None),  # it waits for the training
        ([("ERROR", CURVE)], CurveTask(1000, failed=True)),
        ([("ERROR", CURVE), ("RUNNING", MODEL)], CurveTask(1000, failed=True)),
        ([("ERROR", CURVE), ("DONE", CURVE)], None),
        ([("STOPPED", CURVE)], None),
        ([("RUNNING", MODEL)], None),
        ([], None),
    ],
)
def test_a_curve_job_is_seen_in_the_queue_before_it_has_said_a_word(monkeypatch, told, found) -> None:
    queued = [task for status, model in told for task in queue(status, model)[1:]]
    monkeypatch.setattr(training_state, "tasks", lambda _: queued)
    assert training_state.curve_task(CURVE) == found


def test_a_training_for_which_a_curve_job_waits_is_told(monkeypatch) -> None:
    queued = [*queue("RUNNING", MODEL), *queue("SUBMITTED", CURVE)]
    monkeypatch.setattr(training_state, "tasks", lambda _: queued)
    assert training_state.training_of(MODEL, STATS, NOTHING_RUNS) == Training(100, 400, 300.0)


def test_a_task_whose_process_cannot_be_started_has_failed(monkeypatch) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(utils, "background_tasks", {})
    monkeypatch.setattr(utils, "_task_func", utils._task_func)
    monkeypatch.setattr(utils.subprocess, "Popen", no_memory)
    monkeypatch.setenv("PYTHONPATH", "")
    failed_starts.tell_of_failed_starts()
    failed_starts.tell_of_failed_starts()
    task = utils.run_background_task({"model": CURVE}, "train")
    deadline = time.monotonic() + 10
    while task["status"] == "SUBMITTED" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert task["status"] == "ERROR" and "Cannot allocate memory" in task["details"][0]
    assert training_state.curve_task(CURVE).failed
