"""What is being trained, from MONAI Label's queue and the stats of the training."""

from __future__ import annotations

import pytest

from scaling_app.monai_app import training_state
from scaling_app.service.glance import Training

MODEL = "segmentation"
STATS = {"start_ts": 1010, "epoch": 100, "total_epochs": 400, "current_time": "0:01:40", "seconds_left": 300}


@pytest.mark.parametrize(
    ("status", "model", "stats", "found"),
    [
        ("RUNNING", MODEL, STATS, Training(100, 400, 300.0)),
        ("RUNNING", MODEL, {**STATS, "epoch": 0, "seconds_left": None}, Training(0, 400, None)),
        ("SUBMITTED", MODEL, {}, Training()),
        ("RUNNING", MODEL, {**STATS, "start_ts": 900}, Training()),  # of the training before
        ("RUNNING", MODEL, {**STATS, "total_time": "0:06:00"}, Training()),
        ("RUNNING", MODEL, {**STATS, "seconds_left": "soon", "epoch": "x"}, Training(0, 400, None)),
        ("RUNNING", "learning_curve", STATS, None),
        ("DONE", MODEL, STATS, None),
    ],
)
def test_a_training_under_way_is_told_with_what_is_known_of_it(
    monkeypatch, status, model, stats, found
) -> None:
    queue = [{"status": "ERROR"}, {"status": status, "request": {"model": model}, "start_ts": 1000}]
    monkeypatch.setattr(training_state, "tasks", lambda _: queue)
    assert training_state.training_of(MODEL, stats) == found
