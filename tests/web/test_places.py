"""Places for bodies: given fairly among clients, lost by nobody, and taken back from those who keep them idle."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException, Request, UploadFile
from fastapi.responses import FileResponse, StreamingResponse
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_app.monai_app import door
from scaling_app.web import bodies
from scaling_app.web.places import Places, client_of, note_client
from tests.web.at_once import AtOnce

FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
END = b"abc\r\n--x--\r\n"


async def stays() -> None:
    """A client that does not go."""
    await asyncio.Event().wait()


@settings(deadline=None, max_examples=60)
@given(
    most=st.integers(1, 6),
    waiting=st.integers(0, 6),
    comers=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=40),
    seed=st.integers(0, 99),
)
def test_no_more_than_the_places_are_given_no_client_has_more_than_two_thirds_and_none_is_lost(
    most, waiting, comers, seed
):
    places, inside, ends = Places(most, waiting=waiting, seconds=5), Counter(), Counter()

    async def come(client: int, stay: int, ends_early: bool) -> None:
        async def goes() -> None:
            await (asyncio.sleep(0.001) if ends_early else stays())

        try:
            async with places.one(client, goes):
                inside[client] += 1
                try:
                    assert inside.total() <= most and inside[client] <= -(-2 * most // 3)
                    await asyncio.sleep(stay / 2000)
                finally:
                    inside[client] -= 1
                ends["served"] += 1
        except HTTPException as error:
            assert error.status_code == 503 or (error.status_code == 499 and ends_early)
            ends["sent away"] += 1

    async def all_come() -> None:
        tasks = [asyncio.ensure_future(come(*comer)) for comer in comers]
        for task in random.Random(seed).sample(tasks, len(tasks) // 5):
            asyncio.get_running_loop().call_later(0.0005, task.cancel)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [r for r in results if isinstance(r, Exception)]
        assert not places._waiting and not places._held
        # what is free is given at once
        async with places.one(0, stays):
            pass

    asyncio.run(all_come())


def test_whoever_comes_is_not_kept_out_by_a_client_that_fills_all_places_and_the_queue():
    async def crowded() -> list[str]:
        places, answers = Places(3, waiting=4, seconds=5), []

        async def come(client: str, stay: float) -> None:
            try:
                async with places.one(client, stays):
                    answers.append(f"{client} in")
                    await asyncio.sleep(stay)
            except HTTPException:
                answers.append(f"{client} away")

        many = [asyncio.ensure_future(come("many", 5)) for _ in range(9)]
        await asyncio.sleep(0.01)
        assert Counter(answers) == {"many in": 2, "many away": 3}  # four wait
        answers.clear()
        await come("a", 0)  # the third place is no further one for those who have two
        others = [asyncio.ensure_future(come(name, 0.02)) for name in "bcdef"]
        await asyncio.gather(*others)
        for task in many:
            task.cancel()
        return answers

    answers = asyncio.run(crowded())
    assert [f"{name} in" for name in "abcdef"] == [a for a in answers if a.endswith("in")]
    assert Counter(a for a in answers if a.endswith("away")) == {"many away": 4}  # they made room


class Clients:
    """Requests to a server under the protocol that uvicorn speaks to it, each at its client's own pace."""

    def __init__(self, server: FastAPI) -> None:
        self.server = server

    async def send(
        self, pieces, *, pause=0.0, address="10.0.0.1", path="/file", goes=False, kind="multipart/form-data; boundary=x",
        reads=0.0,
    ) -> int | None:  # fmt: skip
        """The status of the answer, None without one.

        Args:
            pieces: of the body.
            pause: seconds before each.
            goes: whether the client goes after the last piece.
            reads: seconds until it has read a piece of the answer.
        """
        left, sent = list(pieces), []
        self.left = left

        async def receive() -> dict:
            if not left:
                if not goes:
                    await stays()
                return {"type": "http.disconnect"}
            await asyncio.sleep(pause)
            piece = left.pop(0)
            return {"type": "http.request", "body": piece, "more_body": goes or bool(left)}

        async def send(message: dict) -> None:
            sent.append(message)
            await asyncio.sleep(reads)

        scope = {
            "type": "http", "method": "POST", "path": path, "query_string": b"", "headers": [(b"content-type", kind.encode())],
            "http_version": "1.1", "scheme": "http", "server": ("10.0.0.9", 80), "client": (address, 1), "root_path": "",
            "asgi": {"version": "3.0"},
        }  # fmt: skip
        await asyncio.wait_for(self.server(scope, receive, send), 20)
        return sent[0]["status"] if sent else None


