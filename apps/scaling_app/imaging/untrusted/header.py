"""What a header promises, and the bounds that hold for every kind of file."""

from __future__ import annotations

import math
import os
import stat
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import nibabel as nib
import nrrd
from PIL import Image

MOST_HEADER_BYTES = 4 << 20
"""A segmentation of two hundred segments, as Slicer writes it, has a header of 200 KB."""

MOST_AXES = 7
"""Of NIfTI, which has the most."""

MOST_PACKED = {"gzip": 1032, "zlib": 1032, "bzip2": 10**7}
"""How many bytes one packed byte can stand for. Deflate: 258 in two bits (Deutsch, RFC 1951); of bzip2 a bound with room."""

READ_ERRORS: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    SyntaxError,
    StopIteration,
    ArithmeticError,
    AttributeError,
    MemoryError,
    struct.error,
    zlib.error,
    nib.filebasedimages.ImageFileError,
    nib.wrapstruct.WrapStructError,
    nib.spatialimages.HeaderDataError,
    nrrd.NRRDError,
    Image.DecompressionBombError,
)
"""What nibabel, pynrrd and Pillow raise on damaged files."""


class ImageError(ValueError):
    """A file that cannot be used as an image or label; the message names the file and the reason."""


@dataclass(frozen=True)
class Place:
    """Where a file holds its voxels.

    Attributes:
        begins: byte of the file at which they begin, packed or not.
        packing: `gzip`, `zlib`, `bzip2`, or nothing.
        skipped: bytes before them once unpacked.
        number: NumPy's name of one voxel where that is one number, else nothing.
        exact: whether the file may hold no more than them.
    """

    begins: int
    packing: str = ""
    skipped: int = 0
    number: str = ""
    exact: bool = False


@dataclass(frozen=True)
class Header:
    """What a file's header promises.

    Attributes:
        sizes: voxels along the spatial axes, in the file's order; as many as the format names, ones too.
        others: voxels along all other axes multiplied: channels, layers, points in time.
        item_bytes: bytes of one voxel as stored.
        place: where they lie; None in pictures, and for voxels in another file.
    """

    sizes: tuple[int, ...]
    others: int
    item_bytes: int
    place: Place | None = None

    @property
    def voxels(self) -> int:
        """All numbers in the file."""
        return math.prod(self.sizes) * self.others

    @property
    def stored_bytes(self) -> int:
        """Bytes of the voxels once unpacked."""
        return self.voxels * self.item_bytes

    @property
    def read_bytes(self) -> int:
        """Bytes of the image in memory: float32, as images are read."""
        return self.voxels * 4


def open_regular(path: Path) -> BinaryIO:
    """Opens a regular file; never waits, as opening a pipe would.

    Raises:
        ImageError: it is something else: a pipe, a device, a folder.
        OSError: it cannot be opened.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ImageError(f"{path.name} is no file but a pipe, a device or a folder; put a file in its place")
    return os.fdopen(handle, "rb")


def require_sizes(name: str, sizes: tuple[int, ...]) -> None:
    """Refuses axes that no image has.

    Raises:
        ImageError: none or too many axes, or one without voxels.
    """
    if len(sizes) > MOST_AXES:
        raise ImageError(f"{name} has {len(sizes)} axes; 2 or 3 (and channels) are read")
    if not sizes or min(sizes) < 1:
        shown = " x ".join(map(str, sizes))
        raise ImageError(f"{name} holds no voxels: its header says {shown or 'nothing'}")


def require_room(name: str, promised: int, at_most: int) -> None:
    """Refuses a file that is too small for what its header promises.

    Args:
        promised: bytes of the voxels.
        at_most: bytes that the file can hold, once unpacked.

    Raises:
        ImageError: it says both numbers.
    """
    if promised > at_most:
        raise ImageError(
            f"{name} cannot be read; it may be truncated or damaged: its header promises {promised:,} bytes "
            f"of voxels, and the file can hold at most {max(at_most, 0):,}"
        )
