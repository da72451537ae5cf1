"""One folder for all temporary files of the server, so that what a killed one left is found and deleted."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path

from scaling_app.ledger.processes import lives, this_process

logger = logging.getLogger(__name__)

FOLDER = "tmp"


def claim(above: Path) -> Path:
    """Makes this process's folder for temporary files, and deletes those of processes that have ended.

    Every library that asks Python for a temporary file gets one there from now on.

    Args:
        above: the folder that the ledger lies in.
    """
    folders = above / FOLDER
    folders.mkdir(parents=True, exist_ok=True)
    for folder in folders.iterdir():
        if _is_over(folder.name):
            logger.info("Temporary files of a process that has ended are deleted: %s", folder)
            shutil.rmtree(folder, ignore_errors=True)
    me = this_process()
    mine = folders / f"{me['host']}_{me['pid']}_{me['began'] or 0}"
    mine.mkdir(mode=0o700, exist_ok=True)
    tempfile.tempdir = str(mine)
    return mine


def _is_over(name: str) -> bool:
    parts = name.rsplit("_", 2)
    if len(parts) != 3 or not parts[1].isdigit():
        return False
    host, pid, began = parts
    return lives({"host": host, "pid": int(pid), "began": None if began == "0" else began}) is False
