"""A real server on loopback, over studies of any kind or a few small synthetic images; ended with all its children."""

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

START_SECONDS = 300
NOTHING: Mapping[str, str] = {}


@dataclass
class Served:
    """A running server: where it answers, its process, its folder and the app's in it."""

    base: str
    process: subprocess.Popen[bytes]
    folder: Path
    log: Path

    @property
    def app_dir(self) -> Path:
        """Where model and ledger are."""
        return self.folder / "app"

    def memory_bytes(self) -> int:
        """Of the server's own process."""
        return psutil.Process(self.process.pid).memory_info().rss

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-4000:]

    def temporary(self) -> list[Path]:
        """The files in its folders for temporary files."""
        return [path for path in self.folder.glob("app/model/*/tmp/**/*") if path.is_file()]

    def kill(self) -> None:
        """Ends it with its children, whatever they are at."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=30)


def launched(
    studies: str,
    folder: Path,
    port: int,
    log: Path,
    conf: Mapping[str, str] = NOTHING,
    environment: Mapping[str, str] = NOTHING,
    more: Sequence[str] = (),
) -> subprocess.Popen[bytes]:
    """The process of a server with its app in `folder`, which leads a group of its own; nobody waits for its answer.

    Args:
        more: words for MONAI Label's command line.
    """
    command = server_command(studies, host="127.0.0.1", port=port, app_dir=folder / "app", conf=conf)
    command += more
    own = {"MONAI_LABEL_SESSION_PATH": str(folder / "sessions")}
    with log.open("wb") as sink:
        return subprocess.Popen(
            command, stdout=sink, stderr=subprocess.STDOUT, cwd=folder,
            env=os.environ | own | dict(environment), start_new_session=True,
        )  # fmt: skip


@contextlib.contextmanager
def serving(
    studies: str,
    folder: Path,
    conf: Mapping[str, str] = NOTHING,
    environment: Mapping[str, str] = NOTHING,
    more: Sequence[str] = (),
) -> Iterator[Served]:
    """A server over these studies, a folder or the address of a DICOM server; its own files lie in `folder`.

    Raises:
        RuntimeError: it ended; the message is the end of its log.
        TimeoutError: it gave no answer.
    """
    port = free_port()
    log = folder / f"server-{port}.log"
    init_app(folder / "app")
    process = launched(studies, folder, port, log, conf, environment, more)
    server = Served(f"http://127.0.0.1:{port}", process, folder, log)
    try:
        wait_until_up(server)
        yield server
    finally:
        server.kill()


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
    """A server over synthetic images, whose labels lie in the folder `truth`; raises as `serving` does."""
    for index in range(images):
        case = synthetic.make_case(index, size=size)
        synthetic.write_case(case, folder / "studies", folder / "truth", suffix=".nrrd")
    one_thread = {"OMP_NUM_THREADS": "1"}
    with serving(str(folder / "studies"), folder, conf, one_thread | dict(environment), more) as server:
        yield server


def wait_until_up(server: Served) -> None:
    """Waits for the first answer; one that asks who is there is one, too."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise RuntimeError(server.tail())
        with contextlib.suppress(requests.ConnectionError, requests.Timeout):
            requests.get(f"{server.base}/info/", timeout=60)
            return
        time.sleep(0.3)
    raise TimeoutError(server.tail())
