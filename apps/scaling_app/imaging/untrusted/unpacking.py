"""Packed data measured piece by piece: how much they hold is known before anybody makes room for it."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from scaling_app.imaging.untrusted.gzipped import no_end, unpacked
from scaling_app.imaging.untrusted.header import Header, ImageError, Place, open_regular

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
        raise _too_little(name, found, expected)
    if exactly and found > expected:
        raise _too_much(name, expected)


def read_through(path: Path, header: Header) -> None:
    """Reads all voxels once and forgets them; holds some megabytes, however many they are.

    Args:
        header: what was promised; its `place` says where they lie.

    Raises:
        ImageError: fewer bytes than promised, or more where that is refused, or no voxel with a finite value.
        zlib.error, OSError: damaged data.
    """
    place = header.place or Place(0)
    dtype = np.dtype(place.number or "u1")
    finite = dtype.kind not in "fc"
    wanted, found, rest = header.stored_bytes, -place.skipped, b""
    with open_regular(path) as stream:
        stream.seek(place.begins)
        for piece in _unpacked(stream, place.packing, place.skipped + wanted):
            voxels = piece[max(0, -found) : max(0, wanted - found)]
            before, found = found, found + len(piece)
            if not finite:
                voxels = rest + voxels
                whole = len(voxels) - len(voxels) % dtype.itemsize
                finite = bool(np.isfinite(np.frombuffer(voxels[:whole], dtype)).any())
                rest = voxels[whole:]
            # one piece behind the voxels, too: where the packed data end there, their checksum is compared
            if found > wanted and (place.exact or before >= wanted):
                break
    if found < wanted:
        raise _too_little(path.name, max(found, 0), wanted)
    if place.exact and found > wanted:
        raise _too_much(path.name, wanted)
    if not finite:
        raise ImageError(f"{path.name} holds no voxel with a finite value; export it anew")


def _unpacked(stream: BinaryIO, packing: str, enough: int) -> Iterator[bytes]:
    if packing == "zlib":
        yield from _inflated(stream, packing)
        return
    openers = {"gzip": lambda: unpacked(stream, enough), "bzip2": lambda: bz2.BZ2File(stream)}
    source = openers[packing]() if packing else stream
    while piece := source.read(_OUT):
        yield piece


def _too_little(name: str, found: int, expected: int) -> ImageError:
    return ImageError(
        f"{name} cannot be read; it may be truncated or damaged: its data unpack to {found:,} bytes, "
        f"its header promises {expected:,}"
    )


def _too_much(name: str, expected: int) -> ImageError:
    return ImageError(f"{name} holds more data than the {expected:,} bytes of its header; export it anew")


def _inflated(stream: BinaryIO, packing: str) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | (16 if packing == "gzip" else 0))
    while not unpacker.eof:
        packed = unpacker.unconsumed_tail or stream.read(_IN)
        piece = unpacker.decompress(packed, _OUT)
        if not packed and not piece:
            raise no_end()
        yield piece


def _bunzipped(stream: BinaryIO, _: str) -> Iterator[bytes]:
    unpacker = bz2.BZ2Decompressor()
    while not unpacker.eof:
        packed = stream.read(_IN) if unpacker.needs_input else b""
        if unpacker.needs_input and not packed:
            raise no_end()
        yield unpacker.decompress(packed, _OUT)
