"""A real server on loopback over a few small synthetic images; ended with all its children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from scaling_app.commands.launch import free_port, init_app, server_command
from scaling_app.imaging import synthetic

START_SECONDS = 150


@dataclass
class Served:
    """A running server: where it answers, its process, its folder."""

    base: str
    process: subprocess.Popen[bytes]
    folder: Path
    log: Path

    def memory_bytes(self) -> int:
        """Of the server's own process."""
        return psutil.Process(self.process.pid).memory_info().rss

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-4000:]

    def temporary(self) -> list[Path]:
        """The files in its folders for temporary files."""
        return [path for path in self.folder.glob("app/model/*/tmp/**/*") if path.is_file()]


@contextlib.contextmanager
def served(
    folder: Path,
    conf: Mapping[str, str],
    environment: Mapping[str, str],
    *,
    images: int = 2,
    size: int = 16,
    more: Sequence[str] = (),
) -> Iterator[Served]:
    """A server over synthetic images, whose labels lie in the folder `truth`.

    Args:
        more: options of `monailabel start_server`.

    Raises:
        RuntimeError: it ended; the message is the end of its log.
        TimeoutError: it gave no answer.
    """
    for index in range(images):
        case = synthetic.make_case(index, size=size)
        synthetic.write_case(case, folder / "studies", folder / "truth", suffix=".nrrd")
    port = free_port()
    app_dir = init_app(folder / "app")
    command = server_command(
        str(folder / "studies"), host="127.0.0.1", port=port, app_dir=app_dir, conf=dict(conf)
    )
    command += more
    log = folder / "server.log"
    own = {"OMP_NUM_THREADS": "1", "MONAI_LABEL_SESSION_PATH": str(folder / "sessions")}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, stdout=sink, stderr=subprocess.STDOUT, cwd=folder,
            env=os.environ | own | dict(environment), start_new_session=True,
        )  # fmt: skip
    server = Served(f"http://127.0.0.1:{port}", process, folder, log)
    try:
        _wait_until_up(server)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)


def _wait_until_up(server: Served) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise RuntimeError(server.tail())
        with contextlib.suppress(requests.ConnectionError, requests.Timeout):
            requests.get(f"{server.base}/openapi.json", timeout=20)
            return
        time.sleep(0.3)
    raise TimeoutError(server.tail())
