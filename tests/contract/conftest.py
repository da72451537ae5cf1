"""A real server whose memory and answers are watched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.common.served import Served, served
from tests.login_server import LoginServer
from tests.openid_provider import running_provider


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that takes small uploads, nobody logged in."""
    with served(tmp_path_factory.mktemp("contract"), {"upload_gb": "0.25"}, {}) as server:
        yield server


@pytest.fixture(scope="session")
def login() -> Iterator[LoginServer]:
    """The certified OpenID provider where it is there, else what a realm says of itself. The test holds its key."""
    with running_provider() as running:
        yield running


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory, login: LoginServer) -> Iterator[Served]:
    """A server whose users log in, which writes down every request."""
    environment = {"MONAI_LABEL_AUTH_ENABLE": "true", "MONAI_LABEL_AUTH_REALM_URI": login.uri}
    folder = tmp_path_factory.mktemp("guarded")
    with served(folder, {}, environment, more=["--access_log", "--verbose", "DEBUG"]) as server:
        yield server
