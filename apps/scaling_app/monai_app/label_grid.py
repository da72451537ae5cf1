"""Labels that lie where their image lies, but list the voxels in another order.

Slicer's reader turns the slices of a left-handed file round (common in NIfTI: affines of negative
determinant). The label it sends back is at the right place, with slices reversed and an affine that says
so. Voxel by voxel it would not fit the image; put into the image's order, nothing is lost.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np

from scaling_app.monai_app import label_checks as checks


def turn_to(label: checks.Grid, image: checks.Grid) -> np.ndarray | None:
    """The turn (nibabel's orientation array) that makes the label's grid the image's; None if there is none.

    None also when the grids are the same already.
    """
    if (
        label.affine.shape != (4, 4)
        or len(label.shape) != 3
        or np.allclose(label.affine, image.affine, atol=1e-3)
    ):
        return None
    turn = nib.orientations.io_orientation(np.linalg.inv(image.affine) @ label.affine)
    if np.isnan(turn).any():
        return None
    shape = tuple(int(label.shape[int(np.flatnonzero(turn[:, 0] == axis)[0])]) for axis in range(3))
    affine = label.affine @ nib.orientations.inv_ornt_aff(turn, label.shape)
    turned = checks.Grid(shape, affine)
    return turn if shape == image.shape and not checks.check_geometry(turned, image) else None


@contextmanager
def in_image_order(path: Path, label: checks.Grid, image: checks.Grid) -> Iterator[Path]:
    """The label's file, or for as long as the context lasts a copy of it in the order of the image's voxels."""
    turn = turn_to(label, image)
    if turn is None:
        yield path
        return
    import torch
    from monai.data import MetaTensor

    from scaling_app.imaging.geometry import read_label, suffix_of, write_label

    turned = nib.orientations.apply_orientation(np.asarray(read_label(path)[0]), turn)
    grid = MetaTensor(torch.zeros(1).expand(1, *image.shape), affine=torch.from_numpy(image.affine))
    with tempfile.TemporaryDirectory() as folder:
        yield write_label(np.ascontiguousarray(turned), grid, Path(folder) / f"label{suffix_of(path)}")
