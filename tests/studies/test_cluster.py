"""The curve's runs on a real Dask cluster of processes: each counts once, whatever dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scaling_app.ledger import utc_now
from scaling_app.monai_app.studies_folder import StudiesFolder
from scaling_app.studies.conf import Conf
from scaling_app.studies.curve_job import run_curve_job
from scaling_app.studies.studies import Studies
from scaling_app.studies.train_options import parse_options
from scaling_app.trials.wire import UNDER_WAY

pytestmark = [pytest.mark.slow_training, pytest.mark.slow_processes, pytest.mark.timeout(600)]
distributed = pytest.importorskip("distributed")

STEPS = 10
LONGER = 40
MINUTES = 600  # no crowd on the machine uses the budget up


def cluster_of(n_workers: int) -> distributed.LocalCluster:
    """Worker processes, each with a nanny that starts another when it dies."""
    return distributed.LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0")


@pytest.fixture(scope="module")
def workers() -> Iterator[distributed.LocalCluster]:
    """Two, for the tests of this file: each loads PyTorch and MONAI."""
    with cluster_of(2) as cluster:
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
    result = run_curve_job(desk.studies, options_for(desk), MINUTES)
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


def test_a_cluster_that_goes_away_leaves_its_runs_to_this_machine(desk_of):
    with cluster_of(1) as cluster:
        desk = desk_of(5, size=12, scheduler=cluster.scheduler_address)
        desk.submit(*desk.labels)

        def end_it() -> None:
            folder = desk.studies.folder / UNDER_WAY
            while not any(folder.glob("*.step.json")):
                time.sleep(0.05)
            cluster.close()

        ending = threading.Thread(target=end_it, daemon=True)
        ending.start()
        result = run_curve_job(desk.studies, options_for(desk, steps=8), MINUTES)
        ending.join(30)
    assert result["done"] == result["total"] == len(desk.studies.ledger.runs())
    assert {run.state for run in desk.studies.ledger.runs()} == {"done"}
    assert "on this machine" in result["message"] and cluster.scheduler_address in result["message"]
    assert desk.studies.ledger.job()["message"] == result["message"]


def one_job(conf: Conf, folder: Path) -> None:
    """The curve job as a server begins it: in a process of its own."""
    run_curve_job(Studies(conf, StudiesFolder(folder)), parse_options({"steps": LONGER}, conf), MINUTES)


def keep_every_step(taken_up: Path) -> None:
    """On a worker: each step is kept, and each training says at which it begins."""
    from scaling_app.trials import training

    resume = training._Run.resume

    def noted(run) -> None:
        resume(run)
        with taken_up.open("a") as stream:
            stream.write(f"{run.step}\n")

    training._CHECKPOINT_SECONDS, training._Run.resume = 0.0, noted


def test_runs_of_a_server_that_died_are_taken_up_by_the_next_one_and_count_once(desk_of, workers, tmp_path):
    desk = desk_of(5, size=12, scheduler=workers.scheduler_address)
    desk.submit(*desk.labels)
    taken_up, unfinished = tmp_path / "taken up", desk.studies.folder / "unfinished"
    with distributed.Client(workers.scheduler_address, set_as_default=False) as client:
        client.wait_for_workers(2)  # that of the test before may still be starting
        client.run(keep_every_step, taken_up)
    server = multiprocessing.get_context("spawn").Process(
        target=one_job, args=(desk.studies.conf, tmp_path / "studies")
    )
    server.start()
    while not list(unfinished.glob("*.pt")):
        assert server.is_alive()
        time.sleep(0.01)
    server.kill()
    server.join()
    died = utc_now()
    begun = {run.run_id for run in desk.studies.ledger.runs() if run.state == "running"}
    assert begun and desk.studies.ledger.trainers() == set()
    begun_anew = len(taken_up.read_text().split())

    result = run_curve_job(desk.studies, options_for(desk, steps=LONGER), MINUTES)
    runs = desk.studies.ledger.runs()
    assert result["done"] == result["total"] == len(runs) and "this machine" not in result["message"]
    assert {run.state for run in runs} == {"done"} and begun <= {run.run_id for run in runs}
    assert min(run.finished_at for run in runs if run.run_id in begun) > died
    seen = [(o.run_id, o.image_id, o.structure) for o in desk.studies.ledger.observations()]
    assert len(seen) == len(set(seen)) and {run_id for run_id, _, _ in seen} == {run.run_id for run in runs}
    steps = [int(step) for step in taken_up.read_text().split()]
    assert set(steps[:begun_anew]) == {0} and max(steps) > 0
