"""Files are for this user alone: what is made is, and what was made before becomes so.

A folder that is shared with a group says so itself, by its set-group-ID bit (`chmod 2770`), which gives new files to that group.
What is put into it is for the group, too, as far as the folder is; for all others nothing ever is.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def keep_private() -> None:
    """Has this process, and those that it starts, make files and folders for this user alone."""
    os.umask(_OTHERS)


def tighten(place: Path) -> None:
    """Takes from everybody else what is there: a file, or a folder with all in it. Links are left alone, and shared folders."""
    if place.is_symlink() or not place.exists() or is_shared(place):
        return
    _without_others(place)
    if place.is_dir():
        for entry in os.scandir(place):
            tighten(Path(entry.path))


def is_shared(folder: Path) -> bool:
    """Whether a folder is shared with a group."""
    return bool(folder.is_dir() and folder.stat().st_mode & stat.S_ISGID)


def open_as_folder(made: Path) -> None:
    """Gives a new file or folder to the group of the folder around it, where that is shared."""
    above = made.parent
    if is_shared(above):
        group = above.stat().st_mode & stat.S_IRWXG
        if made.is_dir():
            made.chmod(stat.S_IRWXU | group | stat.S_ISGID)
        else:
            made.chmod(stat.S_IRUSR | stat.S_IWUSR | (group & ~stat.S_IXGRP))


def _without_others(place: Path) -> None:
    mode = stat.S_IMODE(place.stat().st_mode)
    if mode & _OTHERS:
        with suppress(PermissionError):  # another user's
            place.chmod(mode & ~_OTHERS)
