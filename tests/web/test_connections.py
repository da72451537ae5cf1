"""Clients that say nothing, everything or read nothing keep no place from the others."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import requests
import uvicorn
from fastapi import FastAPI

from scaling_app.web import bodies, connections

MOST = 20
LARGE = 16
"""Megabytes: more than the buffers between two programs hold."""


async def app(scope, receive, send) -> None:
    """Says how long the body was; `/large` has a large answer, `/early` does not wait for the body, `/half` has no end."""
    n_bytes, more = 0, scope["path"] != "/early"
    while more:
        message = await receive()
        n_bytes += len(message.get("body", b""))
        more = message.get("more_body", False)
    endless = scope["path"].endswith("/half")
    pieces = [bytes(1 << 20)] * LARGE if scope["path"].endswith("/large") else [b"%d" % n_bytes]
    length = b"%d" % sum(map(len, pieces))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    for left, piece in reversed(list(enumerate(pieces))):
        await send({"type": "http.response.body", "body": piece, "more_body": left > 0 or endless})


@pytest.fixture(params=connections.PROTOCOLS)
def address(request, monkeypatch) -> Iterator[tuple[str, int]]:
    """A server whose connections are bounded: few, and with little time."""
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", MOST)
    monkeypatch.setattr(connections, "HEADER_SECONDS", 1.0)
    module = pytest.importorskip(request.param.rpartition(".")[0])
    kind = getattr(module, request.param.rpartition(".")[2])
    for name in ("connection_made", "data_received", "connection_lost"):
        monkeypatch.setattr(kind, name, getattr(kind, name))  # put back afterwards
    connections.bound_connections()
    with served(
        uvicorn.Config(app, port=0, http=kind, log_level="error", lifespan="off", ws="none")
    ) as place:
        yield place


@contextlib.contextmanager
def served(config: uvicorn.Config) -> Iterator[tuple[str, int]]:
    """Where a server of its own thread listens."""
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()
    server.should_exit = server.force_exit = True
    thread.join()


@pytest.fixture
def connect(address) -> Iterator[Callable[[bytes], socket.socket]]:
    """Opens a connection and sends the beginning of something."""
    with contextlib.ExitStack() as stack:

        def begin(text: bytes) -> socket.socket:
            client = stack.enter_context(socket.create_connection(address, timeout=10))
            client.sendall(text)
            return client

        yield begin


def asked(address, body: bytes = b"") -> str:
    """The answer to somebody who asks for something."""
    return requests.post(f"http://{address[0]}:{address[1]}/", data=body, timeout=10).text


def require_end(client: socket.socket, end: bytes) -> None:
    """Reads an answer up to its end."""
    text = b""
    while not text.endswith(b"\r\n\r\n" + end):
        piece = client.recv(1000)
        assert piece, text
        text += piece


def ended(client: socket.socket) -> bool:
    """Whether the server ends the connection within some seconds."""
    try:
        while client.recv(1 << 20):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1234",
        b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["nothing", "half a header", "half a body", "reads no answer"],
)
def test_any_number_of_clients_that_ask_nothing_leave_a_place_for_one_who_does(address, connect, beginning):
    for _ in range(3 * MOST):
        connect(beginning)
        time.sleep(0.005)
    assert asked(address, b"abc") == "3"


def test_a_header_that_does_not_end_ends_the_connection(address, connect):
    assert ended(connect(b"")) and ended(connect(b"GET / HTTP/1.1\r\nHost: x\r\n"))
    second = connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    require_end(second, b"0")
    second.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
    assert ended(second)


def test_a_header_without_bound_is_refused(address, connect):
    client = connect(b"GET / HTTP/1.1\r\n")
    with contextlib.suppress(ConnectionError):
        for _ in range(1000):
            client.sendall(b"X: " + b"y" * 1000 + b"\r\n")
    assert ended(client) and asked(address) == "0"


def test_an_answer_that_is_given_up_is_no_error_in_the_log_and_one_that_a_fault_ends_is(caplog, monkeypatch):
    """Operators watch the number of errors; whoever reads slowly had made one at each try."""
    for name, value in {"MOST_UPLOADS": 1, "WANTED_SECONDS": 0.3}.items():
        monkeypatch.setattr(bodies, name, value)
    behind = FastAPI()
    behind.mount("/bare", app)
    bodies.bound_bodies(behind, 1 << 20)
    caplog.set_level("INFO", "uvicorn.error")
    config = uvicorn.Config(behind, port=0, log_config=None, lifespan="off", ws="none")
    with served(config) as (host, port), socket.create_connection((host, port)) as slow:
        start = "Host: x\r\nContent-Type: multipart/form-data\r\nContent-Length: 0\r\n\r\n"
        slow.sendall(f"POST /bare/large HTTP/1.1\r\n{start}".encode())
        time.sleep(0.3)
        assert requests.post(f"http://{host}:{port}/bare", files={"a": b"a"}, timeout=20).ok
        assert requests.get(f"http://{host}:{port}/bare/half", timeout=20).ok
    (given_up, fault) = [record for record in caplog.records if "nswer" in record.msg or "ASGI" in record.msg]
    assert given_up.levelno == logging.INFO and "slowly" in given_up.getMessage()
    assert fault.levelno == logging.ERROR and "completing" in fault.getMessage()


def test_who_reads_no_answer_is_left(address, connect):
    client = connect(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    time.sleep(3)
    with pytest.raises((ConnectionError, AssertionError)):
        length = 0
        while piece := client.recv(1 << 20):
            length += len(piece)
        assert length > LARGE << 20


def test_a_long_answer_and_a_slow_body_are_waited_for(address, connect):
    client = connect(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
    for letter in b"abcd":
        time.sleep(0.5)
        client.sendall(bytes([letter]))
    require_end(client, b"4")
    assert len(requests.get(f"http://{address[0]}:{address[1]}/large", timeout=20).content) == LARGE << 20


def test_the_rest_of_a_body_that_was_answered_ends_the_connection_and_is_no_header(address, connect, caplog):
    """A second answer was sent to it: an error of the protocol in the log."""
    client = connect(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\nab")
    require_end(client, b"0")
    with contextlib.suppress(ConnectionError):
        for _ in range(1000):
            client.sendall(bytes(9000))
    assert ended(client) and asked(address) == "0"
    assert not caplog.records
