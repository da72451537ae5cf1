"""The curve's runs on a real Dask cluster of processes: each counts once, whatever dies."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from scaling_app.studies.curve_job import run_curve_job
from scaling_app.studies.train_options import parse_options
from scaling_app.trials.wire import UNDER_WAY

pytestmark = [pytest.mark.slow_training, pytest.mark.slow_processes, pytest.mark.timeout(600)]
distributed = pytest.importorskip("distributed")

STEPS = 10


@pytest.fixture
def workers() -> Iterator[distributed.LocalCluster]:
    """Two worker processes, each with a nanny that starts another when it dies."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster


def options_for(desk, **request):
    return parse_options({"steps": STEPS, **request}, desk.studies.conf)


def test_a_worker_that_is_killed_in_mid_run_costs_no_run_and_none_counts_twice(desk_of, workers):
    desk = desk_of(5, size=12, scheduler=workers.scheduler_address)
    desk.submit(*desk.labels)
    killed: list[int] = []
    told: list[str] = []

    def kill_one() -> None:
        """As soon as a run has told of a step."""
        folder = desk.studies.folder / UNDER_WAY
        while not any(folder.glob("*.step.json")):
            told.append(desk.studies.ledger.job()["message"] or "")
            time.sleep(0.05)
        nanny = workers.workers[0]
        killed.append(nanny.pid)
        os.kill(nanny.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    result = run_curve_job(desk.studies, options_for(desk), 10)
    killer.join(10)
    assert killed and not psutil.pid_exists(killed[0])
    runs = desk.studies.ledger.runs()
    assert result["done"] == result["total"] == len(runs) > 4
    assert {run.state for run in runs} == {"done"} and "this machine" not in result["message"]
    seen = [(o.run_id, o.image_id, o.structure) for o in desk.studies.ledger.observations()]
    assert len(seen) == len(set(seen)) and {run_id for run_id, _, _ in seen} == {run.run_id for run in runs}
    assert any("at once on the cluster tcp://" in message for message in told)
    left = [desk.studies.folder / UNDER_WAY, *(desk.studies.folder / "unfinished").glob("*")]
    assert not any(path.exists() for path in left)


def test_a_cluster_that_goes_away_leaves_its_runs_to_this_machine(desk_of, workers):
    desk = desk_of(5, size=12, scheduler=workers.scheduler_address)
    desk.submit(*desk.labels)

    def end_it() -> None:
        folder = desk.studies.folder / UNDER_WAY
        while not any(folder.glob("*.step.json")):
            time.sleep(0.05)
        workers.close()

    ending = threading.Thread(target=end_it, daemon=True)
    ending.start()
    result = run_curve_job(desk.studies, options_for(desk, steps=8), 10)
    ending.join(30)
    assert result["done"] == result["total"] == len(desk.studies.ledger.runs())
    assert {run.state for run in desk.studies.ledger.runs()} == {"done"}
    assert "on this machine" in result["message"] and workers.scheduler_address in result["message"]
    assert desk.studies.ledger.job()["message"] == result["message"]
