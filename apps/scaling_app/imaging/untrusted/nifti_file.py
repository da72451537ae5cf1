"""NIfTI: the header parsed by nibabel from a bounded number of bytes."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import BinaryIO

import nibabel as nib

from scaling_app.imaging.untrusted.header import (
    MOST_DEFLATED,
    MOST_HEADER_BYTES,
    Header,
    ImageError,
    Place,
    open_regular,
    require_room,
    require_sizes,
)

_GZIP = b"\x1f\x8b"
_LONGEST = 540
_DATA_FROM = 352


def judge_nifti(path: Path, packed: bool) -> Header:
    """What the header promises.

    Args:
        packed: whether the file is gzipped, as its name says.

    Raises:
        ImageError: no such header, extensions without a bound, sizes that the file cannot have.
    """
    with open_regular(path) as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        packed = packed and stream.read(2) == _GZIP  # ITK opens a plain file of that name, too
        stream.seek(0)
        fields = _fields(path.name, gzip.GzipFile(fileobj=stream) if packed else stream)  # type: ignore[arg-type]
    shape = tuple(int(length) for length in fields.get_data_shape())
    require_sizes(path.name, shape)
    offset = max(
        int(fields.get_data_offset()), _DATA_FROM
    )  # what begins within the header, ITK reads from its end
    if offset > MOST_HEADER_BYTES:
        raise ImageError(f"{path.name} has its voxels {offset:,} bytes behind its start; export it anew")
    dtype = fields.get_data_dtype()
    place = Place(0, "gzip" if packed else "", offset, "" if dtype.names else dtype.str)
    header = Header(shape[:3], math.prod(shape[3:]), int(dtype.itemsize), place)
    most = size * MOST_DEFLATED if packed else size
    require_room(path.name, header.stored_bytes, most - offset if not packed else most)
    return header


def _fields(name: str, stream: BinaryIO) -> nib.Nifti1Header:
    start = stream.read(_LONGEST)
    for kind in (nib.Nifti1Header, nib.Nifti2Header):
        length = kind.template_dtype.itemsize
        if len(start) >= length and kind.may_contain_header(start[:length]):
            return kind(start[:length], check=False)
    raise ImageError(
        f"{name} cannot be read; it may be truncated or damaged: it does not begin as a NIfTI file"
    )
