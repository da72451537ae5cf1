"""NIfTI: voxels through nibabel, place through ITK, and both as ITK takes an odd header.

ITK opens files that nibabel refuses or shifts, since Slicer's users have them: plain ones named `.nii.gz`, and such
whose voxels are said to begin within the header. It also takes a scale of 0 for one of 1 where there is an offset, and
numbers of the scale that are not finite for 0. What is written on the grid of an image carries the image's header as it
is, with what nibabel would mend in it: ITK makes something else of a mended one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from numpy.typing import NDArray

from scaling_app.imaging.grids import LPS_TO_RAS, Grid, placed
from scaling_app.imaging.untrusted.gzipped import GZIP, unpacked
from scaling_app.imaging.untrusted.header import ImageError

_ITK = "NiftiImageIO"
_REST = 1 << 20
"""Bytes that are read behind the voxels. Where the packed data end there, their checksum is compared."""

_MM_OF_UNIT = {1: 1000.0, 3: 0.001}
_FORM = (
    "qform_code",
    "sform_code",
    "quatern_b",
    "quatern_c",
    "quatern_d",
    "qoffset_x",
    "qoffset_y",
    "qoffset_z",
)
_FORM += ("srow_x", "srow_y", "srow_z")


def nifti_grid(path: Path) -> Grid:
    """The grid that the header gives."""
    header, own, _ = _header(path)
    return _grid(path, header, own)


def read_nifti(path: Path, as_label: bool) -> tuple[NDArray, Grid]:
    """Voxels `(C, *S)`, images as float32 and labels in the file's type, and their grid."""
    header, own, offset = _header(path)
    grid = _grid(path, header, own)
    slope, inter = header.get_slope_inter()
    spec = (header.get_data_shape(), header.get_data_dtype(), offset, slope or 1.0, inter or 0.0)
    packed = _is_packed(path)
    with _opened(path, offset + _bytes_of(header)) as stream:
        voxels = ArrayProxy(_source(path, stream), spec, mmap=not packed)
        scaled = not as_label and not header.get_data_dtype().names
        # not through float64, which nibabel takes for scaled integers: twice the memory of a large scan
        array = np.asarray(voxels, dtype=np.float32 if scaled else None)
        if packed:
            stream.read(_REST)
    if array.dtype.names:  # RGB stored as a record
        array = np.stack([array[name] for name in array.dtype.names], axis=-1)[..., :3]
        return np.moveaxis(array, -1, 0), grid
    if array.ndim == 5:
        array = array[:, :, :, 0]
    return (np.moveaxis(array, -1, 0) if array.ndim == 4 else array[None]), grid


def read_first_slices(
    path: Path, count: Callable[[Sequence[int]], int]
) -> tuple[tuple[int, ...], NDArray] | None:
    """Shape and the first slices along the last axis of a volume, float32; no more than these is unpacked.

    None for what is no plain volume: also for a scaled one, whose slices would be scaled in another precision.

    Args:
        path: the file.
        count: of the shape, how many slices.
    """
    header, _, offset = _header(path)
    shape, dtype = tuple(int(size) for size in header.get_data_shape()), header.get_data_dtype()
    if len(shape) != 3 or dtype.names or header.get_slope_inter() not in ((None, None), (1.0, 0.0)):
        return None
    with _opened(path, offset + _bytes_of(header)) as stream:
        voxels = ArrayProxy(_source(path, stream), (shape, dtype, offset), mmap=not _is_packed(path))
        return shape, np.asarray(voxels[..., : count(shape)], dtype=np.float32)


def write_nifti(label: NDArray, grid: Grid, out: Path) -> None:
    """Writes a label map with the grid's own header where there is one: whoever reads both sees them in one place.

    Raises:
        ImageError: a grid of another format whose axes are no right angles.
    """
    image = nib.Nifti1Image(label, None)
    header = image.header
    if grid.nifti is not None:
        for field in _FORM:
            header[field] = grid.nifti[field]
        header["pixdim"][: label.ndim + 1] = grid.nifti["pixdim"][: label.ndim + 1]
        header["xyzt_units"] = int(grid.nifti["xyzt_units"]) & 7
    elif not grid.is_square:
        raise ImageError(f"{out.name} cannot say where the label lies, for its axes are sheared; use .nrrd")
    else:
        header.set_xyzt_units("mm")
        header.set_qform(grid.affine, 1)
        header.set_sform(grid.affine, 1)
    nib.save(image, out)


