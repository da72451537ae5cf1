"""Pictures (PNG, JPG, TIF, BMP): pixels in MONAI's order (column, row), one pixel apart.

A picture has no place in space. Slicer gives it one: the corner at 0, rows downwards. Some cameras and scanners note
a resolution for print; Slicer takes it for the pixels' size, and a plan must not.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scaling_app.imaging.grids import LPS_TO_RAS, Grid, itk_affine
from scaling_app.imaging.untrusted.header import ImageError

GREY_MODES = {"1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
_ITK = {".png": "PNGImageIO", ".bmp": "BMPImageIO", ".tif": "TIFFImageIO", ".tiff": "TIFFImageIO"}
_ITK |= {".jpg": "JPEGImageIO", ".jpeg": "JPEGImageIO"}
PICTURES = tuple(_ITK)
"""The kinds of file that are pictures."""


def picture_grid(path: Path) -> Grid:
    """The grid that the header gives."""
    with Image.open(path) as picture:
        _require_one(picture, path)
        return _grid(path, picture.size)


def read_picture(path: Path, as_label: bool) -> tuple[NDArray, Grid]:
    """Pixels `(C, W, H)`, grey or RGB, and their grid."""
    _require_whole(path)
    with Image.open(path) as picture:
        _require_one(picture, path)
        grid = _grid(path, picture.size)
        picture.load()
        if not (as_label and picture.mode == "P") and picture.mode not in GREY_MODES:
            picture = picture.convert("L" if picture.mode in ("LA", "La") else "RGB")
        array = np.asarray(picture)
    array = array.astype(np.uint8) if array.dtype == bool else array
    if array.ndim == 3 and as_label and (array == array[..., :1]).all():
        array = array[..., 0]  # a grey label that some editor stored as RGB
    array = array[..., None] if array.ndim == 2 else array
    return np.transpose(array, (2, 1, 0)), grid


def load_picture(path: Path) -> None:
    """Unpacks a picture and forgets it; takes four bytes a pixel at most."""
    _require_whole(path)
    with Image.open(path) as picture:
        _require_one(picture, path)
        picture.load()


def write_picture(label: NDArray, grid: Grid, out: Path) -> None:
    """Writes a label map of one slice.

    Raises:
        ImageError: a volume.
    """
    flat = label[..., 0] if label.ndim == 3 and label.shape[-1] == 1 else label
    if flat.ndim != 2:
        raise ImageError(f"a volume cannot be written as {out.name}; use .nii.gz or .nrrd")
    Image.fromarray(np.ascontiguousarray(flat.T)).save(out)


def _grid(path: Path, size: tuple[int, int]) -> Grid:
    printed = itk_affine(path, _ITK[path.suffix.lower()], 2)
    return Grid(size, LPS_TO_RAS, (np.eye(4),), shown=printed)


def _require_whole(path: Path) -> None:
    """Compares a PNG's checksums: Pillow leaves those of the pixels out when it loads them, and other kinds have none.

    Raises:
        SyntaxError, OSError: damaged or cut off.
    """
    with Image.open(path) as picture:
        if picture.format == "PNG":
            picture.verify()


def _require_one(picture: Image.Image, path: Path) -> None:
    pages = getattr(picture, "n_frames", 1)
    if pages > 1 and picture.format != "MPO":  # a camera's JPEG, with previews beside its one picture
        raise ImageError(
            f"{path.name} holds {pages} pages; one picture a file is read, and volumes as .nii.gz or .nrrd"
        )
