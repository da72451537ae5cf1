"""Requests over Qt's event loop: every failure has its kind, and the window never waits."""

from __future__ import annotations

import gc
import shutil
import socket
import subprocess
import weakref
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import SimpleNamespace

import pytest
import qt
from DataSufficiencyLib.timers import QtTimers
from DataSufficiencyLib.transport import Call, QtTransport, content_of, error_code, header_of
from stub_server import StubServer, drip, drip_headers, endless

from scaling_app_client.calls import Client, normal_address
from scaling_app_client.messages import Failure, Request, encode_multipart


class Caught:
    """Remembers which callback was called, and how often."""

    def __init__(self) -> None:
        self.answers: list = []
        self.failures: list[Failure] = []

    @property
    def called(self) -> int:
        return len(self.answers) + len(self.failures)


def ask(
    transport: object, wait: object, url: str, method: str = "GET", body: bytes = b"", timeout_s: float = 5
) -> Caught:
    caught = Caught()
    transport.send(Request(method, url, {}, body, timeout_s), caught.answers.append, caught.failures.append)
    wait(lambda: caught.called)
    return caught


def test_bytes_arrive_as_they_were(server: StubServer, transport: object, wait: object) -> None:
    caught = ask(transport, wait, server.url + "/datastore/image?image=a")
    assert caught.answers[0].body == server.image.read_bytes()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, "moved"),
        (401, "sign_in"),
        (403, "forbidden"),
        (404, "not_found"),
        (409, "rejected"),
        (429, "busy"),
        (422, "rejected"),
        (413, "too_large"),
        (408, "timeout"),
        (500, "server_error"),
        (503, "unable"),
        (507, "unable"),
        (502, "gateway"),
        (504, "gateway"),
        (511, "gateway"),
    ],
)
def test_every_status_has_its_kind(
    server: StubServer, transport: object, wait: object, status: int, kind: str
) -> None:
    server.handlers["GET", "/x"] = lambda handler: handler.answer({"detail": "words"}, status)
    (failure,) = ask(transport, wait, server.url + "/x").failures
    assert (failure.kind, failure.status) == (kind, status)
    assert "words" in failure.detail


def test_a_redirection_is_not_followed(server: StubServer, transport: object, wait: object) -> None:
    def point_elsewhere(handler: object) -> None:
        handler.send_response(307)
        handler.send_header("Location", server.url + "/elsewhere")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.handlers["PUT", "/x"] = point_elsewhere
    (failure,) = ask(transport, wait, server.url + "/x", "PUT", b"a label").failures
    assert failure.kind == "moved"
    assert server.requests == ["PUT /x"]


def test_nobody_there_is_unreachable(transport: object, wait: object) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (failure,) = ask(transport, wait, f"http://127.0.0.1:{port}/info/").failures
    assert failure.kind == "unreachable"
    assert failure.offline


def test_silence_ends_in_a_timeout(server: StubServer, transport: object, wait: object) -> None:
    server.delay = 1.0
    (failure,) = ask(transport, wait, server.url + "/info/", timeout_s=0.2).failures
    assert failure.kind == "timeout"


def test_a_slow_but_moving_answer_is_no_timeout(server: StubServer, transport: object, wait: object) -> None:
    def drip(handler: object) -> None:
        import time

        handler.send_response(200)
        handler.send_header("Content-Length", "6")
        handler.end_headers()
        for _ in range(6):
            time.sleep(0.1)
            handler.wfile.write(b"x")
            handler.wfile.flush()

    server.handlers["GET", "/slow"] = drip
    assert ask(transport, wait, server.url + "/slow", timeout_s=0.3).answers[0].body == b"xxxxxx"


@pytest.mark.parametrize(("answer", "words"), [(drip, "no whole answer within 3 s"), (drip_headers, "0.3 s")])
def test_who_drips_without_end_is_given_up(
    server: StubServer, transport: object, wait: object, answer: Callable, words: str
) -> None:
    server.handlers["GET", "/x"] = answer
    (failure,) = ask(transport, wait, server.url + "/x", timeout_s=0.3).failures
    assert (failure.kind, failure.detail) == ("timeout", words)


def test_an_answer_without_end_is_given_up(server: StubServer, transport: object, wait: object) -> None:
    server.handlers["GET", "/x"] = endless
    caught = Caught()
    request = Request("GET", server.url + "/x", most_bytes=1 << 20)
    transport.send(request, caught.answers.append, caught.failures.append)
    wait(lambda: caught.called)
    assert (caught.failures[0].kind, caught.failures[0].detail) == (
        "bad_answer",
        "an answer of more than 1 MiB",
    )


