"""Ctrl-C, and the signal that service managers send, end a command in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from monailabel.utils.async_tasks import utils as task_utils

from scaling_app.commands import launch
from scaling_app.commands.cli import main
from scaling_app.experiments import replay as replay_module
from scaling_app.monai_app import serving

pytestmark = pytest.mark.slow_processes


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def command(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["scaling-app", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return command


def test_a_stopped_replay_says_that_it_can_go_on(run, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(replay_module, "replay", interrupted)
    folder = str(tmp_path)
    status, err = run("replay", "--images", folder, "--labels", folder, "--sizes", "2", "--out", "r.csv")
    assert (status, err) == (1, "scaling-app: stopped; the same command goes on from here\n")


def test_another_stopped_command_promises_nothing(run, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr("scaling_app.service.report_sources.report_from", interrupted)
    table = tmp_path / "runs.csv"
    table.touch()
    assert run("report", str(table)) == (1, "scaling-app: stopped\n")


def serve_in(folder: Path, monkeypatch: pytest.MonkeyPatch, server: Callable[..., None]) -> int:
    monkeypatch.setattr(serving, "run_server", server)
    return launch.serve(
        str(folder), host="127.0.0.1", port=launch.free_port(), app_dir=folder / "app", conf={}
    )


def test_a_terminated_serve_ends_well_and_leaves_the_signal_as_it_was(monkeypatch, tmp_path: Path) -> None:
    def server(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    before = signal.getsignal(signal.SIGTERM)
    assert serve_in(tmp_path, monkeypatch, server) == 0
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("ends", "status"), [(0, 0), (2, 2), (3, 1)])
def test_serve_ends_with_success_bad_input_or_failure(
    monkeypatch, tmp_path: Path, ends: int, status: int
) -> None:
    def server(*_: object, **__: object) -> None:
        raise SystemExit(ends)

    assert serve_in(tmp_path, monkeypatch, server) == status


def test_tasks_that_run_or_wait_end_with_the_server(monkeypatch) -> None:
    monkeypatch.setattr(serving.os, "_exit", lambda status: None)
    running, waiting = ({"id": name, "request": {}, "status": "SUBMITTED"} for name in ("running", "waiting"))
    slow = [sys.executable, "-c", "import time; print('on', flush=True); time.sleep(60)"]
    real = subprocess.Popen
    monkeypatch.setattr(task_utils.subprocess, "Popen", lambda command, **options: real(slow, **options))
    monkeypatch.setenv("PYTHONPATH", "")
    executor = ThreadPoolExecutor(1)
    monkeypatch.setattr(task_utils, "background_tasks", {"train": [running, waiting]})
    monkeypatch.setattr(task_utils, "background_processes", {"train": {}})
    monkeypatch.setattr(serving, "background_executors", {"train": executor})
    first, second = (executor.submit(task_utils._task_func, task, "train") for task in (running, waiting))
    while not running.get("details"):
        time.sleep(0.05)
    serving._end()
    first.result(timeout=20)
    assert (running["status"], waiting["status"]) == ("STOPPED", "SUBMITTED")
    assert second.cancelled()
