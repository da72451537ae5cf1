"""Where voxels lie, as Slicer reads it.

Slicer reads files with ITK, and headers can be read in more than one way: a NIfTI has two forms, units and codes, an
NRRD may leave its space out. The radiologist draws where ITK puts the image, so ITK itself is asked, through
SimpleITK, about every file it opens. Measured over random headers, its answer is that of Slicer's own ITK
(`tests/slicer/test_slice_order.py`). Its rule for NIfTI weighs codes, shear, scales and the likeness of the two
forms (`NiftiImageIO::SetImageIOOrientationFromNIfTI`), and changes between versions: it is no rule to write twice.

The voxels come from each format's own library. That keeps their numbers, and takes no more memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the axes of ITK, NRRD and DICOM to those of NIfTI and MONAI, and back."""

_LEAST_VOLUME = 1e-6
"""Of the parallelepiped of an affine's axes, each of length 1, where they span space."""

_ROUNDING = 0.01
"""Of a voxel: by so much two readings of one header may differ for the rounding of its numbers."""

_SQUARE = 1e-4
"""How far the axes' cosines may be from a right angle's before ITK refuses them in a NIfTI."""

sitk.ProcessObject.SetGlobalWarningDisplay(False)  # of odd headers, which are judged here


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxels and place of an array.

    Attributes:
        shape: along the spatial axes.
        affine: voxels to RAS+ mm, 4x4, as Slicer reads it; in 2D the third axis is one of 1 mm.
        others: what other programs make of the same header.
        nifti: the file's own header, if it is a NIfTI: what is written on this grid carries it.
        shown: where Slicer shows it, if elsewhere: a picture with a resolution for print.
    """

    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    others: tuple[NDArray[np.float64], ...] = ()
    nifti: Nifti1Header | None = None
    shown: NDArray[np.float64] | None = None

    @property
    def readings(self) -> list[NDArray[np.float64]]:
        """Every place that the header can be read to mean, Slicer's first."""
        return [self.affine, *(() if self.shown is None else (self.shown,)), *self.others]

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel sizes along the array's axes, mm."""
        return tuple(float(x) for x in np.linalg.norm(self.affine[:3, : len(self.shape)], axis=0))

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel (area of a pixel in cm² x 0.1 in 2D), ml."""
        return float(np.prod(self.spacing)) / 1000.0

    @property
    def tolerance_mm(self) -> float:
        """How far apart the corners of two grids may lie that count as one, mm: rounding in file headers."""
        least = min(self.spacing)
        return max(min(0.1, 0.5 * least), 0.1 * least)

    @property
    def is_square(self) -> bool:
        """Whether the axes stand at right angles, as NIfTI needs it for ITK."""
        cosines = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        return bool(np.allclose(cosines.T @ cosines, np.eye(3), atol=_SQUARE))

    def apart_mm(self, affine: NDArray[np.float64]) -> float:
        """How far a corner of this grid lies from where another affine puts it, at most, mm."""
        ends = [(0, size - 1) for size in self.shape]
        corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, len(ends))
        apart = (affine - self.affine)[:3, [*range(len(ends)), 3]]
        return float(np.linalg.norm(corners @ apart[:, :-1].T + apart[:, -1], axis=1).max())


def placed(
    path: Path,
    image_io: str,
    shape: tuple[int, ...],
    native: NDArray[np.float64],
    others: Sequence[NDArray[np.float64]] = (),
    nifti: Nifti1Header | None = None,
) -> Grid:
    """The grid of a file: as Slicer reads it, and as the format's own library where Slicer refuses the file.

    Args:
        path: the file.
        image_io: the name of ITK's ImageIO for the format.
        shape: along the spatial axes.
        native: what the format's own library makes of the header. Its numbers are kept where it means the same.
        others: further readings.
        nifti: its header.
    """
    mine = itk_affine(path, image_io, len(shape))
    own = Grid(shape, native)
    if mine is None or is_singular(mine):
        affine = native
    else:
        same = not is_singular(native) and own.apart_mm(mine) <= _ROUNDING * min(own.spacing)
        affine = native if same else mine
    return Grid(shape, affine, (native, *others), nifti)


def itk_affine(path: Path, image_io: str, dims: int) -> NDArray[np.float64] | None:
    """Where ITK puts the file's voxels, in RAS+ mm; None when it does not open the file.

    Args:
        path: the file, of which the header is read.
        image_io: the name of ITK's ImageIO.
        dims: spatial dimensions; a file of fewer is not asked about.
    """
    file = sitk.ImageFileReader()
    file.SetImageIO(image_io)
    file.SetFileName(str(path))
    try:
        file.ReadImageInformation()
    except RuntimeError:
        return None
    found = file.GetDimension()
    if found < dims:
        return None
    affine = np.eye(4)
    directions = np.asarray(file.GetDirection()).reshape(found, found)[:dims, :dims]
    affine[:dims, :dims] = directions * np.asarray(file.GetSpacing())[:dims]
    affine[:dims, 3] = file.GetOrigin()[:dims]
    return LPS_TO_RAS @ affine


def is_singular(affine: NDArray[np.float64]) -> bool:
    """Whether the axes do not span space, however small the voxels are; also when a number is not finite."""
    axes = affine[:3, :3]
    if not np.isfinite(affine).all():
        return True
    lengths = np.linalg.norm(axes, axis=0)
    return not lengths.all() or abs(np.linalg.det(axes / lengths)) < _LEAST_VOLUME
