"""A DICOM server that takes requests and never answers, or answers nonsense, costs a bounded wait and a sentence."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from monailabel.config import settings

from scaling_app.monai_app.dicom.connection import PacsError
from scaling_app.monai_app.dicom.pacs import Pacs
from scaling_app.monai_app.dicom.studies import DicomStudies
from scaling_app.web.storage_answers import answer_storage_errors

pytest.importorskip("highdicom", reason="highdicom is not installed: pip install '.[dicom]'")


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of a server that listens and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/dicom-web"


@pytest.fixture
def babbling() -> Iterator[tuple[str, list[tuple[int, bytes]]]]:
    """The address of a server, and what it answers."""
    answers: list[tuple[int, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, body = answers[0]
            self.send_response(code)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):
                for number in range(len(body)):
                    self.wfile.write(body[number : number + 1])
                    time.sleep(self.path.count("slow") * 0.05)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", answers
    server.shutdown()
    server.server_close()


def test_a_server_that_does_not_answer_costs_a_bounded_wait(deaf, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "MONAI_LABEL_DICOMWEB_PROXY_TIMEOUT", 0.3)
    began = time.monotonic()
    store = DicomStudies(Pacs(deaf), tmp_path)
    store.refresh()
    assert "did not answer in time" in store.problems[0].sentence
    assert "did not answer in time" in store.nothing_to_serve()
    assert time.monotonic() - began < 10


def test_an_answer_that_trickles_costs_a_bounded_wait(babbling, monkeypatch) -> None:
    url, answers = babbling
    answers.append((200, b"[]" + b" " * 400))
    assert not Pacs(url).images()
    monkeypatch.setattr(settings, "MONAI_LABEL_DICOMWEB_PROXY_TIMEOUT", 0.5)
    began = time.monotonic()
    with pytest.raises(PacsError, match="did not answer in time"):
        Pacs(f"{url}/slow").images()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((401, b""), "answered 401; check its user and password"),
        ((500, b""), "answered 500; try again later"),
        ((200, b"<html>"), "gave no DICOMweb answer"),
        ((200, b'[{"0020000E": 3}]'), "gave no DICOMweb answer"),
    ],
)
def test_an_answer_that_is_none_is_a_sentence(babbling, answer, sentence) -> None:
    url, answers = babbling
    answers.append(answer)
    with pytest.raises(PacsError, match=sentence):
        Pacs(url).images()


def test_a_server_that_gives_its_first_part_to_every_question_is_asked_no_more(babbling) -> None:
    url, answers = babbling
    answers.append((200, json.dumps([row("1.2.3")]).encode()))
    assert list(Pacs(url).images()) == ["1.2.3"]


def test_routes_answer_503_with_the_sentence(deaf, monkeypatch) -> None:
    monkeypatch.setattr(settings, "MONAI_LABEL_DICOMWEB_PROXY_TIMEOUT", 0.3)
    server = FastAPI()
    answer_storage_errors(server)
    server.get("/")(lambda: Pacs(deaf).images())
    answer = TestClient(server, raise_server_exceptions=False).get("/")
    assert answer.status_code == 503
    assert (
        "did not answer in time" in answer.json()["detail"]
        and "Nothing was changed" in answer.json()["detail"]
    )


def row(uid: str, **other: object) -> dict:
    """What a search says of a series."""
    tags = {"0020000E": uid, "0020000D": "1.2", "00080060": "CT", "00100020": "A", **other}
    return {tag: {"vr": "UI", "Value": [value]} for tag, value in tags.items()}


@pytest.mark.parametrize(
    "odd",
    [
        row("../../etc/passwd"),
        row("1.2/../4"),
        row("1" * 99),
        {"0020000E": 3},
        {"0020000E": {"vr": "UI", "Value": [{}]}},
        "text",
        None,
    ],
)
def test_an_odd_series_hides_no_other(babbling, odd: object) -> None:
    url, answers = babbling
    answers.append((200, json.dumps([odd, row("1.2.3")]).encode()))
    assert list(Pacs(url).images()) == ["1.2.3"]


@pytest.mark.parametrize(
    "headers",
    [[3], [{"00280010": {"vr": "US", "Value": ["many"]}}], [{"00280008": {"vr": "IS", "Value": ["x"]}}]],
)
def test_headers_that_are_none_leave_the_series_out_by_name(babbling, tmp_path: Path, headers: list) -> None:
    url, answers = babbling
    answers.append((200, json.dumps([row("1.2.3")]).encode()))
    store = DicomStudies(Pacs(url), tmp_path)
    store._memory.images = store.pacs.images()
    answers[0] = (200, json.dumps(headers).encode())
    store._judge()
    (said,) = [problem.sentence for problem in store.problems]
    assert "The series 1.2.3 (CT of patient A) is left out: its headers cannot be read" in said
