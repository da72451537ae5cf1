"""Bodies of requests, bounded while they come in: in bytes, in seconds, in depth and in number at once."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
from fastapi import FastAPI, HTTPException
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from scaling_app.storage.finite_json import finite
from scaling_app.web.in_front import stand_in_front
from scaling_app.web.turnstile import busy

MOST_PLAIN_BYTES = 1 << 20
"""Of a body that is no upload: options, a target, a list of images."""

MOST_DEPTH = 64
"""Of brackets in JSON. From some hundred on, encoders and copies end with an error of Python."""

MOST_UPLOADS = 12
"""Bodies of files at once: each may take as much of the disk as an upload may have, and holds one of the threads that answer."""

MOST_WAITING = 64
"""Uploads that wait for a place beside these. Nothing of their bodies is read, and they hold no thread."""

WAITING_SECONDS = 60.0
"""How long one waits at most."""

IDLE_SECONDS = 30.0
"""How long nothing of a body may come."""

BODY_SECONDS = 600.0
"""How long a whole body may take."""

LEAST_RATE = 8 << 10
"""Bytes a second, after the first `IDLE_SECONDS`: a body that trickles keeps a place from others."""

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
        self._places, self._uploads = anyio.Semaphore(MOST_UPLOADS), 0

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
        if not upload:
            whole = await _Body(receive, most).whole()
            if whole is not None:
                await self.app(scope, _replayed(whole, receive), send)
            return
        async with self._place():
            body = _Body(receive, most)
            await self.app(scope, body.next, body.closing(send))

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """A place for an upload for as long as the context lasts, after those that came before.

        Raises:
            HTTPException: 503 when too many wait, or the wait was too long.
        """
        if self._uploads >= MOST_UPLOADS + MOST_WAITING:
            raise busy()
        self._uploads += 1
        try:
            with anyio.move_on_after(WAITING_SECONDS) as waiting:
                await self._places.acquire()
            if waiting.cancelled_caught:
                raise busy()
            try:
                yield
            finally:
                self._places.release()
        finally:
            self._uploads -= 1


class _Body:
    """A body as it comes in, counted."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._most = receive, most
        self._found = 0
        self._ended = False
        self._began = time.monotonic()

    async def next(self) -> MutableMapping[str, Any]:
        """The next message of the server.

        Raises:
            HTTPException: 408 too slow, 413 too large.
        """
        if self._ended:
            return await self._receive()
        lasting = min(BODY_SECONDS, IDLE_SECONDS + self._found / LEAST_RATE)
        seconds = min(IDLE_SECONDS, self._began + lasting - time.monotonic())
        try:
            message = await asyncio.wait_for(self._receive(), max(seconds, 0.01))
        except asyncio.TimeoutError:
            raise HTTPException(
                408, "The body did not come in time; send it again.", headers={"Connection": "close"}
            ) from None
        self._found += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        if self._found > self._most:
            raise _too_large(self._most)
        return message

    def closing(self, send: Send) -> Send:
        """Sends answers; one given before the body has ended ends the connection, whose rest would be read for ever."""

        async def answer(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and not self._ended:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        return answer

    async def whole(self) -> bytes | None:
        """All of it, None where the client goes before its end; JSON that is nested too deep is refused."""
        pieces = []
        while not self._ended:
            message = await self.next()
            if message["type"] == "http.disconnect":  # what has come may say something else than the whole
                return None
            pieces.append(message.get("body", b""))
        text = b"".join(pieces)
        require_shallow(text)
        return text


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