def test_a_connection_that_breaks_is_lost(server: StubServer, transport: object, wait: object) -> None:
    def break_off(handler: object) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"only this")
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)

    server.handlers["GET", "/x"] = break_off
    (failure,) = ask(transport, wait, server.url + "/x").failures
    assert failure.kind == "lost"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_a_certificate_that_nobody_vouches_for_stops_everything(
    tmp_path: Path, transport: object, wait: object
) -> None:
    if not qt.QSslSocket.supportsSsl():
        pytest.skip("this Qt has no TLS")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-keyout",
    ]
    subprocess.run([*command, key, "-out", certificate], check=True, capture_output=True)
    server = StubServer()
    server.encrypt(certificate, key)
    server.start()
    (failure,) = ask(transport, wait, f"https://127.0.0.1:{server.server_port}/x", "PUT", b"a label").failures
    server.stop()
    assert failure.kind == "tls"
    assert server.requests == []


def test_a_cancelled_call_calls_nobody(server: StubServer, transport: object, wait: object) -> None:
    server.delay = 0.2
    caught, other = Caught(), Caught()
    call = transport.send(
        Request("GET", server.url + "/info/"), caught.answers.append, caught.failures.append
    )
    call.cancel()
    transport.send(Request("GET", server.url + "/info/"), other.answers.append, other.failures.append)
    wait(lambda: other.called)
    assert caught.called == 0


def test_closing_with_calls_on_their_way_is_silent(
    server: StubServer, transport: object, wait: object
) -> None:
    server.delay = 0.2
    caught = Caught()
    for _ in range(5):
        transport.send(Request("GET", server.url + "/info/"), caught.answers.append, caught.failures.append)
    transport.close()
    started = qt.QElapsedTimer()
    started.start()
    wait(lambda: started.elapsed() > 400)
    assert caught.called == 0


def test_the_window_keeps_ticking_while_the_server_is_slow(
    server: StubServer, transport: object, wait: object
) -> None:
    """With a server silent for 2 s, a 10 ms timer never waits as long as half a second."""
    server.delay = 2.0
    server.handlers["PUT", "/upload"] = lambda handler: handler.answer({})
    gaps: list[int] = []
    clock = qt.QElapsedTimer()
    clock.start()
    timer = qt.QTimer()
    timer.setInterval(10)
    timer.timeout.connect(lambda: gaps.append(clock.restart()))
    timer.start()
    ask(transport, wait, server.url + "/upload", "PUT", b"x" * 4_000_000, timeout_s=10)
    timer.stop()
    assert len(gaps) > 100
    assert max(gaps) < 500


def tidy_up() -> None:
    """Delete what is to be deleted later: Qt does so in its own event loop, which a test only turns by hand."""
    qt.QCoreApplication.sendPostedEvents(None, qt.QEvent.DeferredDelete.value)
    gc.collect()


def test_many_calls_leave_few_replies_behind(server: StubServer, transport: object, wait: object) -> None:
    for _ in range(40):
        ask(transport, wait, server.url + "/info/")
    tidy_up()
    assert len(transport._manager.findChildren(qt.QNetworkReply)) <= 3


def test_calls_that_have_ended_are_let_go(server: StubServer, transport: object, wait: object) -> None:
    """With the bodies of their requests, which are whole labels."""
    for _ in range(20):
        ask(transport, wait, server.url + "/info/")
    caught = Caught()
    transport.send(
        Request("GET", server.url + "/info/"), caught.answers.append, caught.failures.append
    ).cancel()
    ask(transport, wait, server.url + "/info/")
    tidy_up()
    assert len([thing for thing in gc.get_objects() if type(thing) is Call]) <= 2


def test_a_transport_that_was_closed_is_let_go(server: StubServer, wait: object) -> None:
    one = QtTransport()
    ask(one, wait, server.url + "/info/")
    kept = weakref.ref(one)
    one.close()
    del one
    tidy_up()
    assert kept() is None


@pytest.mark.parametrize("ending", ["stopped", "fired"])
def test_a_timer_lets_go_of_what_it_called(wait: object, ending: str) -> None:
    class Caller:
        def __init__(self) -> None:
            self.called = 0
            self.timer = QtTimers().after(0.01 if ending == "fired" else 60, self.count)

        def count(self) -> None:
            self.called += 1

    def let_it_end() -> weakref.ref:
        caller = Caller()
        if ending == "fired":
            wait(lambda: caller.called)
        else:
            caller.timer.stop()
        return weakref.ref(caller)

    kept = let_it_end()
    tidy_up()
    assert kept() is None


