"""Reading and writing images and labels with their place in space.

An image is a `MetaTensor (C, *S)`: array order (i, j[, k]), the affine maps voxels to RAS+ millimetres
as in NIfTI and MONAI, at the place where Slicer shows them (see `grids`). Two-dimensional pictures (PNG,
JPG, TIF) come in MONAI's order (column, row), one pixel apart.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor

from scaling_app.imaging.grids import Grid, is_singular
from scaling_app.imaging.label_fit import fit_label
from scaling_app.imaging.meta_image import meta_image_grid, read_meta_image, write_meta_image
from scaling_app.imaging.nifti_files import nifti_grid, read_nifti, write_nifti
from scaling_app.imaging.pictures import PICTURES, picture_grid, read_picture, write_picture
from scaling_app.imaging.segmentation_nrrd import nrrd_grid, nrrd_header, read_nrrd, write_nrrd
from scaling_app.imaging.untrusted import READ_ERRORS, judge
from scaling_app.imaging.untrusted.header import ImageError as ImageError  # whoever reads images needs it
from scaling_app.storage import whole_file

logger = logging.getLogger(__name__)

_GRID = "grid"
"""Under this name an image that was read keeps its `Grid`."""
_NOT_FINITE = "not_finite"
"""Under this name how many of its values were not finite."""


def suffix_of(path: Path | str) -> str:
    """The file's kind in lower case: `.nii.gz`, `.seg.nrrd`, `.nrrd`, `.png`, ..."""
    name = Path(path).name.lower()
    for double in (".nii.gz", ".seg.nrrd"):
        if name.endswith(double):
            return double
    return Path(name).suffix


def stem_of(path: Path | str) -> str:
    """The file's name without its kind: `a.b` for `a.b.nii.gz`."""
    name = Path(path).name
    return name[: len(name) - len(suffix_of(path))]


def readable_kinds() -> tuple[str, ...]:
    """The kinds of file that `read_image` and `read_label` open, as `suffix_of` names them."""
    return tuple(_KINDS)


def is_image_file(path: Path) -> bool:
    """Whether the file's kind is one that `read_image` opens."""
    return path.is_file() and not path.name.startswith(".") and suffix_of(path) in _KINDS


def read_image(path: Path | str) -> MetaTensor:
    """Reads an image as `(C, *S)` float32 with its affine; non-finite voxels become 0, `not_finite` counts them.

    Raises:
        ImageError: missing, unreadable, truncated or empty file, no finite voxel, several pages, or a kind that
            is not known.
    """
    array, grid = _read(Path(path), as_label=False)
    image = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    strange = 0
    # min and max are NaN as soon as one voxel is: cheaper than a mask of a large volume
    if not bool(torch.isfinite(image.amin()) & torch.isfinite(image.amax())):
        strange = image.numel() - int(torch.isfinite(image).sum())
        if strange == image.numel():
            raise ImageError(f"{Path(path).name} holds no voxel with a finite value; export it anew")
        logger.warning("%s holds voxels that are not finite; they are read as 0", Path(path).name)
        image = torch.nan_to_num_(image, nan=0.0, posinf=0.0, neginf=0.0)
    read = _on(grid, image)
    read.meta[_NOT_FINITE] = strange
    return read


def not_finite(image: MetaTensor) -> int:
    """How many values of an image that was read were NaN or infinite."""
    return int(image.meta.get(_NOT_FINITE, 0))


def read_label(path: Path | str, image: MetaTensor | None = None) -> MetaTensor:
    """Reads a label map as `(1, *S)` of the smallest of uint8, int16 and int32 that holds its values.

    A `.seg.nrrd` with several layers is flattened: where segments overlap, the later one wins.

    Args:
        path: the file.
        image: of this label, as `read_image` gave it. A label that fits it is put on the image's grid (see
            `fit_label`), any other stays where it is.

    Raises:
        ImageError: as `read_image`; also several channels, fractions or negative values.
    """
    path = Path(path)
    array, grid = _read(path, as_label=True)
    if array.shape[0] != 1:
        raise ImageError(f"{path.name} has {array.shape[0]} channels; a label map has one number per voxel")
    if array.dtype.kind not in "ui":
        array = _as_integers(array, path)
    low, high = int(array.min()), int(array.max())
    if low < 0:
        raise ImageError(f"{path.name} holds the label value {low}; label values start at 0 (background)")
    if image is not None and (fit := fit_label(grid, grid_of(image))) is not None:
        array, grid = fit.apply(array[0])[None], grid_of(image)
    return _on(grid, torch.from_numpy(np.ascontiguousarray(array, dtype=_smallest_type(high))))


def read_grid(path: Path | str) -> Grid:
    """The grid of an image or label, from its header alone.

    Raises:
        ImageError: as `read_image`, as far as the header shows it.
    """
    path = Path(path)
    with _opening(path, unpacked=False) as kind:
        grid = kind.grid(path)
    return _valid(grid, path)


def grid_of(image: MetaTensor) -> Grid:
    """The grid of an image or label that was read, with all that its header said; of any other, its affine's."""
    shape, affine = tuple(image.shape[1:]), np.asarray(image.affine.cpu(), dtype=np.float64)
    known = image.meta.get(_GRID)
    if isinstance(known, Grid) and known.shape == shape and np.array_equal(known.affine, affine):
        return known
    return Grid(shape, affine)


