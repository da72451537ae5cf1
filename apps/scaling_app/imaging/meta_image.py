"""MetaImage in one file (`.mha`), through SimpleITK."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from scaling_app.imaging.grids import LPS_TO_RAS, Grid, itk_affine
from scaling_app.imaging.untrusted.header import ImageError

_ITK = "MetaImageIO"


def meta_image_grid(path: Path) -> Grid:
    """The grid that the header gives."""
    file = sitk.ImageFileReader()
    file.SetImageIO(_ITK)
    file.SetFileName(str(path))
    try:
        file.ReadImageInformation()
    except RuntimeError as error:
        raise _broken(path) from error
    return _grid(path, tuple(int(size) for size in file.GetSize()))


def read_meta_image(path: Path, as_label: bool) -> tuple[NDArray, Grid]:
    """Voxels `(C, *S)` in the file's type, and their grid."""
    try:
        image = sitk.ReadImage(str(path), imageIO=_ITK)
    except RuntimeError as error:
        raise _broken(path) from error
    grid = _grid(path, image.GetSize())
    array = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        return np.moveaxis(array.transpose(*reversed(range(array.ndim - 1)), -1), -1, 0), grid
    array = array.transpose()
    return (np.moveaxis(array, -1, 0) if array.ndim == 4 else array[None]), grid


def write_meta_image(label: NDArray, grid: Grid, out: Path) -> None:
    """Writes a label map."""
    dims = label.ndim
    image = sitk.GetImageFromArray(label.transpose())
    affine = LPS_TO_RAS @ grid.affine
    image.SetSpacing(grid.spacing)
    image.SetOrigin(affine[:dims, 3].tolist())
    image.SetDirection((affine[:dims, :dims] / grid.spacing).ravel().tolist())
    sitk.WriteImage(image, str(out), useCompression=True, imageIO=_ITK)


def _grid(path: Path, sizes: tuple[int, ...]) -> Grid:
    if len(sizes) not in (2, 3, 4):
        raise ImageError(f"{path.name} has {len(sizes)} axes; 2 or 3 (and channels) are read")
    affine = itk_affine(path, _ITK, min(len(sizes), 3))
    if affine is None:
        raise _broken(path)
    return Grid(sizes[:3], affine)


def _broken(path: Path) -> ImageError:
    return ImageError(f"{path.name} cannot be read; it may be truncated or damaged")
