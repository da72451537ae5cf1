"""Labels made on an image's voxels, whatever their header says, put on the image's grid.

Slicer turns the slices of a left-handed file round, and gives a picture an axis of one slice, the third one or, where
the picture was turned, another. Other programs read another place out of the same NIfTI header than Slicer does, and
write that one. In each case the label's voxels are the image's: put into its order, nothing is lost. A label that lies
elsewhere fits in none of these ways.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import NDArray

from scaling_app.imaging.grids import Grid


@dataclass(frozen=True, eq=False)
class LabelFit:
    """How a label's array becomes one on the image's grid.

    Attributes:
        shape: of the label's array with as many axes as the image has.
        turn: of its axes, nibabel's orientation array; None for none.
        moved: whether the label's header says another place than the image's.
        flat: whether the image lacks the last axis that the turned label has.
    """

    shape: tuple[int, ...]
    turn: NDArray | None = None
    moved: bool = False
    flat: bool = False

    def apply(self, label: NDArray) -> NDArray:
        """The array `(*S)` in the image's order."""
        label = label.reshape(self.shape)
        if self.turn is None:
            return label
        turned = apply_orientation(label, self.turn)
        return turned[..., 0] if self.flat else turned


def fit_label(label: Grid, image: Grid) -> LabelFit | None:
    """How the label fits the image; None when it does not."""
    flat = with_axes_of(label, image)
    if flat.shape == image.shape:
        for reading in image.readings:
            if replace(image, affine=reading).apart_mm(flat.affine) <= image.tolerance_mm:
                return LabelFit(flat.shape, moved=reading is not image.affine)
    solid, room = _with_slice(label), _with_slice(image)
    turn = _turn(solid, room)
    return None if turn is None else LabelFit(solid.shape, turn, moved=True, flat=room is not image)


def with_axes_of(label: Grid, image: Grid) -> Grid:
    """The label's grid with as many axes as the image's, if only a last axis of length 1 makes the difference."""
    if label.shape == (*image.shape, 1):
        return replace(label, shape=label.shape[:-1])
    if (*label.shape, 1) == image.shape:
        return replace(label, shape=(*label.shape, 1))
    return label


def _with_slice(grid: Grid) -> Grid:
    """The grid with three axes: a plane is one slice."""
    return replace(grid, shape=(*grid.shape, 1)) if len(grid.shape) == 2 else grid


def _turn(label: Grid, image: Grid) -> NDArray | None:
    turn = io_orientation(np.linalg.inv(image.affine) @ label.affine)
    if np.isnan(turn).any():
        return None
    shape = tuple(label.shape[int(np.flatnonzero(turn[:, 0] == axis)[0])] for axis in range(3))
    if shape != image.shape:
        return None
    affine = label.affine @ inv_ornt_aff(turn, label.shape)
    return turn if image.apart_mm(affine) <= image.tolerance_mm else None
