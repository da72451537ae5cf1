"""Files of images and labels as arrays, with their place in space; no torch, so that it is quick to load.

An array is `(C, *S)` in the file's own axes, its `Grid` says where they lie (see `grids`). `geometry` makes tensors of
them. Two-dimensional pictures (PNG, JPG, TIF) come in MONAI's order (column, row), one pixel apart.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scaling_app.imaging.grids import Grid, is_singular
from scaling_app.imaging.label_numbers import smallest_type
from scaling_app.imaging.meta_image import meta_image_grid, read_meta_image, write_meta_image
from scaling_app.imaging.nifti_files import nifti_grid, read_nifti, write_nifti
from scaling_app.imaging.pictures import PICTURES, picture_grid, read_picture, write_picture
from scaling_app.imaging.segmentation_nrrd import nrrd_grid, nrrd_header, read_nrrd, write_nrrd
from scaling_app.imaging.untrusted import READ_ERRORS, ImageError, judge
from scaling_app.storage import whole_file

logger = logging.getLogger(__name__)


def suffix_of(path: Path | str) -> str:
    """The file's kind in lower case: `.nii.gz`, `.seg.nrrd`, `.nrrd`, `.png`, ..."""
    name = _name_of(path).lower()
    for double in (".nii.gz", ".seg.nrrd"):
        if name.endswith(double):
            return double
    dot = name.rfind(".")
    return name[dot:] if 0 < dot < len(name) - 1 else ""


def stem_of(path: Path | str) -> str:
    """The file's name without its kind: `a.b` for `a.b.nii.gz`."""
    name = _name_of(path)
    return name[: len(name) - len(suffix_of(name))]


def _name_of(path: Path | str) -> str:
    return os.path.basename(path)  # noqa: PTH119 - a `Path` for each file of a folder of thousands takes ten times as long


def readable_kinds() -> tuple[str, ...]:
    """The kinds of file that `read_image` and `read_label` open, as `suffix_of` names them."""
    return tuple(_KINDS)


def is_image_file(path: Path) -> bool:
    """Whether the file's kind is one that `read_image` opens."""
    return path.is_file() and not path.name.startswith(".") and suffix_of(path) in _KINDS


def read_image_array(path: Path) -> tuple[NDArray[np.float32], Grid, int]:
    """An image's values, its grid, and how many values were not finite; those are 0.

    Raises:
        ImageError: missing, unreadable, truncated or empty file, no finite voxel, several pages, or a kind that
            is not known.
    """
    array, grid = _read(path, as_label=False)
    image = np.ascontiguousarray(array, dtype=np.float32)
    strange = 0
    # min and max are NaN as soon as one voxel is: cheaper than a mask of a large volume
    if not (np.isfinite(image.min()) and np.isfinite(image.max())):
        strange = image.size - int(np.isfinite(image).sum())
        if strange == image.size:
            raise ImageError(f"{path.name} holds no voxel with a finite value; export it anew")
        logger.warning("%s holds voxels that are not finite; they are read as 0", path.name)
        image = np.nan_to_num(image, copy=not image.flags.writeable, nan=0.0, posinf=0.0, neginf=0.0)
    return image, grid, strange


def read_label_array(path: Path) -> tuple[NDArray[np.integer[Any]], Grid]:
    """A label map's values `(1, *S)` and its grid; a `.seg.nrrd` with several layers is flattened, the later one wins.

    Raises:
        ImageError: as `read_image_array`; also several channels, fractions or negative values.
    """
    array, grid = _read(path, as_label=True)
    if array.shape[0] != 1:
        raise ImageError(f"{path.name} has {array.shape[0]} channels; a label map has one number per voxel")
    if array.dtype.kind not in "ui":
        array = _as_integers(array, path)
    if (low := int(array.min())) < 0:
        raise ImageError(f"{path.name} holds the label value {low}; label values start at 0 (background)")
    return np.ascontiguousarray(array, dtype=smallest_type(int(array.max()))), grid


