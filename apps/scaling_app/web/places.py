"""Places that requests hold while they are worked on, shared among the clients: none can keep the others out.

The limiters of anyio and asyncio give places in the order in which they were asked for, so whoever asks often has them all.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import HTTPException
from starlette.types import Scope

from scaling_app.web.addresses import client_at
from scaling_app.web.turnstile import busy

CLIENT_GONE = 499
"""Where a client has gone nobody reads an answer; as nginx calls it, for those who count. It is no error of the server."""

_CLIENT = "scaling_app.client"


def note_client(scope: Scope, client: Hashable) -> None:
    """Has a request count as one of this client, where whoever looked at it knows more than its address."""
    scope[_CLIENT] = client


def client_of(scope: Scope) -> Hashable:
    """Whose request it is."""
    return scope.get(_CLIENT) or client_at((scope.get("client") or ("",))[0])


class _Turn:
    """One who holds a place or waits for it.

    Attributes:
        since: when it last began to want one.
        place: resolved with True when the place is given, with False when another client takes the turn.
    """

    def __init__(self, client: Hashable) -> None:
        self.client, self.since = client, time.monotonic()
        self.place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    @property
    def has_place(self) -> bool:
        return self.place.done() and not self.place.cancelled() and self.place.result()


class Places:
    """So many at once, two thirds of them of one client at most; others wait.

    Whoever holds the fewest comes first, then whoever waits longest. Where too many wait, the client with the most places and
    turns loses its newest turn.

    Args:
        most: places.
        waiting: turns beside them.
        seconds: how long one waits at most.
    """

    def __init__(self, most: int, *, waiting: int, seconds: float) -> None:
        self._most, self._of_one = most, -(-2 * most // 3)
        self._most_waiting, self._seconds = waiting, seconds
        self._held: Counter[Hashable] = Counter()
        self._waiting: list[_Turn] = []

    def are_wanted(self, client: Hashable, seconds: float) -> bool:
        """Whether somebody has waited so long who may ask for a place of this client: itself, or one that holds fewer.

        Else whoever holds all they may have, and asks for more, would hurry the others.
        """
        return self._wanting(client, seconds) is not None

    def promise(self, client: Hashable, seconds: float) -> None:
        """Has the first who wants a place of this client want it anew: one is about to be free."""
        if (turn := self._wanting(client, seconds)) is not None:
            turn.since = time.monotonic()

    def _wanting(self, client: Hashable, seconds: float) -> _Turn | None:
        now = time.monotonic()
        for turn in self._waiting:
            of_fewer = turn.client == client or self._held[turn.client] < self._held[client]
            if of_fewer and now - turn.since >= seconds:
                return turn
        return None

    @asynccontextmanager
    async def one(self, client: Hashable, gone: Callable[[], Awaitable[Any]]) -> AsyncIterator[None]:
        """A place for as long as the context lasts.

        Args:
            gone: returns once the client has gone, with which the wait ends.

        Raises:
            HTTPException: 503 with `Retry-After` when too many wait or the wait was too long, 499 when the client has gone.
        """
        turn = _Turn(client)
        self._waiting.append(turn)
        self._give()
        try:
            if not turn.has_place:
                self._make_room()
                left = asyncio.ensure_future(gone())
                try:
                    await asyncio.wait(
                        {turn.place, left}, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED
                    )
                    if left.done() and not turn.has_place:
                        raise HTTPException(CLIENT_GONE, "The client has gone.")
                finally:
                    left.cancel()
                    await asyncio.wait({left})  # until it has stopped reading
            if not turn.has_place:
                raise busy()
            yield
        finally:
            if turn.has_place:
                self._held[client] -= 1
                self._held += Counter()  # drops those that hold none
            elif turn in self._waiting:
                self._waiting.remove(turn)
            self._give()

    def _give(self) -> None:
        while self._held.total() < self._most:
            entitled = [turn for turn in self._waiting if self._held[turn.client] < self._of_one]
            if not entitled:
                return
            turn = min(entitled, key=lambda turn: self._held[turn.client])  # the first of equals
            self._waiting.remove(turn)
            self._held[turn.client] += 1
            turn.place.set_result(True)

    def _make_room(self) -> None:
        if len(self._waiting) <= self._most_waiting:
            return
        turns = Counter(turn.client for turn in self._waiting)
        asks = {client: n + self._held[client] for client, n in turns.items()}
        turn = max(reversed(self._waiting), key=lambda turn: asks[turn.client])  # the last of equals
        self._waiting.remove(turn)
        turn.place.set_result(False)