@pytest.fixture
def clients(monkeypatch) -> Clients:
    """Three uploads and three larger plain bodies at once; some wait beside them; patience is short."""
    for name, value in {
        "MOST_UPLOADS": 3, "MOST_PLAIN": 3, "MOST_WAITING": 4, "WAITING_SECONDS": 3.0, "IDLE_SECONDS": 9.0,
        "WANTED_SECONDS": 0.2,
    }.items():  # fmt: skip
        monkeypatch.setattr(bodies, name, value)
    server = FastAPI()
    bodies.bound_bodies(server, 3 << 20)
    server.state.at_once = AtOnce()

    @server.post("/file")
    async def keep(file: UploadFile) -> int:
        return len(await file.read())

    @server.post("/json")
    async def take(request: Request) -> int:
        with server.state.at_once.one():
            await asyncio.sleep(0.1)
        return len(await request.body())

    @server.get("/large")
    @server.post("/large")
    async def give() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield bytes(64 << 10)

        return StreamingResponse(pieces())

    @server.post("/slow")
    async def digest(request: Request) -> int:
        length = 0
        async for piece in request.stream():
            await asyncio.sleep(0.4)
            length += len(piece)
        return length

    return Clients(server)


def test_uploads_that_trickle_lose_their_places_once_others_want_them(clients):
    """Twelve of them, just above the least rate, had kept everybody else from saving."""

    async def ask() -> list[int | None]:
        trickle = [FORM, *[b"a"] * 1000]
        slow = [
            asyncio.ensure_future(clients.send(trickle, pause=0.05, address=f"10.0.1.{n}")) for n in range(3)
        ]
        await asyncio.sleep(0.2)
        assert await clients.send([FORM + END]) == 200
        assert any(task.done() and task.result() == 408 for task in slow)
        assert not all(task.done() for task in slow)  # one place was wanted
        for task in slow:
            task.cancel()

    asyncio.run(ask())


def test_an_upload_that_began_fast_may_trickle_no_longer_than_another(clients):
    """Twenty megabytes at once had earned two and a half minutes with the place."""

    async def ask() -> None:
        trickle = [FORM + bytes(2 << 20), *[b"a"] * 1000]
        slow = [
            asyncio.ensure_future(clients.send(trickle, pause=0.05, address=f"10.0.1.{n}")) for n in range(3)
        ]
        await asyncio.sleep(0.2)
        assert await asyncio.wait_for(clients.send([FORM + END]), 2) == 200
        for task in slow:
            task.cancel()

    asyncio.run(ask())


def test_who_holds_all_it_may_have_and_asks_for_more_hurries_nobody(clients):
    """One client with one request too many had all others' slow uploads ended."""

    async def ask() -> None:
        greedy = [
            asyncio.ensure_future(clients.send([FORM + bytes(90 << 10), *[bytes(90 << 10)] * 20], pause=0.08))
            for _ in range(3)
        ]
        slow = clients.send([FORM, *[b"a"] * 20, END], pause=0.05, address="10.0.1.1")
        assert await slow == 200
        for task in greedy:
            task.cancel()

    asyncio.run(ask())


@pytest.mark.parametrize("body", [[FORM + END], [b'"' + b"a" * (100 << 10), b'"']], ids=["upload", "plain"])
def test_who_reads_its_answer_slowly_keeps_no_place_that_another_wants(clients, body):
    """A request for an image, called an upload by its client, had kept one for as long as it read."""
    kind = {} if body[0] == FORM + END else {"kind": "application/json"}

    async def ask() -> None:
        slow = [
            asyncio.ensure_future(clients.send(body, reads=0.9, address=f"10.0.1.{n}", path="/large", **kind))
            for n in range(3)
        ]
        await asyncio.sleep(0.1)
        path = "/json" if kind else "/file"
        assert await asyncio.wait_for(clients.send(body, path=path, **kind), 2) == 200
        assert sum(not task.done() for task in slow) == 2  # one place was wanted
        for task in slow:
            task.cancel()

    asyncio.run(ask())


def test_what_an_app_does_after_its_answer_is_done_though_the_answer_was_given_up(clients):
    """The file of a prediction, which goes once it is sent, had stayed."""
    tidied: list[str] = []

    @clients.server.post("/tidy")
    async def give(background: BackgroundTasks) -> FileResponse:
        background.add_task(tidied.append, "gone")
        return FileResponse(__file__)

    async def ask() -> None:
        slow = [
            asyncio.ensure_future(clients.send([FORM + END], reads=0.9, address=f"10.0.1.{n}", path="/tidy"))
            for n in range(3)
        ]
        await asyncio.sleep(0.1)
        assert await asyncio.wait_for(clients.send([FORM + END]), 2) == 200
        assert [task.done() for task in slow].count(True) == len(tidied) == 1
        for task in slow:
            task.cancel()

    asyncio.run(ask())


def test_a_body_that_stops_while_it_is_answered_ends_the_answer_and_is_no_error(clients, monkeypatch):
    """Who asked for a file, and said that an upload would follow, had left a traceback in the log."""
    monkeypatch.setattr(bodies, "IDLE_SECONDS", 0.3)
    assert asyncio.run(clients.send([FORM, b"a", b"a"], pause=0.4, reads=0.2, path="/large")) == 200


def test_what_the_server_does_with_a_piece_is_no_delay_of_the_client(clients, monkeypatch):
    monkeypatch.setattr(bodies, "IDLE_SECONDS", 0.3)
    pieces = [bytes(1000)] * 5
    assert asyncio.run(clients.send(pieces, path="/slow")) == 200


