"""Runs go to whoever there is: this process, other processes, a cluster; none is lost with its machine, none counts twice."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from scaling_app.trials import crew as crew_module
from scaling_app.trials import wire, workplace
from scaling_app.trials.crew import Crew
from scaling_app.trials.step_report import StepReport
from scaling_app.trials.wire import JobEnd, WorkerError
from scaling_app.trials.workplace import ClusterError, cluster, here

distributed = pytest.importorskip("distributed")


@pytest.fixture(autouse=True)
def quick_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "EVERY_SECONDS", 0.05)
    monkeypatch.setattr(crew_module, "LOOK_SECONDS", 0.05)


@pytest.fixture
def address() -> Iterator[str]:
    """A scheduler with two workers in this process."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    ) as made:
        yield made.scheduler_address


def worked_off(crew: Crew, runs: dict[str, object]) -> dict[str, object]:
    """The results of all runs; those that have to be begun again are."""
    waiting, out = list(runs), {}
    while waiting or crew.names:
        while waiting and crew.has_room():
            name = waiting.pop(0)
            crew.begin(name, runs[name])
        for name, future in crew.ended():
            if future is None:
                waiting.append(name)
            else:
                assert name not in out
                out[name] = future.exception() or future.result()
    return out


def doubled(run: int, *, on_step, should_stop) -> int:
    on_step(StepReport(run, 10, None, 0.0, None, "training"))
    if run == 3:
        raise ValueError("three")
    return 2 * run


