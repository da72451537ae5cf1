"""Who holds a folder: a server that serves it, or a restore that fills it. Never both, and no two restores.

The locks are the system's: they end with the process, however it ends.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from scaling_app.storage import make_folder

logger = logging.getLogger(__name__)

_SERVER, _RESTORE = ".server.lock", ".restore.lock"


class FolderHeldError(ValueError):
    """Somebody else holds the folder; one line that says what to do."""


@contextmanager
def restoring(folder: Path) -> Iterator[None]:
    """Holds the folder of a ledger for a restore.

    Raises:
        FolderHeldError: a server or another restore holds it.
    """
    with ExitStack() as stack:
        _hold(stack, folder / _RESTORE, f"another restore is at work in {folder}: wait for its end")
        _hold(stack, folder / _SERVER, f"a server holds {folder}: end it first")
        yield


def serving(folder: Path) -> FileLock:
    """Holds the folder of a ledger for a server, until the process ends or the lock is released.

    Raises:
        FolderHeldError: a restore is at work in it.
    """
    server = FileLock(str(folder / _SERVER))
    with ExitStack() as stack:
        _hold(stack, folder / _RESTORE, f"a restore is at work in {folder}: wait for its end")
        try:
            server.acquire(timeout=0)
        except Timeout:
            logger.warning("Another server serves from %s, too", folder)
    return server


def _hold(stack: ExitStack, file: Path, otherwise: str) -> None:
    make_folder(file.parent)
    try:
        stack.enter_context(FileLock(str(file)).acquire(timeout=0))
    except Timeout:
        raise FolderHeldError(otherwise) from None
