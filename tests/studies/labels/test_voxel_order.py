"""A label at the right place in another voxel order is put into its image's order; any other stays."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_app.imaging.geometry import read_label, write_label
from scaling_app.imaging.grids import Grid
from scaling_app.imaging.image_files import label_names
from scaling_app.imaging.label_fit import fit_label
from scaling_app.studies.labels.voxel_order import in_image_order

SHAPE = (6, 5, 4)
AFFINE = np.array([[-1.5, 0, 0, 7], [0, 2.0, -0.1, -3], [0, 0.08, 2.5, 11], [0, 0, 0, 1]])


def turned(
    array: np.ndarray, axes: tuple[int, ...], flips: tuple[bool, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The same voxels at the same places, listed in another order."""
    image = nibabel.Nifti1Image(array, AFFINE)
    codes = np.array([[axis, -1 if flip else 1] for axis, flip in zip(axes, flips, strict=True)])
    out = image.as_reoriented(codes)
    return np.ascontiguousarray(out.dataobj), out.affine


@given(axes=st.permutations((0, 1, 2)), flips=st.tuples(*[st.booleans()] * 3))
def test_every_order_of_axes_comes_back(axes: tuple[int, ...], flips: tuple[bool, ...]) -> None:
    voxels = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    array, affine = turned(voxels, tuple(axes), flips)
    fit = fit_label(Grid(array.shape, affine), Grid(SHAPE, AFFINE))
    assert fit.moved == (not np.allclose(affine, AFFINE))
    np.testing.assert_array_equal(fit.apply(array), voxels)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".seg.nrrd", ".mha"])
def test_a_label_with_reversed_slices_is_written_anew(tmp_path: Path, suffix: str) -> None:
    voxels = np.zeros(SHAPE, dtype=np.uint8)
    voxels[1:3, 2, 3] = 2
    array, affine = turned(voxels, (0, 1, 2), (False, False, True))
    sent = write_label(array, Grid(SHAPE, affine), tmp_path / f"sent{suffix}")
    with in_image_order(sent, Grid(array.shape, affine), Grid(SHAPE, AFFINE), {2: "organ"}) as usable:
        assert usable != sent
        label = read_label(usable)
        assert label_names(usable) == ({2: "organ"} if suffix == ".seg.nrrd" else {})
    np.testing.assert_array_equal(np.asarray(label[0]), voxels)
    np.testing.assert_allclose(np.asarray(label.affine), AFFINE, atol=1e-4)
    assert not usable.exists()


def test_a_label_in_the_images_order_stays_the_file_it_is(tmp_path: Path) -> None:
    sent = write_label(np.ones(SHAPE), Grid(SHAPE, AFFINE), tmp_path / "sent.nrrd")
    with in_image_order(sent, Grid(SHAPE, AFFINE), Grid(SHAPE, AFFINE)) as usable:
        assert usable == sent


def test_a_label_elsewhere_fits_in_no_way() -> None:
    moved = AFFINE.copy()
    moved[:3, 3] += 20
    assert fit_label(Grid(SHAPE, moved), Grid(SHAPE, AFFINE)) is None
    assert fit_label(Grid((6, 5, 9), AFFINE), Grid(SHAPE, AFFINE)) is None
    assert fit_label(Grid((5, 6), AFFINE), Grid((6, 5), AFFINE)) is None
