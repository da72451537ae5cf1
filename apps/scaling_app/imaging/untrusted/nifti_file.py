"""NIfTI: the header parsed by nibabel from a bounded number of bytes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import BinaryIO

import nibabel as nib

from scaling_app.imaging.untrusted.gzipped import GZIP, unpacked
from scaling_app.imaging.untrusted.header import (
    MOST_HEADER_BYTES,
    MOST_PACKED,
    Header,
    ImageError,
    Place,
    open_regular,
    require_room,
    require_sizes,
)

_LONGEST = 540


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
        packed = packed and stream.read(2) == GZIP  # ITK opens a plain file of that name, too
        stream.seek(0)
        fields = _fields(path.name, unpacked(stream) if packed else stream)
    shape = tuple(int(length) for length in fields.get_data_shape())
    require_sizes(path.name, shape)
    said = float(fields["vox_offset"])
    if not said <= MOST_HEADER_BYTES:  # nor is it a number
        raise ImageError(f"{path.name} has its voxels {said:,.0f} bytes behind its start; export it anew")
    offset = max(int(said), fields.sizeof_hdr)  # what begins within the header, ITK reads from its end
    code = int(fields["datatype"])
    if code not in nib.nifti1.data_type_codes:
        raise ImageError(f"{path.name} holds voxels of the type {code}, which is not read; export it anew")
    dtype = fields.get_data_dtype()
    place = Place(0, "gzip" if packed else "", offset, "" if dtype.names else dtype.str)
    header = Header(shape[:3], math.prod(shape[3:]), int(dtype.itemsize), place)
    most = size * MOST_PACKED["gzip"] if packed else size
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