def label_values(label: torch.Tensor) -> set[int]:
    """The values in a label map `(1, *S)` as `read_label` gives it, background among them."""
    flat = torch.as_tensor(label).flatten()
    if flat.dtype == torch.uint8:  # counting takes a thirtieth of the time of sorting
        return set(torch.bincount(flat).nonzero().flatten().tolist())
    return set(torch.unique(flat).tolist())


def label_names(path: Path | str) -> dict[int, str]:
    """Names of label values that the file itself carries (`.seg.nrrd`); empty for other kinds."""
    if suffix_of(path) not in (".seg.nrrd", ".nrrd", ".nhdr"):
        return {}
    return nrrd_header(Path(path)).names


def write_label(
    array: np.ndarray | torch.Tensor,
    reference: Path | str | MetaTensor | Grid,
    out: Path | str,
    names: Mapping[int, str] | None = None,
    *,
    at_least: type[np.integer] = np.uint8,
    compressed: bool = True,
) -> Path:
    """Writes a label map `(1, *S)` or `(*S)` on the grid of `reference`, in the kind that `out` names.

    A NIfTI on the grid of a NIfTI carries its header, so that every reader puts both at one place.

    Args:
        array: the label map.
        reference: the image, or where its voxels lie.
        out: the file.
        names: what the values are called; a `.seg.nrrd` says it.
        at_least: the type that voxels are stored in, unless they need a wider one.
        compressed: false leaves the voxels of an NRRD as they are.

    Raises:
        ImageError: the shape differs from the reference's, or the kind cannot be written.
    """
    out = Path(out)
    if isinstance(reference, Grid):
        grid = reference
    else:
        grid = grid_of(reference) if isinstance(reference, MetaTensor) else read_grid(reference)
    label = np.asarray(torch.as_tensor(array).detach().cpu())
    label = label[0] if label.ndim == len(grid.shape) + 1 else label
    if label.shape != grid.shape:
        raise ImageError(f"the label's shape {label.shape} is not the image's {grid.shape}; nothing written")
    highest = int(label.max(initial=0))
    fits = highest <= np.iinfo(at_least).max and at_least is not np.uint8
    label = label.astype(at_least if fits else _smallest_type(highest))
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
    return out


def same_grid(image: MetaTensor, label: MetaTensor) -> str | None:
    """None when image and label share their grid, else a sentence that says how they differ."""
    grid, other = grid_of(image), grid_of(label)
    if grid.shape != other.shape:
        return f"The label has {_times(other.shape)} voxels, the image has {_times(grid.shape)}."
    distance = grid.apart_mm(other.affine)
    if distance > grid.tolerance_mm:
        return f"The label lies up to {distance:.1f} mm away from the image (their affines differ)."
    return None


def spacing_of(image: MetaTensor) -> tuple[float, ...]:
    """Voxel sizes in mm along the image's own array axes."""
    lengths = torch.linalg.norm(image.affine[:3, :3].double(), dim=0)
    return tuple(float(x) for x in lengths[: image.ndim - 1])


@dataclass(frozen=True)
class Canonical:
    """The turn of an array's axes to (right, anterior, superior), and back; pictures stay as they are."""

    order: tuple[int, ...]
    flips: tuple[int, ...]

    @classmethod
    def of(cls, image: MetaTensor) -> Canonical:
        """The turn for this image, from its affine."""
        dims = image.ndim - 1
        if dims != 3:
            return cls(tuple(range(dims)), ())
        turns = nib.orientations.io_orientation(np.asarray(image.affine.cpu(), dtype=np.float64))
        order = tuple(int(np.flatnonzero(turns[:, 0] == axis)[0]) for axis in range(dims))
        flips = tuple(axis for axis in range(dims) if turns[order[axis], 1] < 0)
        return cls(order, flips)

    def apply(self, image: torch.Tensor) -> torch.Tensor:
        """`(C, *S)` in the file's axes to `(C, *S')` in canonical axes (a view where possible)."""
        turned = torch.as_tensor(image).permute(0, *(axis + 1 for axis in self.order))
        return turned.flip([axis + 1 for axis in self.flips]) if self.flips else turned

    def undo(self, image: torch.Tensor) -> torch.Tensor:
        """The inverse of `apply`."""
        turned = image.flip([axis + 1 for axis in self.flips]) if self.flips else image
        back = np.argsort(self.order)
        return turned.permute(0, *(int(axis) + 1 for axis in back))

    def turn(self, values: tuple[float, ...]) -> tuple[float, ...]:
        """One value per file axis to one per canonical axis."""
        return tuple(values[axis] for axis in self.order)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what the readers raise on a damaged file into an `ImageError`, which names the file but not its folder."""
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


def _on(grid: Grid, voxels: torch.Tensor) -> MetaTensor:
    return MetaTensor(voxels, affine=torch.from_numpy(grid.affine.copy()), meta={_GRID: grid})


def _smallest_type(highest: int) -> type[np.integer]:
    """The smallest type that holds label values up to this one."""
    return np.uint8 if highest <= 255 else np.int16 if highest <= 32767 else np.int32


def _as_integers(array: np.ndarray, path: Path) -> np.ndarray:
    rounded = np.rint(array)
    if not np.isfinite(array).all() or np.abs(array - rounded).max() > 1e-3:
        raise ImageError(f"{path.name} holds fractions or undefined values; a label map holds whole numbers")
    return rounded.astype(np.int32)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)


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