@pytest.mark.parametrize("where", ["here", "cluster"])
def test_every_run_comes_back_once_and_its_error_is_its_own(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = here if where == "here" else partial(cluster, request.getfixturevalue("address"))
    with Crew(doubled, tmp_path / "wire", place) as crew:
        out = worked_off(crew, {f"r{k}": k for k in range(5)})
    assert isinstance(out.pop("r3"), ValueError)
    assert out == {"r0": 0, "r1": 2, "r2": 4, "r4": 8}
    assert crew.trouble is None and not (tmp_path / "wire").exists()


def card_of(run: Path, *, on_step, should_stop) -> tuple[int, str]:
    """The process and its GPU, once another process has told of its own."""
    (run / str(os.getpid())).touch()
    deadline = time.monotonic() + 120
    while len(list(run.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    return os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"]


@pytest.mark.slow_processes
@pytest.mark.parametrize("visible", ["", "3,5"])
def test_each_of_several_processes_has_a_gpu_for_itself_and_there_are_no_more_than_gpus(
    visible: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workplace, "_gpus", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    (tmp_path / "met").mkdir()
    with Crew(card_of, tmp_path / "wire", partial(here, 4)) as crew:
        assert (crew.place.places(), crew.place.on_one_machine()) == (2, 2)
        out = worked_off(crew, {f"r{k}": tmp_path / "met" for k in range(3)})
    cards = visible.split(",") if visible else ["0", "1"]
    assert len(set(out.values())) == 2 and sorted(card for _, card in set(out.values())) == cards


@pytest.mark.parametrize(
    ("gpus", "workers", "places"),
    [
        (0, None, 1),
        (0, 3, 3),
        (1, None, 1),
        (1, 3, 1),
        (2, None, 2),
        (2, 3, 2),
        (4, 3, 3),
        (4, 1, 1),
        (4, 0, 1),
    ],
)
def test_as_many_places_as_processes_were_asked_for_but_no_more_than_gpus(
    gpus: int, workers: int | None, places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workplace, "_gpus", lambda: gpus)
    with here(workers) as place:
        assert place.places() == place.on_one_machine() == places


def test_workers_of_one_machine_are_counted_as_such(address: str) -> None:
    with cluster(address) as place:
        assert place.places() == place.on_one_machine() == 2


def test_the_machine_with_most_places_says_how_many_share_one() -> None:
    workers = workplace._Workers(None, "tcp://a:1")
    assert workers.on_one_machine() == 1
    workers._known = [{"host": "a"}, {"host": "b", "resources": {"GPU": 3.0}}, {"host": "b"}]
    assert workers.on_one_machine() == 3


def until_unwanted(run: threading.Event, *, on_step, should_stop) -> str:
    deadline = time.monotonic() + 20
    while not should_stop():
        on_step(StepReport(3, 10, None, 0.0, None, "training"))
        if run.is_set():
            return "whole"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return "in part"


def in_thread(work: Callable, folder: Path, run: object, end: wire.RunEnd) -> tuple[threading.Thread, list]:
    out: list = []

    def carried_out() -> None:
        try:
            out.append(crew_module._carry_out(work, run, end))
        except WorkerError as error:
            out.append(error)

    thread = threading.Thread(target=carried_out)
    thread.start()
    return thread, out


@pytest.mark.parametrize("why", ["the job ends", "another job begins", "it wants others", "it falls silent"])
def test_a_run_elsewhere_ends_itself_when_nobody_wants_it_and_its_part_is_no_result(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = JobEnd(tmp_path / "wire")
    job.want(["r"])
    thread, out = in_thread(until_unwanted, tmp_path, threading.Event(), job.end_of("r"))
    deadline = time.monotonic() + 20
    while job.step_of("r") is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert job.step_of("r").step == 3
    if why == "the job ends":
        job.closed()
    elif why == "another job begins":
        JobEnd(tmp_path / "wire").want(["r"])
    elif why == "it wants others":
        job.want(["s"], at_once=True)
    else:
        monkeypatch.setattr(wire, "SILENT_SECONDS", 0.2)
    thread.join(20)
    assert isinstance(out[0], WorkerError)


@pytest.mark.parametrize(
    ("what", "words"), [("folder", "under the same paths"), ("version", "install one version")]
)
def test_a_worker_without_the_folders_or_of_another_version_says_so(
    what: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = JobEnd(tmp_path / "wire")
    if what == "version":
        job.want(["r"])
        monkeypatch.setattr(wire, "__version__", "99")
    with pytest.raises(WorkerError, match=words):
        crew_module._carry_out(doubled, 1, job.end_of("r"))


def test_what_a_cluster_cannot_do_is_done_here_and_the_trouble_is_said(tmp_path: Path, address: str) -> None:
    """Its workers see no folder, as on machines without the network disk."""
    seen: list[str] = []

    class Elsewhere(wire.RunEnd):
        def require_job(self) -> None:
            raise WorkerError("the worker w does not see the folder")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(JobEnd, "end_of", lambda self, run: Elsewhere(self.folder, "", run))
        places = (partial(cluster, address), here)
        with Crew(doubled, tmp_path / "wire", *places, on_look=lambda: seen.append("look")) as crew:
            out = worked_off(crew, {f"r{k}": k for k in range(3)})
            assert crew.place.name == "here"
    assert out == {"r0": 0, "r1": 2, "r2": 4} and seen
    assert crew.trouble == "the worker w does not see the folder. The trainings are made on this machine."


@pytest.mark.parametrize("how", ["nobody listens", "no answer", "another program"])
def test_a_scheduler_that_is_none_is_named_and_the_runs_are_made_here(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workplace, "ANSWER_SECONDS", 1)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        if how != "nobody listens":
            listening.listen()
        if how == "another program":
            threading.Thread(
                target=lambda: listening.accept()[0].sendall(b"HTTP/1.1 400\r\n\r\n"), daemon=True
            ).start()
        place = partial(cluster, f"tcp://127.0.0.1:{port}")
        with pytest.raises(ClusterError, match=f"no Dask scheduler answers at tcp://127.0.0.1:{port} "):
            Crew(doubled, tmp_path / "wire", place)
        with Crew(doubled, tmp_path / "wire", place, here) as crew:
            assert worked_off(crew, {"r1": 1}) == {"r1": 2}
        assert f"127.0.0.1:{port}" in crew.trouble


def test_a_job_is_heard_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no room for a second file, but for another word in the first."""
    job = JobEnd(tmp_path / "wire")
    job.want(["a run with a long name", "b"], at_once=True)
    before = job.end_of("b").told()

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(wire, "write_whole_text", full)
    job.want(["b"], at_once=True)
    after = job.end_of("b").told()
    assert after["runs"] == ["b"] and after["beat"] == before["beat"] + 1
    (tmp_path / "wire" / "job.json").unlink()
    with pytest.raises(OSError, match="No space"):
        job.want(["b"], at_once=True)