def test_who_is_sent_away_has_sent_its_body_and_so_reads_the_answer(clients, monkeypatch):
    """It was left half sent; the next bytes ended the connection, and with it the sentence."""
    monkeypatch.setattr(bodies, "WAITING_SECONDS", 0.2)
    monkeypatch.setattr(bodies, "WANTED_SECONDS", 9.0)
    large = [FORM, *[bytes(30 << 10)] * 9, END]

    async def ask() -> None:
        blocking = [
            asyncio.ensure_future(clients.send([FORM, END], pause=1, address=f"10.0.1.{n}")) for n in range(3)
        ]
        await asyncio.sleep(0.05)
        assert await clients.send(large) == 503
        assert clients.left == []
        assert await asyncio.gather(*blocking) == [200] * 3

    asyncio.run(ask())


def test_what_comes_byte_by_byte_while_it_waits_is_kept_as_one_piece():
    """Each byte had been a message of its own, and all of them were counted at each."""

    async def ask() -> None:
        left = 5000

        async def receive() -> dict:
            nonlocal left
            left -= 1
            if left < 0:
                await stays()
            return {"type": "http.request", "body": b"a", "more_body": left > 0}

        ahead = bodies._Ahead(receive)
        waiting = asyncio.ensure_future(ahead.gone())
        await asyncio.sleep(0.05)
        waiting.cancel()
        assert await ahead.next() == {"type": "http.request", "body": b"a" * 4999, "more_body": True}
        assert not ahead.ended
        assert (await ahead.next())["more_body"] is False and ahead.ended

    asyncio.run(ask())


def test_an_upload_that_trickles_alone_is_let_be(clients):
    assert asyncio.run(clients.send([FORM, *[b"a"] * 20, END], pause=0.05)) == 200


def test_a_client_that_goes_while_its_upload_waits_leaves_the_queue(clients):
    """It had kept one of the turns, and had been read once its place came, up to a minute later."""

    async def ask() -> None:
        blocking = [
            asyncio.ensure_future(clients.send([FORM, b"a", b"a"], pause=0.4, address=f"10.0.1.{n}"))
            for n in range(3)
        ]
        await asyncio.sleep(0.05)
        gone = [clients.send([FORM, b"half"], goes=True, address=f"10.0.2.{n}") for n in range(4)]
        assert await asyncio.wait_for(asyncio.gather(*gone), 0.3) == [499] * 4
        waiting = [clients.send([FORM + END], address=f"10.0.3.{n}") for n in range(4)]
        assert await asyncio.gather(*waiting) == [200] * 4
        for task in blocking:
            task.cancel()

    asyncio.run(ask())


def test_what_is_read_of_an_upload_that_waits_reaches_it_whole(clients):
    async def ask() -> None:
        blocking = [
            asyncio.ensure_future(clients.send([FORM, END], pause=0.15, address=f"10.0.1.{n}"))
            for n in range(3)
        ]
        await asyncio.sleep(0.05)
        large = [FORM, *[bytes(30 << 10)] * 9, END]  # more than is read ahead
        assert await clients.send(large) == 200
        assert await asyncio.gather(*blocking) == [200] * 3

    asyncio.run(ask())


def test_plain_bodies_that_stand_in_the_memory_are_few_at_once_and_small_ones_pass(clients):
    large, small = [b'"' + b"a" * (100 << 10), b'"'], [b"{}"]
    kind = {"path": "/json", "kind": "application/json"}

    async def ask() -> None:
        asked = [clients.send(large, address=f"10.0.1.{n}", **kind) for n in range(7)]
        assert await asyncio.gather(*asked) == [200] * 7
        assert clients.server.state.at_once.most == 3
        asked = [clients.send(small, address=f"10.0.1.{n}", **kind) for n in range(12)]
        assert await asyncio.gather(*asked) == [200] * 12
        assert clients.server.state.at_once.most == 12

    asyncio.run(ask())


def test_a_plain_body_that_has_waited_for_its_place_has_its_time_before_it(clients, monkeypatch):
    monkeypatch.setattr(bodies, "IDLE_SECONDS", 0.25)
    kind = {"path": "/json", "kind": "application/json"}
    large = [b'"' + b"a" * (70 << 10), b"a", b'"']

    async def ask() -> None:
        asked = [clients.send(large, pause=0.05, address=f"10.0.1.{n}", **kind) for n in range(7)]
        assert await asyncio.gather(*asked) == [200] * 7

    asyncio.run(ask())


def test_who_has_logged_in_is_a_client_wherever_they_ask_from():
    scope = {"client": ("10.0.0.1", 1)}
    assert client_of(scope) == "10.0.0.1"
    note_client(scope, ("person", "a"))
    assert client_of(scope) == ("person", "a")
    assert door.note_client is note_client


def test_uploads_from_one_address_that_end_soon_are_all_taken(clients):
    async def ask() -> list[int]:
        transport = httpx.ASGITransport(app=clients.server)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            sent = [client.post("/file", files={"file": ("a", b"abc")}) for _ in range(6)]
            return [answer.status_code for answer in await asyncio.gather(*sent)]

    assert asyncio.run(ask()) == [200] * 6
