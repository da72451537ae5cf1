"""A server that means harm or has gone mad: nothing hangs, nothing is lost, nothing is written where it says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stub_server import StubServer, drip, drip_headers, endless, sufficiency

from scaling_app_client import calls
from scaling_app_client.answers import read_next_case
from scaling_app_client.blocking import RequestsTransport, Server
from scaling_app_client.drafts import Draft, DraftStore
from scaling_app_client.json_reader import BadAnswer, parse_object
from scaling_app_client.messages import Failure, Request
from scaling_app_client.payload import Payload


@pytest.mark.parametrize("answer", [drip, drip_headers])
def test_who_drips_without_end_is_given_up_and_can_be_asked_again(
    stub: StubServer, answer: Callable[[Any], None]
) -> None:
    transport, failures, answers = RequestsTransport(), [], []
    stub.handlers["GET", "/x"] = answer
    begun = time.monotonic()
    transport.send(Request("GET", stub.url + "/x", timeout_s=0.1), answers.append, failures.append)
    assert failures[0].kind == "timeout" and "no whole answer within 1 s" in failures[0].detail
    assert time.monotonic() - begun < 5
    transport.send(Request("GET", stub.url + "/info/"), answers.append, failures.append)
    assert len(answers) == 1 and len(failures) == 1


def test_an_answer_without_end_fills_no_memory(stub: StubServer) -> None:
    failures: list[Failure] = []
    stub.handlers["GET", "/x"] = endless
    request = Request("GET", stub.url + "/x", most_bytes=1 << 20)
    RequestsTransport().send(request, failures.append, failures.append)
    assert (failures[0].kind, failures[0].detail) == ("bad_answer", "an answer of more than 1 MiB")


def test_a_forecast_has_less_room_than_an_image() -> None:
    class Noting:
        def __init__(self) -> None:
            self.requests: list[Request] = []

        def send(self, request: Request, *_callbacks: object) -> None:
            self.requests.append(request)

        def close(self) -> None:
            """Nothing is on its way."""

    noting = Noting()
    client = calls.Client(noting, "http://localhost", "me")
    client.image("a", print, print)
    client.label("a", print, print)
    client.infer("m", "a", print, print)
    client.sufficiency(print, print)
    most = [request.most_bytes >> 20 for request in noting.requests]
    assert most == [16384, 16384, 16384, 64]


@pytest.mark.parametrize("place", ["id", "name"])
def test_half_a_character_is_named_before_anything_is_done_with_it(stub: StubServer, place: str) -> None:
    server = Server(stub.url, retries=0)
    body = json.dumps({"id": "case", "name": "case.nii.gz", place: "\ud800"}).encode()
    stub.handlers["POST", "/activelearning/random"] = lambda handler: handler.send(body)
    with pytest.raises(Failure, match="breaks the contract"):
        server.next_case()


def test_a_whole_character_beyond_the_first_plane_is_read() -> None:
    assert parse_object(b'{"id": "\\ud83e\\ude7b"}') == {"id": "\U0001fa7b"}


@pytest.mark.parametrize("name", ["..", ".", "/", "a/..", "C:\\x\\..", "a\nb", "a\0b", "\u202eexe.nii"])
def test_a_file_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(BadAnswer, match=r"next case\.name should be a file's name"):
        read_next_case({"id": "case", "name": name})


@pytest.mark.parametrize("name", ["../../etc/x.nii", "/etc/x.nii", "C:\\windows\\x.nii", "x.nii"])
def test_of_a_path_the_last_part_is_the_files_name(name: str) -> None:
    assert read_next_case({"id": "case", "name": name}).file_name == "x.nii"


def test_a_case_is_called_by_a_text() -> None:
    with pytest.raises(BadAnswer, match=r"next case\.id should be a text"):
        read_next_case({"id": {"a": 1}})


@pytest.mark.parametrize(
    ("place", "value"),
    [("minutes", 1e300), ("extra", 1e15), ("n", 1e10), ("minutes", -1.0), ("mean", -0.1), ("mean", 81.5)],
)
def test_a_number_that_cannot_be_is_named(place: str, value: float) -> None:
    answer = sufficiency(12)
    answer["overall"]["forecast"][0][place] = value
    with pytest.raises(BadAnswer, match=place):
        Payload.from_json(answer)


def signing_in(stub: StubServer, tokens: list[str]) -> Callable[[Any], None]:
    """Hands out these tokens, and takes the newest alone."""

    def sign_in(handler: Any) -> None:
        stub.valid = tokens.pop(0)
        handler.answer({"access_token": stub.valid})

    return sign_in


def with_token(stub: StubServer, then: Callable[[Any], None]) -> Callable[[Any], None]:
    def checked(handler: Any) -> None:
        if handler.headers.get("Authorization") == f"Bearer {stub.valid}":
            then(handler)
        else:
            handler.answer({"detail": "The sign-in has expired."}, 401)

    return checked


def test_a_sign_in_that_runs_out_is_renewed_and_no_label_waits_for_it(
    stub: StubServer, tmp_path: Path
) -> None:
    label = tmp_path / "case.nii.gz"
    label.write_bytes(b"drawn")
    stub.handlers["POST", "/auth/token"] = signing_in(stub, ["first", "second"])
    stub.handlers["PUT", "/datastore/label"] = with_token(stub, lambda handler: handler._put_datastore())
    server = Server(stub.url, user="reader", password="right")
    stub.valid = "nobody's"
    server.save_label("case_007", label, {"organ": 1})
    assert [saved["content"] for saved in stub.saved] == [b"drawn"]


def test_a_sign_in_that_is_refused_for_good_is_told_once(stub: StubServer) -> None:
    stub.handlers["POST", "/auth/token"] = lambda handler: handler.answer({"access_token": "never right"})
    stub.valid = "another"
    stub.handlers["GET", "/sufficiency/"] = with_token(stub, lambda handler: handler.answer({}))
    server = Server(stub.url, user="reader", password="right")
    with pytest.raises(Failure, match="The sign-in has expired") as caught:
        server.forecast()
    assert caught.value.kind == "sign_in"
    assert sum(request.startswith("POST /auth/token") for request in stub.requests) == 2


def test_a_disk_that_is_full_leaves_the_older_label_with_its_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DraftStore(str(tmp_path))
    older = Draft("http://one", "case", "label.nii.gz", [{"name": "organ", "idx": 1}], 3.0, True)
    store.prepare(older).write_bytes(b"older")
    older = store.keep(older)
    newer = Draft("http://one", "case", "label.nii.gz", [], 5.0, False)
    store.prepare(newer).write_bytes(b"newer")

    def full(*_args: object, **_more: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        store.keep(newer)
    monkeypatch.undo()
    assert (store.all(), store.content(older)) == ([older], b"older")
