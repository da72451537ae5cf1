"""A trouble that does not end the work: told when it begins, not again while it lasts."""

from __future__ import annotations

import logging


class Trouble:
    """One that may come and go, as a full disk does under a file that only shows progress."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._lasts = False

    def tell(self, message: str, *values: object) -> None:
        """Warns of it, unless it lasts since it was told."""
        if not self._lasts:
            self._logger.warning(message, *values)
        self._lasts = True

    def over(self) -> bool:
        """It is gone, and is told anew when it comes back; whether it had been there."""
        lasted, self._lasts = self._lasts, False
        return lasted
