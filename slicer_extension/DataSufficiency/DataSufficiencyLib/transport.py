"""HTTP on Qt's event loop: nothing blocks the window, and no thread touches Python.

Certificates are verified by Qt and errors in them are never ignored. Redirections are not followed:
what is sent goes to the server that was named, or nowhere.
"""

from __future__ import annotations

import base64
import logging
import time
from typing import Any, Callable

import qt

from scaling_app_client.messages import Failure, Reply, Request, failure_of_status

logger = logging.getLogger(__name__)

OnDone = Callable[[Reply], None]
OnFailed = Callable[[Failure], None]


class Call:
    """One request on its way. After `cancel()` neither callback is called.

    PythonQt keeps a connected method, and with it this call and the request's body, as long as the sender lives:
    the timer is deleted when the call ends, the reply soon after.
    """

    def __init__(self, reply: Any, request: Request, on_done: OnDone, on_failed: OnFailed) -> None:
        self.reply = reply
        self.request = request
        self.open = True
        self.given_up: Failure | None = None
        self._until = time.monotonic() + request.most_s
        self._on_done = on_done
        self._on_failed = on_failed
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(int(request.timeout_s * 1000))
        self._timer.timeout.connect(self._silent)
        self._timer.start()

    def moved(self, _done: int = 0, _total: int = 0) -> None:
        """Some bytes went or came: the time-out starts anew, until there was time enough."""
        if self.open and time.monotonic() > self._until:
            self._give_up(self.request.dripping)
        elif self.open:
            self._timer.start()

    def came(self, done: int = 0, total: int = 0) -> None:
        """So many bytes of the answer are there."""
        if self.open and max(done, total) > self.request.most_bytes:
            self._give_up(self.request.endless)
        else:
            self.moved()

    def cancel(self) -> None:
        if self.open:
            self.close()
            self.reply.abort()

    def close(self) -> None:
        if self.open:
            self.open = False
            self._timer.stop()
            self._timer.deleteLater()

    def succeed(self, answer: Reply) -> None:
        self._on_done(answer)

    def fail(self, failure: Failure) -> None:
        self._on_failed(failure)

    def _silent(self) -> None:
        self._give_up(Failure("timeout", f"{self.request.timeout_s:g} s"))

    def _give_up(self, failure: Failure) -> None:
        self.given_up = failure
        self.reply.abort()


class QtTransport:
    """Sends requests through one `QNetworkAccessManager`, which lives as long as the module."""

    def __init__(self) -> None:
        self._manager = qt.QNetworkAccessManager()
        self._manager.finished.connect(self._finished)
        self._calls: dict[Any, Call] = {}
        self._old: list[Any] = []

    def send(self, request: Request, on_done: OnDone, on_failed: OnFailed) -> Call:
        """Send; exactly one of the callbacks is called later, from the event loop."""
        self._sweep()
        reply = self._start(request)
        call = Call(reply, request, on_done, on_failed)
        self._calls[reply] = call
        reply.uploadProgress.connect(call.moved)
        reply.downloadProgress.connect(call.came)
        return call

    def close(self) -> None:
        """Drop everything on its way, silently, and send nothing any more."""
        for call in list(self._calls.values()):
            call.cancel()
        self._calls.clear()
        self._old = []
        self._manager.deleteLater()  # and the replies with it

    def _start(self, request: Request) -> Any:
        # Bytes are handed over as they are: bindings turn them into a QByteArray with zeros and all.
        message = qt.QNetworkRequest(qt.QUrl(request.url))
        for name, value in request.headers.items():
            message.setRawHeader(name.encode("ascii"), value.encode("utf-8"))
        redirects = getattr(qt.QNetworkRequest, "RedirectPolicyAttribute", None)
        if redirects is not None:
            message.setAttribute(redirects, 0)  # QNetworkRequest::ManualRedirectPolicy
        if request.method == "GET":
            return self._manager.get(message)
        if request.method == "POST":
            return self._manager.post(message, request.body)
        if request.method == "PUT":
            return self._manager.put(message, request.body)
        if request.method == "DELETE":
            return self._manager.deleteResource(message)
        raise ValueError("no such method: " + request.method)

    def _finished(self, reply: Any) -> None:
        call = self._calls.pop(reply, None)
        self._old.append(reply)
        if call is None or not call.open:
            return
        call.close()
        status = reply.attribute(qt.QNetworkRequest.HttpStatusCodeAttribute)
        body = content_of(reply.readAll())
        if call.given_up is not None:
            call.fail(call.given_up)
        elif status is None:
            call.fail(_no_answer(reply))
        elif not 200 <= int(status) < 300:
            detail = body[:2000].decode("utf-8", "replace")
            call.fail(failure_of_status(int(status), detail))
        elif error_code(reply) != 0:
            call.fail(Failure("lost", reply.errorString(), int(status)))
        else:
            call.succeed(Reply(int(status), body, header_of(reply, "Date")))

    def _sweep(self) -> None:
        """Free finished replies; not inside their own signal, where Qt still uses them."""
        for reply in self._old:
            reply.deleteLater()
        self._old = []


# QNetworkReply::NetworkError
_CLOSED, _TLS = 2, 6
_OF_A_PROXY = range(101, 200)


def _no_answer(reply: Any) -> Failure:
    code, words = error_code(reply), reply.errorString()
    if code == _TLS:
        return Failure("expired" if "expired" in words else "tls", words)
    if code in _OF_A_PROXY:
        return Failure("gateway", words)
    return Failure("lost" if code == _CLOSED else "unreachable", words)


def header_of(reply: Any, name: str) -> str:
    """A header of an answer, empty where it has none; some bindings take the name as bytes, others as text."""
    try:
        value = reply.rawHeader(name.encode("ascii"))
    except (TypeError, ValueError):
        value = reply.rawHeader(name)
    return content_of(value).decode("latin-1")


def error_code(reply: Any) -> int:
    """`QNetworkReply::error()` as a number; an enumeration in some bindings, a number in others."""
    code = reply.error()
    return int(getattr(code, "value", code))


def content_of(array: Any) -> bytes:
    """The bytes of a QByteArray, whether the binding calls them bytes or text."""
    data = array.data()
    if isinstance(data, str):  # would have lost what is not text, so go through base64, which is
        return base64.b64decode(array.toBase64().data())
    return bytes(data)
