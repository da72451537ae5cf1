"""A viewer reads the DICOM server through this one, and can do nothing else with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from monailabel.config import settings

from scaling_app.monai_app.dicom_proxy import add_proxy


@pytest.fixture
def asked() -> list[tuple[str, str, dict]]:
    return []


@pytest.fixture
def client(asked, monkeypatch) -> Iterator[TestClient]:
    """This server before a DICOM server that writes down what it is asked."""

    class Pacs(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.command, self.path, dict(self.headers)))
            status = 401 if "locked" in self.path else 302 if "moved" in self.path else 200
            self.send_response(status)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Location", "http://127.0.0.1:9/secret")
            self.end_headers()
            self.wfile.write(b"[1]")

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Quiet."""

    monkeypatch.setattr(settings, "MONAI_LABEL_DICOMWEB_USERNAME", "reader")
    monkeypatch.setattr(settings, "MONAI_LABEL_DICOMWEB_PASSWORD", "Tr0ub4dor")
    monkeypatch.setattr(settings, "MONAI_LABEL_WADO_PREFIX", "wado")
    pacs = ThreadingHTTPServer(("127.0.0.1", 0), Pacs)
    threading.Thread(target=pacs.serve_forever, args=(0.02,), daemon=True).start()
    router, server = APIRouter(), FastAPI()
    add_proxy(router, SimpleNamespace(studies=f"http://127.0.0.1:{pacs.server_port}/dicom-web/"))
    server.include_router(router)
    yield TestClient(server)
    pacs.shutdown()
    pacs.server_close()


@pytest.mark.parametrize(
    ("path", "goes_to"),
    [
        ("studies?PatientName=A&limit=5", "/dicom-web/studies?PatientName=A&limit=5"),
        ("qido/studies/1.2/series", "/dicom-web/studies/1.2/series"),
        ("qido/studies/1.2/metadata", "/dicom-web/wado/studies/1.2/metadata"),
        ("wado/studies/1.2/series/1.3/instances/1.4/frames/1,2", "/dicom-web/wado/studies/1.2/series/1.3/instances/1.4/frames/1,2"),
    ],
)  # fmt: skip
def test_what_dicomweb_reads_is_passed_on_with_this_server_s_password(client, asked, path, goes_to) -> None:
    answer = client.get(
        f"/proxy/dicom/{path}", headers={"Authorization": "Bearer of-a-person", "Cookie": "a=b"}
    )
    assert answer.status_code == 200 and answer.json() == [1]
    ((method, found, headers),) = asked
    assert (method, found) == ("GET", goes_to)
    assert headers["Authorization"].startswith("Basic ") and "Cookie" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "instances/../../tools/execute-script",
        "studies/%2e%2e/%2e%2e/system",
        "studies/..%2f..%2fsystem",
        "wado/../system",
        "system",
        "tools/execute-script",
        "studies/1.2%3Fx=1",
        "studies/1.2%23",
        "@elsewhere.example/studies",
        "/studies",
        "studies//1.2",
        "studies/1.2%0d%0aX-A: b",
    ],
)
def test_its_other_services_are_out_of_reach(client, asked, path) -> None:
    assert client.get(f"/proxy/dicom/{path}").status_code == 404 and asked == []


def test_nothing_is_written_and_no_link_is_followed(client, asked) -> None:
    for kind in ("", "stow/", "qido/"):
        assert client.post(f"/proxy/dicom/{kind}studies", content=b"DICM").status_code == 405
    assert asked == []
    assert client.get("/proxy/dicom/studies/moved", follow_redirects=False).status_code == 302
    assert [path for _, path, _ in asked] == ["/dicom-web/studies/moved"]


def test_a_wrong_password_of_this_server_is_not_the_person_s(client) -> None:
    assert client.get("/proxy/dicom/studies/locked").status_code == 503


def test_studies_in_a_folder_have_no_dicom_server() -> None:
    router, server = APIRouter(), FastAPI()
    add_proxy(router, SimpleNamespace(studies="/studies"))
    server.include_router(router)
    assert TestClient(server).get("/proxy/dicom/qido/studies").status_code == 404
