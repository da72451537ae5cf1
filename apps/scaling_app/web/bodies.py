"""Bodies of requests, bounded while they come in: in bytes, in seconds, in depth and in number at once."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from scaling_app.storage.finite_json import finite
from scaling_app.web.in_front import stand_in_front
from scaling_app.web.places import Places, client_of

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
"""Bytes a second, after the first `IDLE_SECONDS`: a body that trickles keeps a place from others."""

WANTED_SECONDS = 5.0
"""Once somebody has waited so long for a place, no body may be idle for longer."""

WANTED_RATE = 128 << 10
"""Bytes a second, after the first `WANTED_SECONDS`, of a body whose place somebody wants."""

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


async def _say_what_is_amiss(_: Request, error: Exception) -> JSONResponse:
    """FastAPI's own answer, which shows what came; that may hold NaN, which no answer can."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    return JSONResponse({"detail": finite(jsonable_encoder(found))}, 422)


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
        try:
            if "\0" in scope["path"]:
                raise HTTPException(404, "There is nothing of that name.")
            await self._bounded(scope, receive, send)
        except HTTPException as error:
            await JSONResponse({"detail": error.detail}, error.status_code, error.headers)(
                scope, receive, send
            )

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        upload = headers.get("content-type", "").lower().startswith("multipart/")
        most = self.most_bytes + _SPARE_BYTES if upload else MOST_PLAIN_BYTES
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > most:
            raise _too_large(most)
        ahead, client = _Ahead(receive), client_of(scope)
        if upload:
            async with self._uploads.one(client, ahead.gone):
                body = _Body(ahead.next, most, self._uploads)
                await self.app(scope, body.next, body.closing(send))
            return
        body = _Body(ahead.next, most, self._plain)
        if await body.whole(SMALL_BYTES):
            await self._answered(body, scope, receive, send)
            return
        async with self._plain.one(client, ahead.gone):
            await body.whole(most)
            await self._answered(body, scope, receive, send)

    async def _answered(self, body: _Body, scope: Scope, receive: Receive, send: Send) -> None:
        """Acts on a plain body, unless its client has gone before its end: it may say something else than the whole."""
        if (text := body.text) is not None:
            require_shallow(text)
            await self.app(scope, _replayed(text, receive), send)


class _Ahead:
    """The messages of the server, some of them read before they are wanted: else nobody would know that a client has gone."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read: deque[MutableMapping[str, Any]] = deque()

    async def next(self) -> MutableMapping[str, Any]:
        return self._read.popleft() if self._read else await self._receive()

    async def gone(self) -> None:
        """Returns once the client has gone. Of one that has much more to send it cannot be told."""
        while sum(len(message.get("body", b"")) for message in self._read) < SMALL_BYTES:
            self._read.append(message := await self._receive())
            if message["type"] == "http.disconnect":
                return
        await asyncio.Event().wait()


class _Body:
    """A body as it comes in, counted."""

    def __init__(self, receive: Receive, most: int, places: Places) -> None:
        self._receive, self._most, self._places = receive, most, places
        self._pieces: list[bytes] = []
        self._found = 0
        self._ended = self._cut_off = False
        self._began = self._heard = time.monotonic()

    async def next(self) -> MutableMapping[str, Any]:
        """The next message of the server.

        Raises:
            HTTPException: 408 too slow, 413 too large.
        """
        if self._ended:
            return await self._receive()
        message = None
        while message is None:
            seconds = self._seconds_left()
            if seconds <= 0:
                raise HTTPException(
                    408, "The body did not come in time; send it again.", headers={"Connection": "close"}
                )
            with suppress(asyncio.TimeoutError):  # somebody may come to want the place
                message = await asyncio.wait_for(self._receive(), min(seconds, WANTED_SECONDS))
        self._heard = time.monotonic()
        self._found += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        if self._found > self._most:
            raise _too_large(self._most)
        return message

    def _seconds_left(self) -> float:
        """How long the next piece of it may take."""
        idle, rate = IDLE_SECONDS, LEAST_RATE
        if self._places.are_wanted(WANTED_SECONDS):
            idle, rate = min(idle, WANTED_SECONDS), WANTED_RATE
        now = time.monotonic()
        lasting = min(BODY_SECONDS, idle + self._found / rate)
        return min(self._heard + idle, self._began + lasting) - now

    def closing(self, send: Send) -> Send:
        """Sends answers; one given before the body has ended ends the connection, whose rest would be read for ever."""

        async def answer(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and not self._ended:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        return answer

    async def whole(self, most: int) -> bool:
        """Keeps what comes of it until it has more bytes than this; whether nothing more will come."""
        self._began = self._heard = time.monotonic()  # it may have waited for a place
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
