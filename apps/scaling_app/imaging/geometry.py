"""Images and labels as tensors that know their place in space.

An image is a `MetaTensor (C, *S)`: array order (i, j[, k]), the affine maps voxels to RAS+ millimetres
as in NIfTI and MONAI, at the place where Slicer shows them (see `grids`). `image_files` knows the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor

from scaling_app.imaging.grids import Grid
from scaling_app.imaging.image_files import (
    read_grid,
    read_image_array,
    read_label_array,
    write_label_array,
)
from scaling_app.imaging.label_fit import fit_label
from scaling_app.imaging.untrusted import ImageError

_GRID = "grid"
"""Under this name an image that was read keeps its `Grid`."""
_NOT_FINITE = "not_finite"
"""Under this name how many of its values were not finite."""


def read_image(path: Path | str) -> MetaTensor:
    """Reads an image as `(C, *S)` float32 with its affine; non-finite voxels become 0, `not_finite` counts them.

    Raises:
        ImageError: missing, unreadable, truncated or empty file, no finite voxel, several pages, or a kind that
            is not known.
    """
    array, grid, strange = read_image_array(Path(path))
    read = _on(grid, torch.from_numpy(array))
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
    array, grid = read_label_array(Path(path))
    if image is not None and (fit := fit_label(grid, grid_of(image))) is not None:
        array, grid = np.ascontiguousarray(fit.apply(array[0])[None]), grid_of(image)
    return _on(grid, torch.from_numpy(array))


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
    write_label_array(label, grid, out, names, at_least=at_least, compressed=compressed)
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


def _on(grid: Grid, voxels: torch.Tensor) -> MetaTensor:
    return MetaTensor(voxels, affine=torch.from_numpy(grid.affine.copy()), meta={_GRID: grid})


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)
