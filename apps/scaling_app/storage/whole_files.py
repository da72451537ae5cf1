"""Files that a reader sees whole, the old or the new one, whatever ends the writer.

The new content is written beside the file and flushed, takes the file's name in one step, and the folder is
flushed: after a power failure the name leads to the old content or to the new one (POSIX `rename`; Pillai et
al., *All file systems are not created equal*, OSDI 2014, on why both need `fsync`).
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PART_PREFIX = ".part-"
"""What a file that is being written is called at first. One that a killed writer left may be deleted."""

_PROBE_BYTES = 1 << 16


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """A new file beside `path` to write to, which takes its place when the context ends without an error.

    The new file has the same ending, since many writers choose the format by it. With an error it is removed, and
    `path` stays as it was. A link is followed: what it leads to is replaced. Missing folders are made.

    Raises:
        OSError: the place cannot be written; nothing has changed.
    """
    goal = Path(os.path.realpath(path))
    goal.parent.mkdir(parents=True, exist_ok=True)
    part = goal.with_name(f"{PART_PREFIX}{secrets.token_hex(6)}-{goal.name[-100:]}")
    part.touch(exist_ok=False)
    try:
        yield part
        if goal.exists():
            part.chmod(stat.S_IMODE(goal.stat().st_mode))
        flush(part)
        part.replace(goal)
        flush(goal.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_whole_text(path: Path | str, text: str) -> Path:
    """Writes UTF-8 text as a whole file; a pipe or a device takes it as it comes.

    Raises:
        OSError: as `whole_file`.
    """
    path = Path(path)
    if path.exists() and not path.is_file():  # nothing can be put in the place of a pipe; a folder refuses
        path.write_text(text, encoding="utf-8")
        return path
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")
    return path


def copy_whole(source: Path | str, path: Path | str) -> Path:
    """Copies a file's content so that `path` is whole at any moment.

    Raises:
        OSError: as `whole_file`, or the source cannot be read.
    """
    with whole_file(path) as part:
        shutil.copyfile(source, part)
    return Path(path)


def require_writable(folder: Path) -> None:
    """Finds out by doing it whether files can be written into a folder: an empty one finds room on a full disk, too.

    Raises:
        OSError: they cannot.
    """
    probe = folder / f"{PART_PREFIX}{secrets.token_hex(6)}"
    probe.touch(exist_ok=False)
    try:
        probe.write_bytes(bytes(_PROBE_BYTES))
        flush(probe)
    finally:
        probe.unlink()


def sweep_parts(folder: Path, older_than_seconds: float = 0.0) -> None:
    """Deletes what killed writers left half written in a folder.

    Args:
        folder: may be missing.
        older_than_seconds: younger ones stay, since somebody may be writing them.
    """
    for part in folder.glob(f"{PART_PREFIX}*"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime >= older_than_seconds:
                part.unlink()


def flush(path: Path) -> None:
    """Has the system write a file's or a folder's content to the disk, and waits for it."""
    if os.name == "nt" and path.is_dir():  # Windows opens no folders, and writes their entries at once
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
