"""Bodies that nobody wants: the answer stands, and its client is to read it."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import anyio
from starlette.datastructures import Headers
from starlette.types import Receive, Scope

from scaling_app.words import whole_number

MOST_THROWN_AWAY = 64 << 20
"""Bytes of a body that nobody wants: a client that sends it all reads the answer, one that is cut off may not."""

_PATIENCE_SECONDS = 30


async def thrown_away(scope: Scope, receive: Receive) -> bool:
    """Reads what is left of a body; whether that was all of it."""
    headers = Headers(scope=scope)
    length = whole_number(headers.get("content-length", ""))
    if "expect" in headers or (length or 0) > MOST_THROWN_AWAY:
        return False
    thrown = 0
    with anyio.move_on_after(_PATIENCE_SECONDS):
        while thrown <= MOST_THROWN_AWAY:
            message: MutableMapping[str, Any] = await receive()
            thrown += len(message.get("body", b""))
            if not message.get("more_body", False):
                return True
    return False
