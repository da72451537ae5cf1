"""Bodies of requests, bounded while they come in: in bytes, in seconds, in depth and in number at once."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import deque
from collections.abc import Hashable, MutableMapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import anyio
from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from scaling_app.service.amiss import what_is_amiss
from scaling_app.web.in_front import stand_in_front
from scaling_app.web.pace import Pace
from scaling_app.web.places import Places, client_of
from scaling_app.web.unwanted import thrown_away
from scaling_app.words import whole_number

MOST_PLAIN_BYTES = 1 << 20
"""Of a body that is no upload: options, a target, a list of images."""

MOST_DEPTH = 64
"""Of brackets in JSON. From some hundred on, encoders and copies end with an error of Python."""

MOST_UPLOADS = 12
"""Bodies of files at once: each may take as much of the disk as an upload may have, and holds one of the threads that answer."""

SMALL_BYTES = 64 << 10
"""Of a plain body that needs no place, and of what is read of an upload that waits for one."""

MOST_PLAIN = 32
"""Larger plain bodies at once: they stand in the memory until they are answered."""

MOST_WAITING = 64
"""Bodies of each kind that wait for a place beside these. They hold no thread."""

WAITING_SECONDS = 60.0
"""How long one waits at most."""

IDLE_SECONDS = 30.0
"""How long nothing of a body may come."""

BODY_SECONDS = 600.0
"""How long a whole body may take."""

LEAST_RATE = 8 << 10
"""Bytes a second: a body that trickles keeps a place from others."""

WANTED_SECONDS = 5.0
"""Once somebody has waited so long for a place, no body, and no reader of an answer, may be idle for longer."""

WANTED_RATE = 128 << 10
"""Bytes a second of a body, or of an answer, whose place somebody wants."""

_SPARE_BYTES = 1 << 20
"""For what stands around the file in a form."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def require_shallow(text: bytes) -> None:
    """Refuses JSON that is nested deeper than anything here is.

    Raises:
        HTTPException: 422.
    """
    if text.count(b"[") + text.count(b"{") <= MOST_DEPTH:
        return
    depth = 0
    for match in _BRACKET.finditer(_STRING.sub(b"", text)):
        depth += 1 if match[0] in b"[{" else -1
        if depth > MOST_DEPTH:
            raise HTTPException(422, f"The JSON is nested more than {MOST_DEPTH} deep; send it flatter.")


def bound_bodies(server: FastAPI, most_bytes: float) -> None:
    """Has the server refuse bodies that are too large, too slow or nested too deep.

    Args:
        most_bytes: of a file that is uploaded.
    """
    server.add_exception_handler(RequestValidationError, _say_what_is_amiss)
    stand_in_front(server, _Bounded, most_bytes=int(most_bytes))
    logger = logging.getLogger("uvicorn.error")
    if _say_given_up not in logger.filters:
        logger.addFilter(_say_given_up)


_given_up: ContextVar[bool] = ContextVar("given_up", default=False)
"""Whether the answer to this request was ended by the server, and not by a fault."""


def _say_given_up(record: logging.LogRecord) -> bool:
    """What uvicorn says of an answer that was given up is no error: operators are called for those."""
    if record.msg == "ASGI callable returned without completing response." and _given_up.get():
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg = "An answer was ended early: its client read it, or sent the rest, too slowly."
    return True


