"""`scaling-app serve` as an operator starts it: https, logs as JSON lines."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import requests
import trustme

from scaling_app.commands.launch import free_port
from scaling_app.imaging import synthetic


@dataclass
class Served:
    """A running server: its address, folders, true labels by image, log and process."""

    url: str
    app: Path
    studies: Path
    labels: dict[str, Path]
    log: Path
    process: subprocess.Popen[bytes]
    environment: dict[str, str]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs `scaling-app`."""
        return scaling_app(*arguments, env=self.environment)


def scaling_app(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs `scaling-app` in a process of its own."""
    command = [sys.executable, "-m", "scaling_app.commands.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=env)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who vouches for the certificates."""
    return trustme.CA()


def certificate_in(folder: Path, authority: trustme.CA, days: float = 300.0) -> tuple[Path, Path, Path]:
    """The files of a certificate for this machine, of its key, and of the authority."""
    until = datetime.now(timezone.utc) + timedelta(days=days)
    made = authority.issue_cert(
        "127.0.0.1", "localhost", not_before=until - timedelta(days=400), not_after=until
    )
    made.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    made.private_key_pem.write_to_path(folder / "key.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return folder / "cert.pem", folder / "key.pem", folder / "ca.pem"


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[Served]:
    """The server, with six images and no label."""
    folder = tmp_path_factory.mktemp("served")
    labels = {}
    for index in range(6):
        case = synthetic.make_case(index, size=12)
        image = synthetic.write_case(case, folder / "studies", folder / "truth", suffix=".nii.gz")
        labels[case.case_id] = folder / "truth" / image.name
    cert, key, ca = certificate_in(folder, authority)
    port = free_port()
    arguments = [
        "serve",
        "--studies",
        str(folder / "studies"),
        "--app",
        str(folder / "app"),
        "--port",
        str(port),
    ]
    arguments += ["--ssl-certfile", str(cert), "--ssl-keyfile", str(key), "--logs", "json"]
    environment = {**os.environ, "REQUESTS_CA_BUNDLE": str(ca), "COLUMNS": "200"}
    with (folder / "log").open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "scaling_app.commands.cli", *arguments, "--conf", "network", "resunet"],
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
    url = f"https://127.0.0.1:{port}"
    try:
        _wait_for(url, ca, process, folder / "log")
        yield Served(url, folder / "app", folder / "studies", labels, folder / "log", process, environment)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)


def _wait_for(url: str, ca: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-3000:]
        with suppress(requests.ConnectionError):
            if requests.get(f"{url}/info/", verify=str(ca), timeout=30).ok:
                return
        time.sleep(0.3)
    raise TimeoutError(log.read_text()[-3000:])


@pytest.fixture
def https_stub(tmp_path: Path, authority: trustme.CA) -> Iterator[Callable[[float], str]]:
    """A server on loopback that answers nothing but has a certificate, good for so many days; returns its address."""
    with _stubs(tmp_path, authority) as make:
        yield make


@contextmanager
def _stubs(folder: Path, authority: trustme.CA) -> Iterator[Callable[[float], str]]:
    servers = []

    def make(days: float) -> str:
        cert, key, _ = certificate_in(folder, authority, days)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"https://127.0.0.1:{server.server_port}"

    try:
        yield make
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
