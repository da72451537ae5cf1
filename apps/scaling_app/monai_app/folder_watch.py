"""Notices that files of a folder came or went, and has it looked through once for a burst of changes.

One saved label is half a dozen changes of files, and `rsync` makes thousands: each with a look of its own would keep the
server from answering. A change that the server made itself is known to it, and needs no look.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.polling import PollingObserver

logger = logging.getLogger(__name__)

SETTLED_SECONDS = 0.3
"""How long a look waits for further changes."""
BUSY_SHARE = 0.1
"""The most of the time that looking may take while changes go on."""
MOST_KNOWN = 200
"""Changed files that are asked about one by one."""

_CHANGES = {"created", "deleted", "moved"}


class FolderWatch:
    """Watches a folder and all below it, until the process ends.

    Hidden files and what lies in hidden folders are nobody's concern.

    Args:
        folder: what is watched.
        look: is called soon after a change, in a thread of its own, never twice at once.
        rewritten: a file whose new content is a change, too; of others it is known by its time when it is asked for.
        polling: for folders that tell of no changes, as those of other machines.
        is_known: whether a file that came or went is as expected; asked once it is quiet again.
    """

    def __init__(
        self,
        folder: Path,
        look: Callable[[], None],
        rewritten: Path,
        *,
        polling: bool,
        is_known: Callable[[Path], bool] = lambda path: False,
    ) -> None:
        self._folder, self._look, self._rewritten, self._is_known = folder, look, rewritten, is_known
        self._changed, self._paths, self._lock = threading.Event(), set[Path](), threading.Lock()
        handler = FileSystemEventHandler()
        handler.on_any_event = self._note  # type: ignore[method-assign]
        try:
            observer = PollingObserver() if polling else Observer()
            observer.schedule(handler, str(folder), recursive=True)
            observer.start()
        except OSError:
            logger.exception("%s is not watched: files that come and go are noticed once a minute", folder)
            return
        threading.Thread(target=self._follow, name="studies folder", daemon=True).start()

    def _note(self, event: FileSystemEvent) -> None:
        if event.is_directory:
            return
        paths = [Path(os.fsdecode(path)) for path in (event.src_path, event.dest_path) if path]
        rewritten = event.event_type == "modified" and self._rewritten in paths
        if (rewritten or event.event_type in _CHANGES) and (seen := set(filter(self._is_seen, paths))):
            with self._lock:
                if len(self._paths) <= MOST_KNOWN:
                    self._paths |= seen
            self._changed.set()

    def _is_seen(self, path: Path) -> bool:
        try:
            parts = path.relative_to(self._folder).parts
        except ValueError:
            return False
        return not any(part.startswith(".") for part in parts)

    def _follow(self) -> None:
        while True:
            self._changed.wait()
            time.sleep(SETTLED_SECONDS)
            self._changed.clear()
            began = time.monotonic()
            try:
                if not self._are_all_known():
                    self._look()
            except Exception:  # the next change is to be noticed all the same
                logger.exception("%s could not be looked through", self._folder)
            time.sleep((time.monotonic() - began) * (1 / BUSY_SHARE - 1))

    def _are_all_known(self) -> bool:
        with self._lock:
            paths, self._paths = self._paths, set()
        return len(paths) <= MOST_KNOWN and all(map(self._is_known, paths))
