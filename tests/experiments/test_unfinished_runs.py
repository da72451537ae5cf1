"""A kill costs a run of a replay half a minute, and no run takes up what another one left."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from scaling_app.experiments import replay as replay_module
from scaling_app.experiments import unfinished_runs
from scaling_app.experiments.replay import ReplayProgress, replay
from scaling_app.experiments.replay_run import Arm, ReplayRun
from scaling_app.experiments.runs_table import RunsTable
from scaling_app.experiments.unfinished_runs import MOST_OTHERS, UnfinishedRuns, held
from scaling_app.trials import training
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.failures import TrainingError
from scaling_app.trials.step_report import StepReport

from .replays import folders, rows, stand_in

pytestmark = pytest.mark.slow_training

STEPS, KILLED_AT, PAUSE = 6, 4, 0.3
QUICK = {"n_test": 2, "steps": STEPS, "networks": ["resunet"], "capacity": 4}


def kept(out: Path) -> list[Path]:
    return list((out.with_suffix(".cache") / f"{out.stem}.unfinished").glob("*"))


def killed_replay(volumes: list[CaseFiles], out: Path, **more: object) -> None:
    """A replay in a process of its own that is killed (-9) at a step of its second run; each step before it took its time."""

    def step(progress: ReplayProgress) -> None:
        if progress.done == 1 and progress.step is not None and progress.step.phase == "training":
            time.sleep(PAUSE)
            if progress.step.step == KILLED_AT:
                os.kill(os.getpid(), signal.SIGKILL)

    killed = multiprocessing.get_context("fork").Process(  # loads no library anew
        target=replay,
        args=(*folders(volumes), [1, 2]),
        kwargs={**QUICK, **more, "out": out, "progress": step},
    )
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("strategy", ["baseline", "genseg"])
def test_a_killed_replay_goes_on_in_the_middle_of_its_run_to_the_very_same_rows(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    out, more = tmp_path / "runs.csv", {"strategies": [strategy]}
    killed_replay(volumes, out, **more)
    assert [file.suffix for file in sorted(kept(out))] == [".lock", ".pt"]
    steps: list[int] = []

    def told(progress: ReplayProgress) -> None:
        if progress.step is not None and progress.step.phase == "training":
            steps.append(progress.step.step)

    replay(*folders(volumes), [1, 2], **QUICK, **more, out=out, progress=told)
    assert steps == list(range(KILLED_AT + 1, STEPS + 1))
    assert kept(out) == []
    whole = rows(replay(*folders(volumes), [1, 2], **QUICK, **more, out=tmp_path / "whole.csv"))
    assert [{**row, "seconds": ""} for row in rows(out)] == [{**row, "seconds": ""} for row in whole]
    assert float(rows(out)[-1]["seconds"]) > (KILLED_AT - 1) * PAUSE


def test_the_minutes_of_a_run_are_those_of_all_its_attempts(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    out, steps_of_all = tmp_path / "runs.csv", 8
    minutes = steps_of_all * PAUSE / 60
    more = {"max_minutes": minutes, "steps": 100_000, "strategies": ["none"]}
    killed_replay(volumes, out, **more)

    def pause(progress: ReplayProgress) -> None:
        if progress.step is not None and progress.step.phase == "training":
            time.sleep(PAUSE)

    replay(*folders(volumes), [1, 2], **{**QUICK, **more}, out=out, progress=pause)
    assert KILLED_AT <= int(rows(out)[-1]["trained_steps"]) <= steps_of_all + 1


@pytest.fixture
def run(volumes: list[CaseFiles], tmp_path: Path) -> ReplayRun:
    """A run whose files may be changed."""
    for name in ("images", "labels"):
        shutil.copytree(getattr(volumes[0], name[:-1]).parent, tmp_path / name)
    own = [
        replace(
            case, image=tmp_path / "images" / case.image.name, label=tmp_path / "labels" / case.label.name
        )
        for case in volumes
    ]
    return ReplayRun(
        "synthetic", "resunet", Arm("a", "red", {"red_strength": "1%"}), 2, 0, 0, None, {"organ": 1},
        tuple(own[:2]), tuple(own[4:]), (replace(own[2], label=None),), tmp_path / "cache", 2**28,
    )  # fmt: skip


def test_a_checkpoint_is_found_by_all_that_makes_its_run(run: ReplayRun, tmp_path: Path) -> None:
    unfinished = UnfinishedRuns(tmp_path / "unfinished")
    file = unfinished.file_of(run)
    assert unfinished.file_of(replace(run, memory_bytes=1, threads=1, shared_cache=True)) == file
    first, second = run.training
    others = [
        replace(run, **change)
        for change in (
            {"dataset": "other"}, {"network": "resenc"}, {"n": 3}, {"draw": 1}, {"seed": 1}, {"steps": 9},
            {"arm": Arm("a", "regda", {"red_strength": "1%"})}, {"arm": Arm("a", "red", {"red_strength": "2%"})},
            {"structures": {"organ": 2}}, {"capacity": 8}, {"step_bytes": 2**30}, {"learning_rate": 0.1},
            {"max_minutes": 1.0}, {"pool": ()}, {"training": (second, first)}, {"training": (first,)},
            {"training": (first, replace(second, patient="other"))}, {"training": (first, replace(second, values=((1, 2),)))},
        )
    ]  # fmt: skip
    assert len({unfinished.file_of(other) for other in others} | {file}) == len(others) + 1


@pytest.mark.parametrize("kind", ["label", "image"])
def test_a_changed_file_begins_its_run_anew(run: ReplayRun, tmp_path: Path, kind: str) -> None:
    unfinished = UnfinishedRuns(tmp_path / "unfinished")
    file, other = unfinished.file_of(run), unfinished.file_of(replace(run, seed=7))
    unfinished.folder.mkdir()
    file.touch(), other.touch()
    shutil.copyfile(getattr(run.training[1], kind), getattr(run.training[0], kind))
    assert unfinished.file_of(run) != file
    assert not file.exists() and other.exists()


HOLDER = """
import sys, time
from pathlib import Path
from scaling_app.experiments.unfinished_runs import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_process_at_a_time_has_a_checkpoint_and_a_killed_one_holds_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(unfinished_runs, "WAIT_SECONDS", 0.2)
    file = tmp_path / "unfinished" / "a-b.pt"
    with subprocess.Popen([sys.executable, "-c", HOLDER, file], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with held(file) as mine:
            assert mine is None
        assert "without a checkpoint" in caplog.text
        other.kill()
    with held(file) as mine:
        assert mine == file
    assert list(file.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "stays"), [(OSError(28, "No space left"), True), (TrainingError("undefined"), False)]
)
def test_a_run_that_failed_keeps_its_checkpoint_unless_it_would_fail_there_again(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, stays: bool
) -> None:
    def fails(run: ReplayRun, **_) -> list[dict[str, object]]:
        run.checkpoint.parent.mkdir(parents=True)
        run.checkpoint.touch()
        raise error

    monkeypatch.setattr(replay_module, "run_once", fails)
    with pytest.raises(type(error)):
        replay(*folders(volumes), [1], n_test=2, out=tmp_path / "r.csv")
    assert len(kept(tmp_path / "r.csv")) == stays


