"""How fast something has to get on."""

from __future__ import annotations

import time


class Pace:
    """Bytes, so many a second, with pauses of so many seconds: what went fast earns no longer pause.

    Args:
        idle: seconds that nothing may happen.
        rate: bytes a second.
    """

    def __init__(self, idle: float, rate: float) -> None:
        self._idle, self._rate = idle, rate
        self._counted = time.monotonic()
        self._due = self._counted + idle

    def count(self, n_bytes: int) -> None:
        """So many got on."""
        self._counted = now = time.monotonic()
        self._due = min(max(self._due, now) + n_bytes / self._rate, now + self._idle)

    def go_on(self) -> None:
        """The other side is asked again; what this side did with the last bytes, on a slow disk, is not its delay."""
        now = time.monotonic()
        self._due += now - self._counted
        self._counted = now

    @property
    def left(self) -> float:
        """Seconds until it has been too slow."""
        return self._due - time.monotonic()
