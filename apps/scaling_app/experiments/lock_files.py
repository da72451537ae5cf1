"""Locks whose files go with them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from filelock import FileLock


def let_go(lock: FileLock) -> None:
    """Releases a lock and deletes its file, first: who has opened it meanwhile finds it gone, and asks again."""
    with suppress(OSError):
        Path(lock.lock_file).unlink()
    lock.release()
