"""Bodies of requests: too large, too slow, nested too deep, too many; what a killed server left of them."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, HTTPException, UploadFile
from fastapi.testclient import TestClient

from scaling_app.ledger.processes import this_process
from scaling_app.web import bodies, scratch, unwanted
from scaling_app.web.turnstile import Turnstile
from tests.web.at_once import AtOnce

MOST = 3 << 20


@pytest.fixture
def server() -> FastAPI:
    server = FastAPI()
    bodies.bound_bodies(server, MOST)

    @server.post("/json")
    def take(body: dict) -> dict:
        return body

    @server.post("/file")
    def keep(file: UploadFile) -> int:
        return len(file.file.read())

    return server


def answer_to(
    server: FastAPI, pieces: Sequence[bytes], *, pause: float = 0.0, kind: str = "application/json"
):
    """Status, headers and body of the answer to a body that comes in pieces and does not end."""
    sent: list[dict] = []
    left = list(pieces)

    async def receive() -> dict:
        if not left:
            await asyncio.sleep(60)
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": left.pop(0), "more_body": True}

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/json" if "json" in kind else "/file", "query_string": b"",
        "headers": [(b"content-type", kind.encode())], "http_version": "1.1", "scheme": "http",
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "root_path": "", "asgi": {"version": "3.0"},
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(server(scope, receive, send), 20))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(m.get("body", b"") for m in sent)


def test_an_ordinary_body_passes_as_it_is(server):
    client = TestClient(server)
    assert client.post("/json", json={"a": [[1]]}).json() == {"a": [[1]]}
    assert client.post("/file", files={"file": ("a", bytes(MOST))}).json() == MOST


def test_json_that_is_nested_deep_is_refused_and_brackets_in_texts_are_none(server):
    client, kind = TestClient(server), {"Content-Type": "application/json"}
    for deep in ("[" * 990 + "]" * 990, '{"a":' * 990 + "1" + "}" * 990):
        answer = client.post("/json", content=deep, headers=kind)
        assert answer.status_code == 422 and "nested" in answer.json()["detail"]
    assert client.post("/json", json={"a": "[" * 990}).json() == {"a": "[" * 990}


@pytest.mark.parametrize("text", ["NaN", "[1e999]", "-Infinity", "[[NaN]]"])
def test_a_body_of_no_numbers_is_refused_and_not_the_end_of_the_answer(server, text):
    client, kind = TestClient(server, raise_server_exceptions=False), {"Content-Type": "application/json"}
    answer = client.post("/json", content=text, headers=kind)
    assert answer.status_code == 422 and answer.json()["detail"]


@pytest.mark.parametrize(
    ("route", "body", "kind", "said"),
    [
        (
            "/json",
            '{"a": 1}',
            "application/x-www-form-urlencoded",
            "The body must be a JSON object, sent with the header Content-Type: application/json.",
        ),
        ("/json", "[1]", "application/json", "The body must be a JSON object."),
        ("/json", '{"a":', "application/json", "The body must be a JSON object."),
        ("/file", "", "multipart/form-data; boundary=x", "The field 'file' is missing."),
    ],
)
def test_a_body_that_does_not_fit_is_answered_by_a_sentence_that_says_what_to_send(
    server, route, body, kind, said
):
    answer = TestClient(server).post(route, content=body, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()) == (422, {"detail": said})


def test_a_body_that_is_too_large_is_refused_before_it_has_come(server):
    status, headers, said = answer_to(server, [bytes(1 << 20)] * 9)
    assert status == 413 and headers[b"connection"] == b"close" and b"bytes" in said
    kind = "multipart/form-data; boundary=x"
    start = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    status, headers, _ = answer_to(server, [start, *[bytes(1 << 20)] * 9], kind=kind)
    assert status == 413 and headers[b"connection"] == b"close"


def test_a_body_that_stops_or_trickles_is_ended(server, monkeypatch):
    monkeypatch.setattr(bodies, "IDLE_SECONDS", 0.3)
    assert answer_to(server, [b"{"])[0] == 408
    assert answer_to(server, [b" "] * 100, pause=0.05)[0] == 408
    monkeypatch.setattr(bodies, "LEAST_RATE", 10)
    assert answer_to(server, [b" "] * 20, pause=0.02)[0] == 408  # it stops, in the end


@pytest.mark.parametrize("pieces", [[], [b'{"a": 1']])
def test_a_request_whose_client_goes_before_its_end_is_not_acted_on(pieces):
    """A label was deleted, and a training begun with what is usual, by a request that had been cut off."""
    acted: list[dict] = []

    async def app(scope, receive, send) -> None:
        acted.append(scope)

    left = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    left.append({"type": "http.disconnect"})

    async def receive() -> dict:
        return left.pop(0)

    scope = {"type": "http", "method": "DELETE", "path": "/label", "headers": [(b"content-length", b"50")]}
    asyncio.run(bodies._Bounded(app, MOST)(scope, receive, receive))
    assert not acted


def test_a_length_that_is_no_number_breaks_nothing():
    acted: list[dict] = []

    async def app(scope, receive, send) -> None:
        acted.append(await receive())

    async def receive() -> dict:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "DELETE", "path": "/label", "headers": [(b"content-length", b"\xb2")]}
    asyncio.run(bodies._Bounded(app, MOST)(scope, receive, receive))
    assert len(acted) == 1
    assert asyncio.run(unwanted.thrown_away(scope, receive))


@pytest.mark.parametrize("digits", [20, 21, 6000])
def test_a_length_of_more_digits_than_anything_has_is_too_large(digits: int) -> None:
    answers: list[dict] = []

    async def receive() -> dict:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict) -> None:
        answers.append(message)

    scope = {
        "type": "http",
        "method": "PUT",
        "path": "/label",
        "headers": [(b"content-length", b"9" * digits)],
    }
    asyncio.run(bodies._Bounded(None, MOST)(scope, receive, send))
    assert answers[0]["status"] == 413


def test_an_answer_given_before_the_end_of_a_body_ends_the_connection(server):
    # else the rest would be read, and thrown away, for as long as it comes
    status, headers, _ = answer_to(server, [b"no form at all"] * 3, kind="multipart/form-data; boundary=x")
    assert status == 400 and headers[b"connection"] == b"close"
    client = TestClient(server)
    assert "connection" not in client.post("/file", files={"file": ("a", b"a")}).headers


@pytest.fixture
def slow_server(monkeypatch) -> FastAPI:
    """It takes two uploads at once, a fifth of a second each; three more may wait."""
    monkeypatch.setattr(bodies, "MOST_UPLOADS", 2)
    monkeypatch.setattr(bodies, "MOST_WAITING", 3)
    server = FastAPI()
    bodies.bound_bodies(server, MOST)
    server.state.at_once = AtOnce()

    @server.post("/file")
    async def keep(file: UploadFile) -> int:
        with server.state.at_once.one():
            await asyncio.sleep(0.2)
        return len(await file.read())

    return server


def answers_to(server: FastAPI, uploads: int) -> list[int]:
    """The statuses of so many uploads that come at once."""

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(app=server)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            sent = [client.post("/file", files={"file": ("a", b"abc")}) for _ in range(uploads)]
            return sorted(answer.status_code for answer in await asyncio.gather(*sent))

    return asyncio.run(ask())


def test_uploads_that_come_at_once_wait_for_each_other_and_what_is_beyond_is_sent_away(slow_server):
    assert answers_to(slow_server, 5) == [200] * 5  # were they refused, annotators would have to send again
    assert slow_server.state.at_once.most == 2
    assert answers_to(slow_server, 7) == [200] * 5 + [503] * 2


def test_an_upload_that_has_waited_long_is_sent_away_and_its_place_is_another_s(slow_server, monkeypatch):
    monkeypatch.setattr(bodies, "WAITING_SECONDS", 0.1)
    assert answers_to(slow_server, 4) == [200, 200, 503, 503]
    assert answers_to(slow_server, 2) == [200, 200]


def test_what_is_beyond_the_places_is_sent_away_and_those_inside_go_on():
    turnstile, inside, over = Turnstile(1, waiting=1, seconds=5), threading.Event(), threading.Event()

    def stay() -> None:
        with turnstile.passed():
            inside.set()
            over.wait(10)

    first, second = (threading.Thread(target=stay) for _ in range(2))
    first.start()
    inside.wait(5)
    second.start()
    while turnstile._inside < 2:
        pass
    with pytest.raises(HTTPException) as refused, turnstile.passed():
        pass
    assert refused.value.status_code == 503 and refused.value.headers["Retry-After"]
    over.set()
    first.join()
    second.join()
    with turnstile.passed():
        pass


def test_temporary_files_of_a_killed_server_are_deleted_and_those_of_a_living_one_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # afterwards as it was: others start a browser there
    me = this_process()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    killed = tmp_path / "tmp" / f"{me['host']}_{child}_12345"
    living = tmp_path / "tmp" / f"{me['host']}_{os.getppid()}_0"
    for folder in (killed, living):
        (folder / "tmpabc").mkdir(parents=True)
        (folder / "tmpabc" / "upload.nii.gz").write_bytes(b"half")
    mine = scratch.claim(tmp_path)
    assert not killed.exists() and (living / "tmpabc" / "upload.nii.gz").is_file()
    assert Path(tempfile.gettempdir()) == mine and mine.parent == tmp_path / "tmp"
