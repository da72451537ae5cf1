"""One folder for all temporary files of a process, so that what a killed one left is found and deleted.

They hold patients' images: the folder is for this user alone, and is gone with its process. What stays of a request that was
broken off goes after an hour; uploads and predictions are bounded in number and size, so the folder is, too.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from scaling_app.ledger.processes import folder_name, is_left

logger = logging.getLogger(__name__)

FOLDER = "tmp"

KEPT_SECONDS = 3600.0
"""Longer than any request takes."""


def claim(above: Path) -> Path:
    """Makes this process's folder for temporary files, and deletes those of processes that have ended.

    Every library that asks Python for a temporary file gets one there from now on, also in the processes that this one
    starts. It is deleted when this process ends.

    Args:
        above: the folder that the ledger lies in.
    """
    folders = above / FOLDER
    folders.mkdir(parents=True, exist_ok=True, mode=0o700)
    for folder in folders.iterdir():
        if is_left(folder.name):
            logger.info("Temporary files of a process that has ended are deleted: %s", folder)
            shutil.rmtree(folder, ignore_errors=True)
    mine = folders / folder_name()
    mine.mkdir(mode=0o700, exist_ok=True)
    tempfile.tempdir = os.environ["TMPDIR"] = str(mine)
    atexit.register(shutil.rmtree, mine, ignore_errors=True)
    return mine


def leave_at_the_end(mine: Path) -> None:
    """Has uvicorn delete the folder once all requests are answered: after that it ends by the signal, and nothing else is run."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if (shut_down := getattr(server, "shutdown", None)) is None:
        return

    async def and_leave(*said: Any, **options: Any) -> None:
        await shut_down(*said, **options)
        shutil.rmtree(mine, ignore_errors=True)

    server.shutdown = and_leave  # type: ignore[union-attr]


def sweep(mine: Path, older_than_seconds: float = KEPT_SECONDS) -> None:
    """Deletes what broken off requests left in this process's folder."""
    for entry in mine.iterdir():
        with suppress(OSError):
            if time.time() - entry.stat().st_mtime < older_than_seconds:
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