def write_volume(array: NDArray, spacing: Sequence[float], out: Path, note: str = "") -> None:
    """Writes an array `(*S)` or `(*S, C)` of voxel sizes in mm, without a place in space.

    Args:
        note: what the header says of it.
    """
    image = nib.Nifti1Image(array, np.diag([*spacing, 1.0]))
    image.header["descrip"] = note.encode()
    nib.save(image, out)


def _grid(path: Path, header: Nifti1Header, own: Nifti1Header) -> Grid:
    shape = header.get_data_shape()
    record = header.get_data_dtype().names
    if len(shape) not in (2, 3) and not (
        not record and (len(shape) == 4 or (len(shape) == 5 and shape[3] == 1))
    ):
        raise ImageError(f"{path.name} has {len(shape)} axes; 2 or 3 (and channels) are read")
    spatial = tuple(int(size) for size in shape[:3])
    scale = np.diag([*[_MM_OF_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)] * 3, 1.0])
    forms = [form for form in (_form(header.get_sform), _form(header.get_qform)) if form is not None]
    forms = forms or [header.get_base_affine()]
    if len(shape) > 3:  # Slicer leaves the directions out when it reads a file of several volumes as one
        flat = LPS_TO_RAS @ np.diag([*header.get_zooms()[:3], 1.0])
        forms += [np.hstack([flat[:, :3], form[:, 3:]]) for form in forms]
    others = [*forms[1:], *(scale @ form for form in forms[1:]), forms[0]]
    grid = placed(path, _ITK, spatial, scale @ forms[0], others, own)
    if (
        len(spatial) == 2 and not grid.is_square
    ):  # ITK sees the shadow of a tilted plane, and writes a square one
        grid = replace(grid, others=(*grid.others, _squared(grid)))
    return grid


def _squared(grid: Grid) -> NDArray[np.float64]:
    """The affine whose axes are the grid's, brought to right angles as ITK does when it writes a NIfTI."""
    sizes = np.linalg.norm(grid.affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(grid.affine[:3, :3] / sizes)
    affine = grid.affine.copy()
    affine[:3, :3] = left @ right * sizes
    return affine


def _form(form: Callable[..., tuple[NDArray | None, int]]) -> NDArray | None:
    """The form that a header has, None for one without a code or without sense."""
    try:
        affine, _ = form(coded=True)
    except ValueError:
        return None
    return affine


def _header(path: Path) -> tuple[Nifti1Header, Nifti1Header, int]:
    """The header, mended and as it is, and the byte at which ITK says that the voxels begin."""
    with _opened(path) as stream:
        start = stream.read(Nifti2Header.sizeof_hdr)
    kind = Nifti2Header if Nifti2Header.may_contain_header(start) else Nifti1Header
    header = kind(start[: kind.sizeof_hdr], check=False)
    own = header.copy()
    if bytes(header["magic"].tobytes())[:2] == b"ni":
        raise ImageError(
            f"{path.name} holds a header alone, its voxels lie in another file; save it as .nii.gz"
        )
    offset = max(int(header["vox_offset"]), kind.sizeof_hdr)
    header["vox_offset"] = max(offset, kind.single_vox_offset)
    header.check_fix()
    for field in ("scl_slope", "scl_inter"):
        if not np.isfinite(header[field]):
            header[field] = 0
    if abs(header["scl_slope"]) < np.finfo(np.float64).eps and header["scl_inter"]:
        header["scl_slope"] = 1
    return header, own, offset


def _bytes_of(header: Nifti1Header) -> int:
    """Of its voxels."""
    return math.prod(map(int, header.get_data_shape())) * int(header.get_data_dtype().itemsize)


def _opened(path: Path, enough: int = Nifti2Header.sizeof_hdr) -> BinaryIO:
    """The file, unpacked.

    Args:
        enough: bytes that are wanted; what comes behind their member is not looked at.
    """
    stream = path.open("rb")
    return unpacked(stream, enough) if _is_packed(path) else stream


def _source(path: Path, stream: BinaryIO) -> Path | BinaryIO:
    """Where nibabel reads voxels from: of what is called `.gz` the stream, since it would unpack it by its name."""
    return stream if _is_called_packed(path) else path


def _is_packed(path: Path) -> bool:
    """Whether it is gzip, and not only called so."""
    if not _is_called_packed(path):
        return False
    with path.open("rb") as file:
        return file.read(len(GZIP)) == GZIP


def _is_called_packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")
