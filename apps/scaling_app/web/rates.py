"""How often one client may ask. What is kept is one number for each client, of the last ten thousand.

The library `limits` keeps whatever comes in its window, and starts a thread for each request to clean up; a stranger with
many addresses would fill it. cachetools, which MONAI Label needs anyway, bounds what is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

from cachetools import TTLCache

MOST_CLIENTS = 10_000


class Rate:
    """So many requests at once, and so many a second after that (a leaky bucket, as in ATM's GCRA).

    Args:
        at_once: after a pause.
        a_second: from then on.
    """

    def __init__(self, at_once: int, a_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._step, self._clock = 1.0 / a_second, clock
        self._depth = at_once * self._step
        self._full_until: TTLCache[Hashable, float] = TTLCache(MOST_CLIENTS, ttl=self._depth, timer=clock)

    def wait(self, client: Hashable) -> float:
        """Counts a request; seconds until the next one would be taken, if this one is not."""
        now = self._clock()
        until = max(self._full_until.get(client, now), now) + self._step
        if until - now > self._depth + 1e-9:
            return until - now - self._depth
        self._full_until[client] = until
        return 0.0
