"""Calling something later, or again and again, on Qt's event loop."""

from __future__ import annotations

from typing import Callable

import qt


class QtTimer:
    """A running timer.

    PythonQt keeps what is connected to a `QTimer` as long as the timer lives, and a timer that belongs to what
    it calls would live for ever. So this one is deleted as soon as it has nothing more to do.
    """

    def __init__(self, seconds: float, action: Callable[[], None], once: bool) -> None:
        self._action, self._once = action, once
        self._timer = qt.QTimer()
        self._timer.setSingleShot(once)
        self._timer.setInterval(int(seconds * 1000))
        self._timer.timeout.connect(self._fire)
        self._timer.start()

    def stop(self) -> None:
        """Call nothing any more; stopping twice does no harm."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.deleteLater()
            self._timer = None

    def _fire(self) -> None:
        if self._once:
            self.stop()
        self._action()


class QtTimers:
    """Hands out timers that stop when asked."""

    def every(self, seconds: float, action: Callable[[], None]) -> QtTimer:
        """Call `action` every so many seconds until the timer's `stop()`."""
        return QtTimer(seconds, action, once=False)

    def after(self, seconds: float, action: Callable[[], None]) -> QtTimer:
        """Call `action` once, unless the timer's `stop()` comes first."""
        return QtTimer(seconds, action, once=True)
