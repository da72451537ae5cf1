"""A list of callables, so that the session can tell a panel, or a test, that something changed."""

from __future__ import annotations

import logging
from typing import Any, Callable

logger = logging.getLogger(__name__)


class Signal:
    """Calls every connected function, in the order of connection.

    A listener that raises is logged and does not keep the others from hearing: a broken
    table must not stop a label from being sent.
    """

    def __init__(self) -> None:
        self._listeners: list[Callable[..., None]] = []

    def connect(self, listener: Callable[..., None]) -> None:
        if listener not in self._listeners:
            self._listeners.append(listener)

    def disconnect(self, listener: Callable[..., None]) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)

    def emit(self, *args: Any) -> None:
        for listener in list(self._listeners):
            try:
                listener(*args)
            except Exception:
                logger.exception("A listener failed")