async def _say_what_is_amiss(request: Request, error: Exception) -> JSONResponse:
    """A sentence, where FastAPI would send a list that shows what came; that may hold NaN, which no answer can."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    return JSONResponse({"detail": what_is_amiss(found, request.headers.get("content-type", ""))}, 422)


class _Bounded:
    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self.app, self.most_bytes = app, most_bytes
        self._uploads, self._plain = (
            Places(most, waiting=MOST_WAITING, seconds=WAITING_SECONDS) for most in (MOST_UPLOADS, MOST_PLAIN)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        ahead = _Ahead(receive)
        try:
            if "\0" in scope["path"]:
                raise HTTPException(404, "There is nothing of that name.")
            await self._bounded(scope, ahead, send)
        except HTTPException as error:
            headers = dict(error.headers or {})
            if not (ahead.ended or "Connection" in headers or await thrown_away(scope, ahead.next)):
                headers["Connection"] = "close"
            await JSONResponse({"detail": error.detail}, error.status_code, headers)(scope, receive, send)

    async def _bounded(self, scope: Scope, ahead: _Ahead, send: Send) -> None:
        headers = Headers(scope=scope)
        upload = headers.get("content-type", "").lower().startswith("multipart/")
        most = self.most_bytes + _SPARE_BYTES if upload else MOST_PLAIN_BYTES
        length = headers.get("content-length", "")
        told = whole_number(length)
        endless = told is None and length.isascii() and length.isdigit()
        if endless or (told or 0) > most:
            raise _too_large(most)
        places, client = self._uploads if upload else self._plain, client_of(scope)
        place = _Place(places, client)
        body = _Body(ahead.next, most, place)
        if upload:
            async with places.one(client, ahead.gone):
                body.begin()
                async with _Reader(place, body.next, body.closing(send)) as reader:
                    await self.app(scope, reader.receive, reader.send)
            return
        if await body.whole(SMALL_BYTES):
            await self._answered(body, scope, ahead.next, send)
            return
        async with places.one(client, ahead.gone):
            body.begin()
            await body.whole(most)
            async with _Reader(place, ahead.next, send) as reader:
                await self._answered(body, scope, reader.receive, reader.send)

    async def _answered(self, body: _Body, scope: Scope, receive: Receive, send: Send) -> None:
        """Acts on a plain body, unless its client has gone before its end: it may say something else than the whole."""
        if (text := body.text) is not None:
            require_shallow(text)
            await self.app(scope, _replayed(text, receive), send)


@dataclass(frozen=True)
class _Place:
    """What a request of a client holds, or will."""

    places: Places
    client: Hashable

    def is_wanted(self) -> bool:
        return self.places.are_wanted(self.client, WANTED_SECONDS)

    def let_go(self) -> None:
        """It is given up for whoever wants it; that is no reason to give up another."""
        self.places.promise(self.client, WANTED_SECONDS)


class _Reader:
    """Whoever reads an answer, for as long as they do: one who leaves it unread would keep a place that is wanted.

    Who is given up has gone, for the app: it ends by itself, and tidies up what it made for the answer.
    """

    def __init__(self, place: _Place, receive: Receive, send: Send) -> None:
        self._place, self._receive, self._send = place, receive, send
        self._pace: Pace | None = None
        self._asking = anyio.CancelScope()
        self._given_up = False

    async def __aenter__(self) -> _Reader:
        return self

    async def __aexit__(self, *_: object) -> None:
        _given_up.set(self._given_up)

    async def receive(self) -> MutableMapping[str, Any]:
        with anyio.CancelScope() as self._asking:
            if not self._given_up:
                try:
                    return await self._receive()
                except HTTPException:  # of the rest of a body, which can have no answer of its own any more
                    if self._pace is None:
                        raise
                    self._given_up = True
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if self._given_up:
            return
        pace = self._pace = self._pace or Pace(WANTED_SECONDS, WANTED_RATE)
        pace.go_on()
        sent = asyncio.ensure_future(self._send(message))
        try:
            while not sent.done():
                await asyncio.wait({sent}, timeout=min(max(pace.left, 0.05), WANTED_SECONDS))
                if not sent.done() and pace.left <= 0 and self._place.is_wanted():
                    self._place.let_go()
                    self._given_up = True
                    self._asking.cancel()
                    return
        finally:
            sent.cancel()
        await sent
        pace.count(len(message.get("body", b"")))


class _Ahead:
    """The messages of the server, some of them read before they are wanted: else nobody would know that a client has gone."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read: deque[MutableMapping[str, Any]] = deque()
        self._pieces = bytearray()
        self.ended = False

    async def next(self) -> MutableMapping[str, Any]:
        if self._pieces:
            body, self._pieces = bytes(self._pieces), bytearray()
            return {"type": "http.request", "body": body, "more_body": True}
        message = self._read.popleft() if self._read else await self._receive()
        self.ended = not message.get("more_body", False)
        return message

    async def gone(self) -> None:
        """Returns once the client has gone. Of one that has much more to send it cannot be told."""
        while len(self._pieces) < SMALL_BYTES:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._read.append(message)
                return
            if self._read:  # the end was read before
                continue
            if message.get("more_body", False):
                self._pieces += message.get("body", b"")  # as one: a client may send them byte by byte
            else:
                self._read.append(message)
        await asyncio.Event().wait()


class _Body:
    """A body as it comes in, counted."""

    def __init__(self, receive: Receive, most: int, place: _Place) -> None:
        self._receive, self._most, self._place = receive, most, place
        self._pieces: list[bytes] = []
        self._found = 0
        self._ended = self._cut_off = False
        self.begin()

    def begin(self) -> None:
        """Its time begins: it may have waited for a place."""
        self._end = time.monotonic() + BODY_SECONDS
        self._least = Pace(IDLE_SECONDS, LEAST_RATE)
        self._where_wanted = Pace(min(IDLE_SECONDS, WANTED_SECONDS), WANTED_RATE)

    async def next(self) -> MutableMapping[str, Any]:
        """The next message of the server.

        Raises:
            HTTPException: 408 too slow, 413 too large.
        """
        if self._ended:
            return await self._receive()
        self._least.go_on()
        self._where_wanted.go_on()
        message = None
        while message is None:
            seconds = self._seconds_left()
            if seconds <= 0:
                self._place.let_go()
                raise HTTPException(
                    408, "The body did not come in time; send it again.", headers={"Connection": "close"}
                )
            with suppress(asyncio.TimeoutError):  # somebody may come to want the place
                message = await asyncio.wait_for(self._receive(), min(seconds, WANTED_SECONDS))
        found = len(message.get("body", b""))
        self._least.count(found)
        self._where_wanted.count(found)
        self._found += found
        self._ended = not message.get("more_body", False)
        if self._found > self._most:
            raise _too_large(self._most)
        return message

    def _seconds_left(self) -> float:
        """How long the next piece of it may take."""
        left = min(self._least.left, self._end - time.monotonic())
        return min(left, self._where_wanted.left) if self._place.is_wanted() else left

    def closing(self, send: Send) -> Send:
        """Sends answers; one given before the body has ended ends the connection, whose rest would be read for ever."""

        async def answer(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and not self._ended:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        return answer

    async def whole(self, most: int) -> bool:
        """Keeps what comes of it until it has more bytes than this; whether nothing more will come."""
        while not self._ended and self._found <= most:
            message = await self.next()
            self._cut_off = message["type"] == "http.disconnect"
            self._pieces.append(message.get("body", b""))
        return self._ended

    @property
    def text(self) -> bytes | None:
        """What was kept, None where the client has gone before the end."""
        return None if self._cut_off else b"".join(self._pieces)


def _replayed(body: bytes, receive: Receive) -> Receive:
    told = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _too_large(most: int) -> HTTPException:
    return HTTPException(
        413,
        f"The body has more than {most:,} bytes; send less, or start the server with a larger --conf upload_gb.",
        headers={"Connection": "close"},
    )
