"""A real server whose memory and answers are watched."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests

from scaling_app.commands.launch import free_port, init_app, server_command
from scaling_app.imaging import synthetic

STUDIES = ("synthetic_000", "synthetic_001")


@dataclass
class Running:
    """A running server: where it answers, its process, its folder."""

    base: str
    process: subprocess.Popen[bytes]
    folder: Path
    log: Path

    def memory_bytes(self) -> int:
        """Of the server's own process."""
        return psutil.Process(self.process.pid).memory_info().rss

    def tail(self) -> str:
        """The end of its log, for a failing test."""
        return self.log.read_text(errors="replace")[-4000:]

    def temporary(self) -> list[Path]:
        """The files in its folders for temporary files."""
        return [path for path in self.folder.glob("app/model/*/tmp/**/*") if path.is_file()]


@contextlib.contextmanager
def running(folder: Path, conf: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[Running]:
    """A server over two small images; ended with all its children."""
    for index in range(len(STUDIES)):
        case = synthetic.make_case(index, size=16)
        synthetic.write_case(case, folder / "studies", folder / "truth", suffix=".nrrd")
    port = free_port()
    app_dir = init_app(folder / "app")
    command = server_command(
        str(folder / "studies"), host="127.0.0.1", port=port, app_dir=app_dir, conf=dict(conf)
    )
    log = folder / "server.log"
    own = {"OMP_NUM_THREADS": "1", "MONAI_LABEL_SESSION_PATH": str(folder / "sessions")}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, stdout=sink, stderr=subprocess.STDOUT, cwd=folder,
            env=os.environ | own | dict(environment), start_new_session=True,
        )  # fmt: skip
    server = Running(f"http://127.0.0.1:{port}", process, folder, log)
    try:
        _wait_until_up(server)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)


def _wait_until_up(server: Running) -> None:
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        assert server.process.poll() is None, server.tail()
        with contextlib.suppress(requests.ConnectionError, requests.Timeout):
            requests.get(f"{server.base}/openapi.json", timeout=20)
            return
        time.sleep(0.3)
    raise TimeoutError(server.tail())


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that takes small uploads, nobody logged in."""
    with running(tmp_path_factory.mktemp("contract"), {"upload_gb": "0.25"}, {}) as server:
        yield server


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose users log in, at a login server that is not there."""
    environment = {
        "MONAI_LABEL_AUTH_ENABLE": "true",
        "MONAI_LABEL_AUTH_REALM_URI": f"http://127.0.0.1:{free_port()}/realms/none",
    }
    with running(tmp_path_factory.mktemp("guarded"), {}, environment) as server:
        yield server
