"""The kind of file that a label map comes in."""

from __future__ import annotations

from scaling_app.imaging.grids import Grid
from scaling_app.imaging.pictures import PICTURES

RESULT_EXTENSIONS = (".nii.gz", ".nii", ".nrrd", ".seg.nrrd", ".mha", ".png", ".tif")


def result_kind(wanted: object, source: str, grid: Grid) -> str:
    """The kind of the result file: as wanted, else the image's own, else PNG or NIfTI.

    NRRD instead where it alone says where the voxels lie: axes that are no right angles, which Slicer does not take
    from a NIfTI, and pixels that Slicer shows at the size they were printed.
    """
    if wanted in RESULT_EXTENSIONS:
        kind = str(wanted)
    elif source in PICTURES:
        if grid.shown is not None and grid.apart_mm(grid.shown) > grid.tolerance_mm:
            return ".nrrd"
        kind = source if source in RESULT_EXTENSIONS else ".png"
    else:
        kind = source if source in RESULT_EXTENSIONS else ".nii.gz"
    return ".nrrd" if kind in (".nii.gz", ".nii") and not grid.is_square and grid.nifti is None else kind
