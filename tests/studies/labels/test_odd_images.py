"""Labels of images whose headers are odd, or that are flat, are usable however they come in."""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from PIL import Image

from scaling_app.imaging.geometry import read_label
from scaling_app.studies.labels.checks import LabelError

sys.path.append(str(Path(__file__).parents[2] / "imaging" / "support"))
from odd_headers import save_label_as_itk

SHAPE = (16, 14, 12)
BALL = (np.linalg.norm(np.indices(SHAPE) - np.array([[[[7]]], [[[6]]], [[[5]]]]), axis=0) < 4).astype(
    np.uint8
)
FORM = np.array([[-1, 0, 0, 10], [0, -1, 0, 20], [0, 0, 2, -5], [0, 0, 0, 1.0]])
TURNED = np.array(
    [[-0.995004, 0.099833, 0, 90], [-0.099833, -0.995004, 0, 126], [0, 0, 2, -72], [0, 0, 0, 1.0]]
)
SHEARED = FORM + np.array([[0, 0, 0, 0], [0, 0, 0.6, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
LEFT = FORM @ np.diag([-1, 1, 1, 1.0])
HEADERS = {
    "no codes": ({"qform_code": 0}, None),
    "a standard space": ({"sform_code": 4}, TURNED),
    "a gantry's tilt": ({"sform_code": 1}, SHEARED),
    "micrometres": ({"xyzt_units": 3}, None),
    "left-handed": ({"qform_code": 0, "sform_code": 1}, LEFT),
    "plain": ({}, None),
    "voxels in the header": ({}, None),
}


def write_image(path: Path, kind: str) -> None:
    """An image of the ball with one of the odd headers."""
    fields, sform = HEADERS[kind]
    image = nibabel.Nifti1Image((300 * BALL + 100).astype(np.int16), None)
    image.header.set_zooms((1.0, 1.0, 2.0))
    image.header.set_qform(FORM, 1)
    if sform is not None:
        image.header.set_sform(sform, 1)
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    if kind == "plain":
        path.write_bytes(nibabel.load(path).to_bytes())
    if kind == "voxels in the header":
        content = bytearray(nibabel.load(path).to_bytes())
        content[108:112] = bytes(4)
        path.write_bytes(content)


@pytest.fixture
def desk(desk_of):
    return desk_of(2)


def folder_of(desk) -> Path:
    return Path(desk.studies.datastore._datastore_path)


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize("way", ["submitted", "found"])
def test_a_label_that_slicer_made_of_an_odd_image_is_usable(desk, tmp_path, kind, way) -> None:
    path = folder_of(desk) / "odd.nii.gz"
    write_image(path, kind)
    desk.studies.datastore.refresh()
    label = tmp_path / "odd.nii.gz"
    save_label_as_itk(path, BALL, label)
    if way == "submitted":
        _, doubts = desk.intake.store("odd", label, {}, None)
        assert doubts == ()
    else:
        desk.drop_into_folder("odd", label)
        desk.intake.take_stock()
    assert desk.studies.ledger.case("odd").doubts == ()
    assert np.array_equal(read_label(desk.studies.stored_label("odd"))[0].numpy(), BALL)


def test_a_label_that_lies_elsewhere_is_stored_and_doubted(desk, tmp_path) -> None:
    path = folder_of(desk) / "odd.nii.gz"
    write_image(path, "a standard space")
    desk.studies.datastore.refresh()
    seen = sitk.ReadImage(str(path))
    drawn = sitk.GetImageFromArray(BALL.transpose())
    drawn.CopyInformation(seen)
    drawn.SetOrigin((40.0, 0.0, 0.0))
    sitk.WriteImage(drawn, str(tmp_path / "odd.nii.gz"))
    _, doubts = desk.intake.store("odd", tmp_path / "odd.nii.gz", {}, None)
    assert [doubt.kind for doubt in doubts] == ["geometry"]


@pytest.mark.parametrize("name", ["flat.png", "flat.nii.gz"])
@pytest.mark.parametrize("way", ["submitted", "found"])
def test_a_label_of_one_slice_is_usable_for_a_flat_image(desk, tmp_path, name, way) -> None:
    path = folder_of(desk) / name
    if name.endswith("png"):
        Image.fromarray(np.zeros(SHAPE[1::-1], np.uint8)).save(path)
    else:
        nibabel.save(nibabel.Nifti1Image(BALL[..., 5].astype(np.int16), np.diag([-0.5, -0.5, 1, 1])), path)
    desk.studies.datastore.refresh()
    seen = sitk.ReadImage(str(path))
    drawn = sitk.GetImageFromArray(BALL[..., 5:6].transpose())
    drawn.SetSpacing((*seen.GetSpacing(), 1.0))
    label = tmp_path / "flat.nii.gz"
    sitk.WriteImage(drawn, str(label))
    if way == "submitted":
        _, doubts = desk.intake.store("flat", label, {}, None)
        assert doubts == ()
        assert np.array_equal(read_label(desk.studies.stored_label("flat"))[0].numpy(), BALL[..., 5])
    else:
        desk.drop_into_folder("flat", label)
        desk.intake.take_stock()
    assert desk.studies.ledger.case("flat").doubts == ()


def test_a_label_of_two_slices_is_refused_for_a_flat_image(desk, tmp_path) -> None:
    Image.fromarray(np.zeros(SHAPE[1::-1], np.uint8)).save(folder_of(desk) / "flat.png")
    desk.studies.datastore.refresh()
    sitk.WriteImage(sitk.GetImageFromArray(BALL[..., 5:7].transpose()), str(tmp_path / "flat.nii.gz"))
    with pytest.raises(LabelError, match="16 x 14 x 2 voxels, its image 16 x 14"):
        desk.intake.store("flat", tmp_path / "flat.nii.gz", {}, None)
