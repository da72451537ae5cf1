"""Active minutes: the time somebody worked on a case, without the time the chair was empty."""

from __future__ import annotations

import time
from typing import Callable


class ActiveClock:
    """Adds up the gaps between signs of life, as long as a gap is short enough to be reading or thinking.

    Args:
        idle_after_s: A longer gap counts as absence, all of it.
        now: Seconds that never run backwards.
    """

    def __init__(self, idle_after_s: float = 60.0, now: Callable[[], float] = time.monotonic) -> None:
        self._idle_after_s = idle_after_s
        self._now = now
        self._active_s = 0.0
        self._last: float | None = None

    def restart(self, minutes: float = 0.0) -> None:
        """Another case, on which somebody was active for so many minutes already; running."""
        self._active_s = 60.0 * minutes
        self._last = self._now()

    def touch(self) -> None:
        """Somebody moved the mouse over the image, drew, scrolled."""
        if self._last is None:
            return
        now = self._now()
        gap = now - self._last
        if gap <= self._idle_after_s:
            self._active_s += gap
        self._last = now

    def stop(self) -> None:
        """The case is gone: no more counting until `restart`."""
        if not self.idle:
            self.touch()
        self._last = None

    @property
    def running(self) -> bool:
        return self._last is not None

    @property
    def idle(self) -> bool:
        """Whether the clock stands still because nobody seems to be there."""
        return self._last is None or self._now() - self._last > self._idle_after_s

    @property
    def minutes(self) -> float:
        """Active minutes so far, the present short gap included."""
        pending = 0.0 if self._last is None or self.idle else self._now() - self._last
        return (self._active_s + pending) / 60.0
