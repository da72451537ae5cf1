"""How many requests of a kind are worked on at once: the others wait, and beyond a number of them are sent away.

The server answers plain requests in forty threads. Were slow ones let in without a bound, they would hold them all,
and nobody would see the forecast any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock

from fastapi import HTTPException

RETRY_SECONDS = 5


class Turnstile:
    """Lets a few in at once.

    Args:
        at_once: requests worked on.
        waiting: requests that may wait beside them.
        seconds: how long one waits at most.
    """

    def __init__(self, at_once: int, *, waiting: int, seconds: float = 60.0) -> None:
        self._places = BoundedSemaphore(at_once)
        self._most = at_once + waiting
        self._seconds = seconds
        self._inside = 0
        self._lock = Lock()

    @contextmanager
    def passed(self) -> Iterator[None]:
        """A place for as long as the context lasts.

        Raises:
            HTTPException: 503 with `Retry-After` when too many wait, or the wait was too long.
        """
        with self._lock:
            if self._inside >= self._most:
                raise busy()
            self._inside += 1
        try:
            if not self._places.acquire(timeout=self._seconds):
                raise busy()
            try:
                yield
            finally:
                self._places.release()
        finally:
            with self._lock:
                self._inside -= 1


def busy() -> HTTPException:
    """The answer to somebody who comes at a bad time."""
    return HTTPException(
        503,
        "The server is busy with other files; send it again.",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )
