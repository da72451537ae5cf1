"""The kind of file that a prediction comes in."""

from __future__ import annotations

import nibabel
import numpy as np

from scaling_app.imaging.grids import Grid
from scaling_app.imaging.result_kind import result_kind

SHAPE = (16, 14, 12)
FORM = np.array([[-1, 0, 0, 10], [0, -1, 0, 20], [0, 0, 2, -5], [0, 0, 0, 1.0]])
SHEARED = FORM + np.array([[0, 0, 0, 0], [0, 0, 0.6, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def test_a_prediction_comes_in_the_kind_asked_for_where_that_can_hold_its_place() -> None:
    square, sheared = Grid(SHAPE, FORM), Grid(SHAPE, SHEARED)
    assert result_kind(None, ".nii.gz", square) == ".nii.gz"
    assert result_kind(".seg.nrrd", ".nii.gz", square) == ".seg.nrrd"
    assert result_kind(".mha", ".nrrd", square) == ".mha"
    assert result_kind("junk", ".nrrd", square) == ".nrrd"
    assert result_kind(".nii.gz", ".nrrd", sheared) == ".nrrd"
    own_header = Grid(SHAPE, SHEARED, nifti=nibabel.Nifti1Header())
    assert result_kind(".nii.gz", ".nii.gz", own_header) == ".nii.gz"


def test_a_prediction_for_a_picture_is_one_unless_slicer_shows_its_pixels_in_another_size() -> None:
    page = np.diag([-1.0, -1, 1, 1])
    picture = Grid(SHAPE[:2], page, shown=page)
    printed = Grid(SHAPE[:2], page, shown=np.diag([-0.35, -0.35, 1, 1]))
    assert result_kind(None, ".png", picture) == ".png"
    assert result_kind(None, ".jpg", picture) == ".png"
    assert result_kind(None, ".tif", picture) == ".tif"
    assert result_kind(".nii.gz", ".png", picture) == ".nii.gz"
    assert result_kind(None, ".jpg", printed) == ".nrrd"
    assert result_kind(".png", ".jpg", printed) == ".png"