def test_a_checkpoint_goes_once_its_rows_are_in_the_table_and_not_before(
    volumes: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(run: ReplayRun, **_) -> list[dict[str, object]]:
        run.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        run.checkpoint.touch()
        return stand_in(run)

    def full(*_) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(replay_module, "run_once", made)
    out = tmp_path / "r.csv"
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(RunsTable, "add", full)
        replay(*folders(volumes), [1], n_test=2, out=out)
    (file,) = kept(out)
    replay(*folders(volumes), [1], n_test=2, out=out)
    assert kept(out) == [] and len(rows(out)) == 4
    file.parent.mkdir()
    file.touch()  # a kill came between the table and it
    for number in range(MOST_OTHERS + 3):
        file.with_name(f"{number:016x}-0.pt").touch()
    replay(*folders(volumes), [1], n_test=2, out=out)
    assert not file.exists() and len(kept(out)) == MOST_OTHERS


def test_runs_that_resume_side_by_side_have_a_time_left(run: ReplayRun, tmp_path: Path) -> None:
    runs, told = [replace(run, draw=draw) for draw in range(4)], []
    doing = replay_module._Replaying(
        runs, len(runs), RunsTable(tmp_path / "runs.csv", {}), UnfinishedRuns(tmp_path), told.append
    )
    doing.began -= 60
    for step in (80, 95):
        for one in runs:
            doing._tell(one, StepReport(step, 100, None, float(step), 100.0 - step, "training"), None)
    assert told[-1].eta_s == pytest.approx(60 * 4 * 0.05 / (4 * 0.15), rel=0.05)
