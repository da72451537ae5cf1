"""What a gzip file holds, with its checksums compared, and without what somebody appended to it.

Python's own reader refuses a file with foreign bytes behind its end, after the data have been found whole. ITK opens such
a file, and so does Slicer.
"""

from __future__ import annotations

import io
import zlib
from typing import BinaryIO

GZIP = b"\x1f\x8b"
"""How a member begins."""

_IN, _OUT = 1 << 16, 1 << 17
_EVERYTHING = 1 << 63


def unpacked(stream: BinaryIO, enough: int = _EVERYTHING) -> io.BufferedReader:
    """The data of a gzip file, to be read and sought in; it closes the file when it is closed.

    The data end with the member in which so many bytes are reached, whose checksum and length are compared, or with the
    last member. What is no member ends them, too: zeros, or foreign bytes.

    Args:
        stream: the file, at the first member.
        enough: bytes that are wanted, unpacked.
    """
    return io.BufferedReader(_Members(stream, enough), _OUT)


def no_end() -> EOFError:
    """What is said of packed data that end too early, in the words of Python's gzip."""
    return EOFError("Compressed file ended before the end-of-stream marker was reached")


class _Members(io.RawIOBase):
    def __init__(self, stream: BinaryIO, enough: int) -> None:
        super().__init__()
        self._stream, self._enough, self._start = stream, enough, stream.tell()
        self._begin()

    def _begin(self) -> None:
        self._stream.seek(self._start)
        self._place, self._packed, self._over = 0, b"", False
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._stream.close()
        super().close()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Reads up to there; back it goes from the start."""
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("the end is not known before all is read")
        goal = offset + (self._place if whence == io.SEEK_CUR else 0)
        if goal < self._place:
            self._begin()
        while self._place < goal and self._piece(min(goal - self._place, _OUT)):
            pass
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self._piece(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def _piece(self, most: int) -> bytes:
        """The next bytes, not none before the data are over.

        Raises:
            zlib.error: damaged data.
            EOFError: the file ends within a member.
        """
        while most and not self._over:
            if self._member.eof:
                self._next_member()
                continue
            packed = self._packed or self._stream.read(_IN)
            piece = self._member.decompress(packed, most)
            self._packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if piece:
                self._place += len(piece)
                return piece
            if not packed:
                raise no_end()
        return b""

    def _next_member(self) -> None:
        """Goes on behind zeros, where another one begins and is wanted."""
        if self._place < self._enough:
            while True:
                self._packed = self._packed.lstrip(b"\0")
                if len(self._packed) >= len(GZIP) or not (more := self._stream.read(_IN)):
                    break
                self._packed += more
        self._over = self._place >= self._enough or not self._packed.startswith(GZIP)
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
