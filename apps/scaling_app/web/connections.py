"""Connections, bounded: in number, and in what one may send or leave unread without asking for anything.

uvicorn waits for the end of a request's header for ever, and takes one of any length. Some hundred connections that say
nothing would hold all files that the process may open, and nobody else would be let in.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

MOST_CONNECTIONS = 400
"""Beyond them, or half of the files that the process may open, the one that has been silent longest goes."""

MOST_HEADER_BYTES = 64 << 10
"""Of one request; h11 has the same bound."""

HEADER_SECONDS = 30.0
"""How long a request's header may take, and how long nothing of an answer may be read."""

PROTOCOLS = (
    "uvicorn.protocols.http.h11_impl.H11Protocol",
    "uvicorn.protocols.http.httptools_impl.HttpToolsProtocol",
)
"""uvicorn takes the second where httptools is installed."""


@dataclass
class _Place:
    """What is known of one connection.

    Attributes:
        began: when the header that is awaited began, seconds of the monotonic clock.
        header_bytes: of it, so far.
        unread: bytes of the answer that nobody had read at the last look.
    """

    began: float
    header_bytes: int = 0
    unread: int = 0


def bound_connections() -> None:
    """Has uvicorn, whichever of its parsers it uses, end the connections of those who ask for nothing."""
    places = _Places(_most_connections())
    for name in PROTOCOLS:
        module, _, kind = name.rpartition(".")
        with suppress(ImportError):
            places.watch(getattr(importlib.import_module(module), kind))


def _most_connections() -> int:
    if resource is None:
        return MOST_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if soft < 0 else min(MOST_CONNECTIONS, soft // 2)


class _Places:
    """The connections, the one that has been silent longest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._places: OrderedDict[Any, _Place] = OrderedDict()

    def watch(self, kind: Any) -> None:
        """Follows the connections of a class of uvicorn's."""
        made, received, lost = kind.connection_made, kind.data_received, kind.connection_lost

        def connection_made(protocol: Any, transport: asyncio.Transport) -> None:
            made(protocol, transport)
            self._add(protocol)

        def data_received(protocol: Any, data: bytes) -> None:
            received(protocol, data)
            self._heard(protocol, len(data))

        def connection_lost(protocol: Any, error: Exception | None) -> None:
            self._places.pop(protocol, None)
            lost(protocol, error)

        kind.connection_made, kind.data_received = connection_made, data_received
        kind.connection_lost = connection_lost

    def _add(self, protocol: Any) -> None:
        if len(self._places) >= self._most:
            silent = next((other for other in self._places if _asks_nothing(other)), protocol)
            self._places.pop(silent, None)
            silent.transport.abort()
            if silent is protocol:
                return
        self._places[protocol] = _Place(time.monotonic())
        protocol.loop.call_later(HEADER_SECONDS, self._look, protocol)

    def _heard(self, protocol: Any, n_bytes: int) -> None:
        if (place := self._places.get(protocol)) is None:
            return
        self._places.move_to_end(protocol)
        if not _awaits_header(protocol):
            place.began, place.header_bytes = time.monotonic(), 0
            return
        if place.header_bytes == 0:
            place.began = time.monotonic()
        place.header_bytes += n_bytes
        if place.header_bytes <= MOST_HEADER_BYTES or protocol.transport.is_closing():
            return
        if protocol.cycle is not None and protocol.cycle.more_body:  # the rest of a body that was answered
            protocol.transport.close()
        else:
            protocol.send_400_response(f"The header has more than {MOST_HEADER_BYTES} bytes.")

    def _look(self, protocol: Any) -> None:
        """Ends a connection whose header, or whose reader, does not get on; the next look follows."""
        if (place := self._places.get(protocol)) is None:
            return
        # uvicorn itself ends one that asks for nothing more after an answer
        slow = _awaits_header(protocol) and (protocol.cycle is None or place.header_bytes > 0)
        unread = protocol.transport.get_write_buffer_size()
        if (slow and time.monotonic() - place.began >= HEADER_SECONDS) or (unread and unread == place.unread):
            self._places.pop(protocol, None)
            protocol.transport.abort()
            return
        place.unread = unread
        protocol.loop.call_later(HEADER_SECONDS / 2, self._look, protocol)


def _awaits_header(protocol: Any) -> bool:
    return protocol.cycle is None or protocol.cycle.response_complete


def _asks_nothing(protocol: Any) -> bool:
    """Whether the server waits for this client, and not the client for the server."""
    return (
        _awaits_header(protocol) or protocol.cycle.more_body or protocol.transport.get_write_buffer_size() > 0
    )
