"""Whatever a server answers, reading it ends in an answer or in one failure: whoever asked is never left waiting."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stub_server import sufficiency

from scaling_app_client.answers import SavedLabel, ServerInfo, TrainingTask, read_next_case
from scaling_app_client.calls import Client
from scaling_app_client.json_reader import BadAnswer, parse_object
from scaling_app_client.messages import Failure, Reply, Request
from scaling_app_client.payload import Payload

ODD = (
    *(None, True, 0, -1, 10**400, 10**21, 1e308, 1.5, "", "x", "9" * 5000 + ":00:00", "9" * 400 + ":00:00"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", [], {}, [[]], [None], [1], {"mean": 1}),
)
TRAINER = {"config": {"strategy": ["a"], "steps": 4, "max_minutes": 60}, "labels": {"a": 1}}
INFO = {
    "name": "App",
    "labels": ["a"],
    "models": {"segmentation": {"type": "segmentation", "labels": {"a": 1}}},
    "trainers": {"t": TRAINER},
    "strategies": {"random": {"description": "d"}},
    "train_stats": {"t": {"epoch": 1, "total_epochs": 3, "total_time": "1:02:03"}},
    "datastore": {"total": 4, "completed": 2},
    "sufficiency": {"schema": 1, "strategies": [{"name": "a", "title": "b", "what": "c"}]},
}
AGREEMENT = {"n_cases": 6, "overall": {"dice": {"mean": 0.8, "lo80": 0.7, "hi80": 0.9}, "n_cases": 5}}
READERS: dict[str, tuple[Any, Callable[[dict[str, Any]], object]]] = {
    "payload": (
        {**sufficiency(12), "agreement": AGREEMENT},
        lambda data: Payload.from_json(data, "Sun, 06 Nov 1994 08:49:37 GMT"),
    ),
    "info": (INFO, ServerInfo.from_json),
    "training": (
        {"id": "1", "status": "RUNNING", "request": {"model": "a"}, "details": ["a"]},
        TrainingTask.from_json,
    ),
    "next case": ({"id": "1", "name": "f", "blind": True, "message": ""}, read_next_case),
    "saved label": ({"sufficiency": {"doubts": [{"sentence": "s"}]}}, SavedLabel.from_json),
}


def places(data: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every field of an answer, and the first of every list."""
    yield above
    for key in data if isinstance(data, dict) else range(min(len(data), 1)) if isinstance(data, list) else ():
        yield from places(data[key], (*above, key))


def with_odd(data: Any, place: tuple[Any, ...], odd: Any) -> bytes:
    if not place:
        return json.dumps(odd).encode()
    whole = copy.deepcopy(data)
    inner = whole
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = odd
    return json.dumps(whole).encode()


@pytest.mark.parametrize("answer", READERS)
def test_an_odd_value_in_any_field_is_read_or_named(answer: str) -> None:
    data, read = READERS[answer]
    read(parse_object(json.dumps(data).encode()))
    tried = 0
    for place in places(data):
        for odd in ODD:
            tried += 1
            try:
                read(parse_object(with_odd(data, place, odd)))
            except BadAnswer:
                """Named."""
    assert tried >= 5 * len(ODD)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"", b"null", b'{"schema": 1e999}']
)
def test_what_is_no_json_object_ends_in_one_failure(body: bytes) -> None:
    assert [failure.kind for failure in failures_of(body)] in (["bad_answer"], ["server_too_old"])


def test_a_fault_of_the_reading_itself_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_what: object) -> Payload:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(Payload, "from_json", broken)
    (failure,) = failures_of(b'{"schema": 1}')
    assert failure.kind == "bad_answer" and "a mistake of ours" in failure.detail


def failures_of(body: bytes) -> list[Failure]:
    """What a client makes of an answer of a forecast."""

    class Answering:
        def send(self, _request: Request, on_done: Callable[[Reply], None], _on_failed: object) -> None:
            on_done(Reply(200, body))

        def close(self) -> None:
            """Nothing is on its way."""

    found: list[Failure] = []
    Client(Answering(), "http://localhost", "me").sufficiency(lambda _answer: None, found.append)
    return found
