"""Ctrl-C, and the signal that service managers send, end a command in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scaling_app.commands import launch
from scaling_app.commands.cli import main
from scaling_app.experiments import replay as replay_module

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


def serve_in(folder: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> int:
    monkeypatch.setattr(launch, "server_command", lambda *_, **__: [sys.executable, "-c", program])
    return launch.serve(
        str(folder), host="127.0.0.1", port=launch.free_port(), app_dir=folder / "app", conf={}
    )


def test_a_terminated_serve_takes_its_server_along(monkeypatch, tmp_path: Path) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def noted(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
        started.append(real(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(launch.subprocess, "Popen", noted)
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    before = signal.getsignal(signal.SIGTERM)
    assert serve_in(tmp_path, monkeypatch, "import time; time.sleep(60)") == 0
    timer.join()
    assert started[0].poll() is not None
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("ends", "status"), [("0", 0), ("2", 2), ("3", 1)])
def test_serve_ends_with_success_bad_input_or_failure(
    monkeypatch, tmp_path: Path, ends: str, status: int
) -> None:
    assert serve_in(tmp_path, monkeypatch, f"raise SystemExit({ends})") == status