def write_label_array(
    label: NDArray[np.integer[Any]],
    grid: Grid,
    out: Path,
    names: Mapping[int, str] | None = None,
    *,
    at_least: type[np.integer] = np.uint8,
    compressed: bool = True,
) -> None:
    """Writes a label map `(*S)` in the kind that `out` names, as the smallest type that holds its values.

    Args:
        at_least: the type that voxels are stored in, unless they need a wider one.
        compressed: false leaves the voxels of an NRRD as they are.

    Raises:
        ImageError: the kind cannot be written.
    """
    highest = int(label.max(initial=0))
    fits = highest <= np.iinfo(at_least).max and at_least is not np.uint8
    label = label.astype(at_least if fits else smallest_type(highest))
    kind = suffix_of(out)
    writer = _KINDS[kind].write if kind in _KINDS else None
    if writer is None:
        known = ", ".join(suffix for suffix, kind in _KINDS.items() if kind.write)
        raise ImageError(f"cannot write labels as {out.name}; use one of {known}")
    if grid.shown is not None:
        grid = replace(grid, affine=grid.shown)
    with whole_file(out) as part:
        if writer is write_nrrd:
            write_nrrd(label, grid, part, names if kind == ".seg.nrrd" else None, compressed=compressed)
        else:
            writer(label, grid, part)


def read_grid(path: Path | str) -> Grid:
    """The grid of an image or label, from its header alone.

    Raises:
        ImageError: as `read_image`, as far as the header shows it.
    """
    path = Path(path)
    with _opening(path, unpacked=False) as kind:
        grid = kind.grid(path)
    return _valid(grid, path)


def label_names(path: Path | str) -> dict[int, str]:
    """Names of label values that the file itself carries (`.seg.nrrd`); empty for other kinds."""
    if suffix_of(path) not in (".seg.nrrd", ".nrrd", ".nhdr"):
        return {}
    return nrrd_header(Path(path)).names


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what the parsers raise on a damaged file into an `ImageError`, which names the file but not its folder."""
    try:
        yield
    except ImageError:
        raise
    except READ_ERRORS as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0].replace(str(path), path.name)
        raise ImageError(f"{path.name} cannot be read; it may be truncated or damaged ({reason})") from error


def _read(path: Path, as_label: bool) -> tuple[np.ndarray, Grid]:
    with _opening(path, unpacked=True) as kind:
        array, grid = kind.read(path, as_label)
    return array, _valid(grid, path)


@contextmanager
def _opening(path: Path, *, unpacked: bool) -> Iterator[_Kind]:
    if not path.is_file():
        raise ImageError(f"{path} is not there")
    kind = _KINDS.get(suffix_of(path))
    if kind is None:
        raise ImageError(f"{path.name} is of a kind that is not read; known are {', '.join(_KINDS)}")
    judge(path, suffix_of(path), unpacked=unpacked)
    with reading(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield kind


def _valid(grid: Grid, path: Path) -> Grid:
    if 0 in grid.shape:
        raise ImageError(f"{path.name} holds no voxels (shape {grid.shape})")
    if is_singular(grid.affine):
        raise ImageError(f"{path.name} does not say where its voxels lie (its affine is singular)")
    return grid


def _as_integers(array: np.ndarray, path: Path) -> np.ndarray:
    rounded = np.rint(array)
    if not np.isfinite(array).all() or np.abs(array - rounded).max() > 1e-3:
        raise ImageError(f"{path.name} holds fractions or undefined values; a label map holds whole numbers")
    return rounded.astype(np.int32)


class _Kind(NamedTuple):
    """What is done with files of one kind."""

    grid: Callable[[Path], Grid]
    read: Callable[[Path, bool], tuple[np.ndarray, Grid]]
    write: Callable[[np.ndarray, Grid, Path], None] | None


_NIFTI = _Kind(nifti_grid, read_nifti, write_nifti)
_NRRD = _Kind(nrrd_grid, read_nrrd, write_nrrd)
_PICTURE = _Kind(picture_grid, read_picture, write_picture)
_KINDS: dict[str, _Kind] = {
    ".nii.gz": _NIFTI,
    ".nii": _NIFTI,
    ".nrrd": _NRRD,
    ".seg.nrrd": _NRRD,
    ".mha": _Kind(meta_image_grid, read_meta_image, write_meta_image),
} | {
    suffix: _PICTURE._replace(write=None if suffix in (".jpg", ".jpeg") else write_picture)
    for suffix in PICTURES
}
