"""Packed data measured piece by piece: how much they hold is known before anybody makes room for it."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from scaling_app.imaging.untrusted.header import ImageError

_IN, _OUT = 1 << 16, 1 << 20


def require_unpacked(
    name: str, stream: BinaryIO, packing: str, expected: int, *, exactly: bool = True
) -> None:
    """Refuses data that do not unpack to what the header says; holds a megabyte at a time.

    Args:
        packing: `gzip`, `zlib` or `bzip2`; of several members the first counts, as for pynrrd.
        expected: bytes.
        exactly: whether more is refused too.

    Raises:
        ImageError: fewer bytes than expected, or more.
        zlib.error, OSError: damaged data.
    """
    found = 0
    for piece in (_bunzipped if packing == "bzip2" else _inflated)(stream, packing):
        found += len(piece)
        if found > expected:
            break
    if found < expected:
        raise ImageError(
            f"{name} cannot be read; it may be truncated or damaged: its data unpack to {found:,} bytes, "
            f"its header promises {expected:,}"
        )
    if exactly and found > expected:
        raise ImageError(f"{name} holds more data than the {expected:,} bytes of its header; export it anew")


def _inflated(stream: BinaryIO, packing: str) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | (16 if packing == "gzip" else 0))
    while not unpacker.eof:
        packed = unpacker.unconsumed_tail or stream.read(_IN)
        piece = unpacker.decompress(packed, _OUT)
        if not packed and not piece:
            return
        yield piece


def _bunzipped(stream: BinaryIO, _: str) -> Iterator[bytes]:
    unpacker = bz2.BZ2Decompressor()
    while not unpacker.eof:
        packed = stream.read(_IN) if unpacker.needs_input else b""
        if unpacker.needs_input and not packed:
            return
        yield unpacker.decompress(packed, _OUT)
