"""Pages of other sites get no permission to read, and start nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.middleware.cors import CORSMiddleware

from scaling_app.web.server_access import keep_other_sites_out


def test_pages_of_other_sites_get_no_permission_to_read() -> None:
    server = FastAPI()
    server.add_middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True)
    server.get("/info/")(lambda: {"name": "a server"})
    client = TestClient(server)
    asked = {"headers": {"Origin": "https://elsewhere.example"}}
    assert "access-control-allow-origin" in client.get("/info/", **asked).headers
    keep_other_sites_out(server)
    answer = client.get("/info/", **asked)
    assert answer.json() == {"name": "a server"}
    assert "access-control-allow-origin" not in answer.headers


@pytest.fixture
def served() -> Callable[..., TestClient]:
    """A server that reads and trains, reached over loopback."""

    def make(**options: object) -> TestClient:
        server = FastAPI()
        server.get("/info/")(lambda: "read")
        server.post("/train/")(lambda: "trained")
        keep_other_sites_out(server, **options)
        return TestClient(server, base_url="http://127.0.0.1:8000")

    return make


OF_ANOTHER_SITE = [
    {"Origin": "https://elsewhere.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:8000"},
]
OWN = [
    {},  # Slicer and scripts
    {"Origin": "http://127.0.0.1:8000"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://labels.example"},
    {"Origin": "https://labels.example", "X-Forwarded-Host": "labels.example"},
]


def test_pages_of_other_sites_start_nothing_and_own_pages_do(served) -> None:
    client = served()
    assert {client.post("/train/", headers=sent).status_code for sent in OF_ANOTHER_SITE} == {403}
    assert {client.post("/train/", headers=sent).status_code for sent in OWN} == {200}


def test_a_picture_in_another_site_s_page_is_not_served_but_a_link_is_followed(served) -> None:
    client, elsewhere = served(), {"Sec-Fetch-Site": "cross-site"}
    assert client.get("/info/", headers={**elsewhere, "Sec-Fetch-Mode": "no-cors"}).status_code == 403
    assert client.get("/info/", headers={**elsewhere, "Sec-Fetch-Mode": "navigate"}).status_code == 200


def test_a_name_that_was_made_to_lead_here_is_refused_unless_it_is_known(served) -> None:
    def status(client: TestClient, host: str) -> int:
        return client.get("/info/", headers={"Host": host}).status_code

    known = {"localhost:8000", "127.0.0.1:8000", "[::1]:8000", "192.168.1.5"}
    assert {status(served(), host) for host in known} == {200}
    refused = served().get("/info/", headers={"Host": "evil.example:8000"})
    assert refused.status_code == 403 and "--conf hosts evil.example" in refused.json()["detail"]
    assert status(served(hosts=["labels.example"]), "labels.example") == 200
    assert status(served(login=True), "labels.example") == 200  # the token decides