def test_a_module_that_was_closed_is_let_go(scene: object, server: StubServer, wait: Callable) -> None:
    import panel_bench

    def come_and_go() -> list[weakref.ref]:
        module = panel_bench.open_module()
        module.ui.serverAddress.setCurrentText(server.url)
        module.ui.connectButton.click()
        wait(lambda: module.session.state.phase == "ready")
        panel_bench.close_module(module)
        return [weakref.ref(part) for part in (module, module.session, module.panel, module.session.nodes)]

    kept = come_and_go()
    tidy_up()
    assert [one() for one in kept] == [None] * len(kept)


def test_an_error_is_known_as_a_number_and_as_a_name() -> None:
    """PythonQt hands numbers out, PySide6 enumerations."""
    named = Enum("NetworkError", {"RemoteHostClosedError": 2}).RemoteHostClosedError
    assert [error_code(SimpleNamespace(error=lambda code=code: code)) for code in (2, named)] == [2, 2]


def test_a_property_reads_as_an_attribute() -> None:
    button = qt.QPushButton("Send")
    button.enabled = False
    assert (button.text, button.isEnabled()) == ("Send", False)


@pytest.mark.parametrize(("kind", "error"), [(bytes, TypeError), (str, ValueError)])
def test_a_header_is_read_however_its_name_is_taken(kind: type, error: type[Exception]) -> None:
    """As text by PySide6, as bytes by PythonQt; each has another error for the other."""

    def raw(name: object) -> qt.QByteArray:
        if not isinstance(name, kind):
            raise error(f"no {type(name).__name__} here")
        return qt.QByteArray(b"Tue, 06 May 2031 10:20:00 GMT")

    assert header_of(SimpleNamespace(rawHeader=raw), "Date").startswith("Tue, 06 May")


def test_bytes_survive_a_binding_that_calls_them_text() -> None:
    class TextArray:
        def data(self) -> str:
            return "lossy"

        def toBase64(self) -> TextArray:  # noqa: N802
            encoded = TextArray()
            encoded.data = lambda: "AP/+"
            return encoded

    assert content_of(TextArray()) == b"\x00\xff\xfe"


def test_a_file_name_cannot_end_the_header() -> None:
    _headers, body = encode_multipart({}, {"label": ('a"\r\nX-Evil: 1', b"content")})
    assert b"\r\nX-Evil" not in body


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("server:8000", "http://server:8000"),
        (" https://s.org/monai/ ", "https://s.org/monai"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("HTTPS://PACS.Example.org/Label", "https://pacs.example.org/Label"),
    ],
)
def test_an_address_is_completed(typed: str, address: str) -> None:
    assert normal_address(typed) == address


@pytest.mark.parametrize(
    "typed",
    [
        *(
            "",
            "ftp://s",
            "http://",
            "http://a b",
            "http://u:p@s",
            "http://s:99999",
            "http://s/?x=1",
            "http://s:0",
        ),
        *("http://a..b", f"http://{'a' * 64}.org", "http://[::1", "http://s\x00", "http://\u202es"),
    ],
)
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(Failure) as caught:
        normal_address(typed)
    assert caught.value.kind == "bad_address"


def test_a_token_travels_in_the_header_alone(server: StubServer, transport: object, wait: object) -> None:
    caught = Caught()
    Client(transport, server.url, "me", "s3cret").info(caught.answers.append, caught.failures.append)
    wait(lambda: caught.called)
    assert server.headers_seen[0]["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in server.requests[0]


def test_ids_with_odd_letters_reach_the_server_whole(
    server: StubServer, transport: object, wait: object
) -> None:
    caught = Caught()
    client = Client(transport, server.url, "me")
    client.note_case("a/b ö&c", 2.5, True, caught.answers.append, caught.failures.append)
    wait(lambda: caught.called)
    assert server.notes == [("a/b ö&c", {"minutes": 2.5, "blind": True})]


@pytest.mark.parametrize(
    ("route", "answer", "status", "kind"),
    [
        ("/info/", {"hello": 1}, 200, "not_monai_label"),
        ("/info/", {}, 404, "not_monai_label"),
        ("/info/", {}, 403, "forbidden"),
        ("/sufficiency/", {}, 404, "not_this_app"),
        ("/sufficiency/", {"status": "ready"}, 200, "server_too_old"),
        ("/sufficiency/", {"schema": 99}, 200, "extension_too_old"),
        ("/sufficiency/", {"schema": 1, "status": "?"}, 200, "bad_answer"),
    ],
)
def test_a_wrong_server_is_told_apart(
    server: StubServer, transport: object, wait: object, route: str, answer: dict, status: int, kind: str
) -> None:
    server.handlers["GET", route] = lambda handler: handler.answer(answer, status)
    caught = Caught()
    client = Client(transport, server.url, "me")
    call = client.info if route == "/info/" else client.sufficiency
    call(caught.answers.append, caught.failures.append)
    wait(lambda: caught.called)
    assert caught.failures[0].kind == kind
