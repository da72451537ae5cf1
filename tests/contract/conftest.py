"""A real server whose memory and answers are watched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.common.served import Served, served
from scaling_app.commands.launch import free_port


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that takes small uploads, nobody logged in."""
    with served(tmp_path_factory.mktemp("contract"), {"upload_gb": "0.25"}, {}) as server:
        yield server


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose users log in, at a login server that is not there."""
    environment = {
        "MONAI_LABEL_AUTH_ENABLE": "true",
        "MONAI_LABEL_AUTH_REALM_URI": f"http://127.0.0.1:{free_port()}/realms/none",
    }
    with served(tmp_path_factory.mktemp("guarded"), {}, environment) as server:
        yield server
