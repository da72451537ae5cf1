"""The file of a backup: a tar without compression, its manifest first, which `tar tf` lists and `sha256sum -c` checks.

It is read header by header, in the order of the manifest, and never with a library that makes files: what is not a plain
file of the name and size that comes next ends the reading. Without compression nothing in it can be larger than it is.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from scaling_app.backups.headway import Counted, Phase, Told, untold
from scaling_app.backups.manifest import MOST_BYTES, BackupError, Entry, Manifest, read_manifest
from scaling_app.storage import sha256_of, whole_file

MANIFEST, CHECKSUM = "manifest.json", "manifest.sha256"

_BLOCK = tarfile.BLOCKSIZE
_PIECE = 1 << 20
_LONGEST_NAME = 4096


def digest_of(path: Path, phase: Phase) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as content:
        return sha256_of(Counted(content, phase))  # type: ignore[arg-type]


def write_archive(goal: Path, manifest: Manifest, files: Mapping[str, Path], told: Told = untold) -> None:
    """Writes a backup whole, readable by this user alone.

    Args:
        files: path in the manifest -> the file that holds its content.
        told: of how much is written.

    Raises:
        BackupError: a file has changed since the manifest was made.
        OSError: it cannot be written; nothing has changed.
    """
    text = manifest.model_dump_json(indent=1).encode()
    checksum = f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n".encode()
    phase = Phase(told, "writing", manifest.total_bytes)
    with whole_file(goal) as part:
        part.chmod(0o600)
        with tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as tar:
            for name, words in ((MANIFEST, text), (CHECKSUM, checksum)):
                _add(tar, name, len(words), 0, _Noted(io.BytesIO(words)))
            for entry in manifest.files:
                with files[entry.path].open("rb") as stream:
                    content = _Noted(Counted(stream, phase))  # type: ignore[arg-type]
                    _add(tar, entry.path, entry.bytes, entry.changed_ns, content)
                    if content.digest.hexdigest() != entry.sha256 or stream.read(1):
                        raise BackupError(f"{entry.path} changed while it was copied; back up again")


class _Noted:
    """A stream that notes what was read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.digest = stream, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(size)
        self.digest.update(piece)
        return piece


def _add(tar: tarfile.TarFile, name: str, size: int, changed_ns: int, content: _Noted) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, changed_ns // 1_000_000_000, 0o600
    try:
        tar.addfile(info, content)
    except OSError as error:
        if error.errno is None:  # tarfile's own: less was there than expected
            raise BackupError(f"{name} changed while it was copied; back up again") from error
        raise


class OpenBackup:
    """A backup that is being read.

    Attributes:
        manifest: what it says of itself.
    """

    def __init__(self, stream: BinaryIO, name: str, size: int) -> None:
        self._stream, self._name, self._left = stream, name, size
        text = self._small(MANIFEST, MOST_BYTES)
        told = self._small(CHECKSUM, 4096).decode("ascii", "replace").split()
        self.manifest = read_manifest(text, name)
        if told[:1] != [hashlib.sha256(text).hexdigest()]:
            raise BackupError(f"{name} is damaged: its manifest does not have its checksum")
        if self.manifest.total_bytes > self._left:
            raise BackupError(f"{name} is not whole: it promises more than it holds; take another copy of it")

    def contents(self) -> Iterator[tuple[Entry, Callable[[BinaryIO], None]]]:
        """Each file with what copies its content to a stream; copy one before the next is asked for.

        Raises:
            BackupError: what comes next is another file, a link or a folder; or the content has another checksum.
        """
        for entry in self.manifest.files:
            if self._next(entry.path) != entry.bytes:
                raise BackupError(
                    f"{self._name} is damaged: {entry.path} has another size than its manifest says"
                )
            yield entry, lambda sink, entry=entry: self._copy(entry, sink)  # type: ignore[misc]
        if any(self._take(min(self._left, 2 * _BLOCK))):
            raise BackupError(f"{self._name} holds more than its manifest says")

    def _copy(self, entry: Entry, sink: BinaryIO) -> None:
        digest, left = hashlib.sha256(), entry.bytes
        while left:
            piece = self._take(min(left, _PIECE))
            digest.update(piece)
            sink.write(piece)
            left -= len(piece)
        self._take(-entry.bytes % _BLOCK)
        if digest.hexdigest() != entry.sha256:
            raise BackupError(f"{self._name} is damaged: {entry.path} does not have its checksum")

    def _small(self, name: str, most: int) -> bytes:
        size = self._next(name)
        if size > most:
            raise BackupError(f"{self._name} is no backup: its {name} has {size} bytes")
        content = self._take(size)
        self._take(-size % _BLOCK)
        return content

    def _next(self, name: str) -> int:
        """The size of the file that comes next, which has to be a plain one of that name."""
        found, long_name = self._header(), None
        if found.type == tarfile.GNUTYPE_LONGNAME and found.size <= _LONGEST_NAME:
            long_name = self._take(found.size).rstrip(b"\0").decode("utf-8", "replace")
            self._take(-found.size % _BLOCK)
            found = self._header()
        if found.type != tarfile.REGTYPE:
            raise BackupError(f"{self._name} holds a link or a folder where {name} should be; no backup does")
        if (long_name or found.name) != name or not 0 <= found.size <= self._left:
            raise BackupError(
                f"{self._name} is no backup, or a damaged one: {name} does not come where it should"
            )
        return found.size

    def _header(self) -> tarfile.TarInfo:
        try:
            return tarfile.TarInfo.frombuf(self._take(_BLOCK), "utf-8", "replace")
        except tarfile.HeaderError:
            raise BackupError(f"{self._name} is no backup, or a damaged one") from None

    def _take(self, count: int) -> bytes:
        taken = self._stream.read(count)
        self._left -= len(taken)
        if len(taken) != count:
            raise BackupError(f"{self._name} is not whole: it ends too early; take another copy of it")
        return taken


@contextmanager
def open_backup(path: Path) -> Iterator[OpenBackup]:
    """A backup, its manifest judged.

    Raises:
        FileNotFoundError: there is no such file.
        BackupError: it is no backup, or a damaged one.
    """
    if not path.is_file():
        what = "no file" if path.exists() else "not there"
        raise FileNotFoundError(f"the backup {path} is {what}")
    with path.open("rb") as stream:
        yield OpenBackup(stream, path.name, path.stat().st_size)
