"""Files that a reader sees whole, the old or the new one, whatever ends the writer.

The new content is written beside the file and flushed, takes the file's name in one step, and the folder is
flushed: after a power failure the name leads to the old content or to the new one (POSIX `rename`; Pillai et
al., *All file systems are not created equal*, OSDI 2014, on why both need `fsync`). An error says that nothing has
changed, so the last of these steps is taken back when it fails.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scaling_app.storage.private_files import open_as_folder

PART_PREFIX = ".part-"
"""What a file that is being written is called at first. One that a killed writer left may be deleted."""

_PART = re.compile(rf"{re.escape(PART_PREFIX)}[0-9a-f]{{12}}(-|$)")
_PROBE_BYTES = 1 << 16
_LONGEST_TAIL = 200
"""Bytes of a part's name that are the file's own: file systems end at 255."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system answers where there is no room: the disk, the user's share of it, or a file at its largest."""

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK, errno.EACCES)
_NO_FOLDERS = (errno.EINVAL, errno.EOPNOTSUPP)
"""What file systems answer that flush no folders."""


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """A new file beside `path` to write to, which takes its place when the context ends without an error.

    The new file has the same ending, since many writers choose the format by it. With an error it is removed, and
    `path` stays as it was. A link is followed: what it leads to is replaced. Missing folders are made. Who may read a file
    stays; a new one is for this user, and for the group that its folder is shared with.

    Raises:
        OSError: the place cannot be written; nothing has changed.
    """
    goal = Path(os.path.realpath(path))
    make_folder(goal.parent)
    part = _beside(goal)
    part.touch(exist_ok=False)
    try:
        yield part
        if goal.exists():
            part.chmod(stat.S_IMODE(goal.stat().st_mode))
        else:
            open_as_folder(part)
        flush(part)
        _put_in_place(part, goal)
    except BaseException as error:
        full = _found_full(part, goal, error)
        part.unlink(missing_ok=True)
        if full is not None:
            raise full from error
        raise


def _found_full(part: Path, goal: Path, error: BaseException) -> OSError | None:
    """The full disk behind an error of who wrote the part, with the file's name; None where it is something else.

    The system's own error names no file. numpy's names no reason ("56074 requested and 29664 written"), and torch's
    neither: more is written to the part, to hear it.
    """
    if isinstance(error, OSError) and error.errno in NO_ROOM and error.filename is None:
        return OSError(error.errno, error.strerror, str(goal))
    if isinstance(error, RuntimeError) or (isinstance(error, OSError) and error.errno is None):
        try:
            with part.open("ab") as stream:
                stream.write(bytes(_PROBE_BYTES))
            flush(part)
        except OSError as refusal:
            if refusal.errno in NO_ROOM:
                return OSError(refusal.errno, os.strerror(refusal.errno), str(goal))
    return None


def _put_in_place(part: Path, goal: Path) -> None:
    """Gives the part the name of the file; what had it before is put back where the folder cannot be flushed."""
    before = _beside(goal) if goal.exists() else None
    try:
        if before is not None:
            second_name(goal, before)
        part.replace(goal)
        try:
            flush(goal.parent)
        except OSError:
            if before is None:
                goal.unlink()
            else:
                before.replace(goal)
            raise
    finally:
        if before is not None:
            with suppress(OSError):  # it is swept later
                before.unlink(missing_ok=True)


def _beside(file: Path) -> Path:
    """A name for a file that is being written, or on its way out: in the same folder, of the same ending."""
    tail = os.fsencode(file.name)[-_LONGEST_TAIL:].decode("utf-8", "ignore")
    return file.with_name(f"{PART_PREFIX}{secrets.token_hex(6)}-{tail}")


def make_folder(folder: Path) -> None:
    """Makes a folder with those above it; their names are on the disk when this returns.

    Raises:
        OSError: it cannot be made.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in reversed(missing):
        open_as_folder(place)
        flush(place.parent)


def second_name(source: Path, goal: Path) -> None:
    """Gives a file's content another name, too: by a link, or a copy where there are none.

    Raises:
        OSError: as `whole_file`.
    """
    try:
        goal.hardlink_to(source)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        copy_whole(source, goal)


@contextmanager
def taken_away(files: Iterable[Path]) -> Iterator[None]:
    """Files that are gone once the context ends well; with an error all of them are back under their names.

    A link goes itself, and not what it leads to. A file that is missing is passed over.

    Raises:
        OSError: one of them cannot be taken away; nothing has changed.
    """
    away: list[tuple[Path, Path]] = []
    try:
        for file in files:
            if os.path.lexists(file):
                aside = _beside(file)
                file.rename(aside)
                away.append((file, aside))
        yield
    except BaseException:
        for file, aside in reversed(away):
            with suppress(OSError):
                aside.rename(file)
        raise
    for _, aside in away:
        with suppress(OSError):  # it is swept later
            aside.unlink()


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
            if _PART.match(part.name) and time.time() - part.stat().st_mtime >= older_than_seconds:
                part.unlink()


def flush(path: Path) -> None:
    """Has the system write a file's or a folder's content to the disk, and waits for it."""
    if os.name == "nt" and path.is_dir():  # Windows opens no folders, and writes their entries at once
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDERS or not path.is_dir():
            raise
    finally:
        os.close(handle)
