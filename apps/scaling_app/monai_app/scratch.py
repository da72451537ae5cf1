"""One folder for all temporary files of the server, so that what a killed one left is found and deleted."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path

from scaling_app.ledger.processes import folder_name, is_left

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
        if is_left(folder.name):
            logger.info("Temporary files of a process that has ended are deleted: %s", folder)
            shutil.rmtree(folder, ignore_errors=True)
    mine = folders / folder_name()
    mine.mkdir(mode=0o700, exist_ok=True)
    tempfile.tempdir = str(mine)
    return mine
