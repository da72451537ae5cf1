"""One file that many threads write, and wait for together: a flush serves all who have written before it began.

Databases call it group commit. Eight writers that each waited for a flush of their own would wait for eight.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from pathlib import Path

from scaling_app.storage.whole_files import flush

logger = logging.getLogger(__name__)


class SharedFlush:
    """Has what was written into a file so far on the disk when a call returns.

    Args:
        file: may be missing: whoever removes it answers for what was in it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._asking, self._flushing = threading.Lock(), threading.Lock()
        self._asked = self._done = 0
        self._failure: tuple[int, int, OSError] | None = None
        self._expected = False

    def __call__(self) -> None:
        """Waits until it is there.

        Raises:
            OSError: it may not be there. All who have waited for the same flush hear it.
        """
        with self._asking:
            self._asked += 1
            mine = self._asked
        with self._flushing:  # who waits here finds it done more often than not
            if self._done < mine:
                self._flush_all()
            if self._failure is not None and self._failure[0] <= mine <= self._failure[1]:
                raise self._failure[2]

    def soon(self) -> None:
        """Has it there as soon as the disk can, without waiting; a failure is said in the log."""
        with self._asking:
            if self._expected:  # that flush has not begun
                return
            self._expected = True
        threading.Thread(target=self._flush_unasked, name="flush", daemon=True).start()

    def _flush_unasked(self) -> None:
        try:
            self()
        except OSError as error:
            logger.error("%s could not be flushed: %s", self._file, error.strerror)

    def _flush_all(self) -> None:
        self._expected = False
        first, last = self._done + 1, self._asked
        try:
            with suppress(FileNotFoundError):
                flush(self._file)
        except OSError as error:
            self._failure = first, last, error
        self._done = last
