"""Calling something later, or again and again, on Qt's event loop."""

from __future__ import annotations

from typing import Any, Callable

import qt


class QtTimers:
    """Hands out timers that stop when asked."""

    def every(self, seconds: float, action: Callable[[], None]) -> Any:
        """Call `action` every so many seconds until the handle's `stop()`."""
        return self._timer(seconds, action, single=False)

    def after(self, seconds: float, action: Callable[[], None]) -> Any:
        """Call `action` once, unless the handle's `stop()` comes first."""
        return self._timer(seconds, action, single=True)

    def _timer(self, seconds: float, action: Callable[[], None], single: bool) -> Any:
        timer = qt.QTimer()
        timer.setSingleShot(single)
        timer.setInterval(int(seconds * 1000))
        timer.timeout.connect(action)
        timer.start()
        return timer
