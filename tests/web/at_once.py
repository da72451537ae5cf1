"""How many requests a handler works on at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class AtOnce:
    """Counts those inside.

    Attributes:
        most: at any time.
    """

    def __init__(self) -> None:
        self._now = self.most = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """One more, for as long as the context lasts."""
        self._now += 1
        self.most = max(self.most, self._now)
        yield
        self._now -= 1
