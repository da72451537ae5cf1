"""How long a curve job still takes is what its minutes have room for, however much the curve is owed."""

from __future__ import annotations

import time
from collections import deque
from types import SimpleNamespace

import pytest

from scaling_app.studies.curve_work import CurveWork


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
