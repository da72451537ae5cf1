"""A real server whose memory and answers are watched."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.common.served import Served, served
from scaling_app.commands.launch import free_port
from tests.login_server import AUDIENCE, LoginServer, jwk, new_key, running_login_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that takes small uploads, nobody logged in."""
    with served(tmp_path_factory.mktemp("contract"), {"upload_gb": "0.25"}, {}) as server:
        yield server


PROVIDER = Path(__file__).parent / "openid"
PEOPLE = {
    f"{role}-person": {"password": f"{role}-Tr0ub4dor", "roles": [f"monailabel-{role}"]}
    for role in ("user", "annotator", "reviewer", "admin")
}


def openid_provider() -> str:
    """Why there is no certified OpenID provider here, or nothing."""
    if shutil.which("node") is None:
        return "there is no node to run an OpenID provider with"
    if not (PROVIDER / "node_modules" / "oidc-provider").is_dir():
        return f"`npm ci --prefix {PROVIDER.relative_to(Path.cwd())}` brings the OpenID provider that this test needs"
    return ""


@pytest.fixture(scope="session")
def login() -> Iterator[LoginServer]:
    """The certified OpenID provider where it is there, else what a realm says of itself. The test holds its key."""
    if openid_provider():
        with running_login_server() as running:
            yield running
        return
    key, port = new_key(), free_port()
    told = {"port": port, "audience": AUDIENCE, "keys": [jwk(key, "one", private=True)], "people": PEOPLE}
    command = ["node", str(PROVIDER / "provider.mjs"), json.dumps(told)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None and process.stdout.readline() == b"listening\n"
        yield LoginServer(f"http://127.0.0.1:{port}", {"one": key})
        process.terminate()


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory, login: LoginServer) -> Iterator[Served]:
    """A server whose users log in, which writes down every request."""
    environment = {"MONAI_LABEL_AUTH_ENABLE": "true", "MONAI_LABEL_AUTH_REALM_URI": login.uri}
    folder = tmp_path_factory.mktemp("guarded")
    with served(folder, {}, environment, more=["--access_log", "--verbose", "DEBUG"]) as server:
        yield server
