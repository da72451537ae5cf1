"""Images lie where Slicer puts them; ITK, which reads for Slicer, is the judge."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odd_headers import (
    NiftiHeader,
    apart,
    itk_reads,
    nifti_headers,
    save_label_as_itk,
    write_nrrd,
)
from PIL import Image

from scaling_app.imaging.geometry import grid_of, read_image, read_label, same_grid, spacing_of, write_label
from scaling_app.imaging.image_files import read_grid
from scaling_app.imaging.untrusted import ImageError

EXAMPLES = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
BALL = (np.indices((6, 5, 4)).sum(0) % 3).astype(np.uint8)


def nifti(path: Path, voxels: np.ndarray, **fields: object) -> Path:
    """A NIfTI with these header fields, whatever they mean together."""
    image = nibabel.Nifti1Image(voxels, None)
    image.header.set_zooms((1.0, 1.0, 2.0)[: voxels.ndim])
    image.header.set_qform(np.diag([-1, -1, 2, 1.0]), 1)
    for name, value in fields.items():
        if name == "sform":
            image.header.set_sform(value, int(image.header["sform_code"]))
        else:
            image.header[name] = value
    nibabel.save(image, path)
    return path


@EXAMPLES
@given(header=nifti_headers())
def test_every_nifti_that_itk_opens_is_read_as_itk_reads_it(tmp_path: Path, header: NiftiHeader) -> None:
    path = tmp_path / "a.nii"
    header.write(path)
    image, judge = read_image(path), itk_reads(path)
    grid = read_grid(path)
    assert grid.shape == tuple(image.shape[1:])
    assert np.array_equal(grid.affine, np.asarray(image.affine))
    if judge is None:
        return
    voxels, affine = judge
    assert apart(grid.affine, affine, grid.shape) < 0.02
    voxels = np.moveaxis(voxels, -1, 0) if voxels.ndim == 4 else voxels[None]
    np.testing.assert_allclose(image.numpy(), voxels, rtol=1e-6)


@EXAMPLES
@given(header=nifti_headers((3,)))
def test_a_header_that_has_one_meaning_keeps_its_numbers_bit_for_bit(
    tmp_path: Path, header: NiftiHeader
) -> None:
    path = tmp_path / "a.nii"
    header.write(path)
    if (
        header.sform == "same"
        and 0 not in header.codes
        and header.units in (0, 2, 10)
        and header.qfac is None
        and header.signs == (1, 1, 1)
    ):
        with path.open("rb") as stream:
            affine = nibabel.Nifti1Header.from_fileobj(stream).get_best_affine()
        assert np.array_equal(np.asarray(read_image(path).affine), affine)


@pytest.mark.parametrize("space", ["RAS", "LPS", "LAS", "left-anterior-superior", "scanner-xyz", None])
@pytest.mark.parametrize("directions", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_every_nrrd_is_read_as_itk_reads_it(
    tmp_path: Path, space: str | None, directions: bool, seed: int
) -> None:
    path = tmp_path / "a.nrrd"
    write_nrrd(path, space, directions, seed)
    voxels, affine = itk_reads(path)
    image = read_image(path)
    assert np.array_equal(image[0].numpy(), voxels)
    assert apart(np.asarray(image.affine), affine, voxels.shape) < 0.02
    assert np.array_equal(read_grid(path).affine, np.asarray(image.affine))


@pytest.mark.parametrize("kind", ["volume", "plane", "series", "colour"])
def test_every_meta_image_is_read_as_itk_reads_it(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    shape = {"volume": (4, 5, 6), "plane": (5, 6), "series": (2, 4, 5, 6), "colour": (4, 5, 6, 3)}[kind]
    made = sitk.GetImageFromArray(rng.integers(0, 200, shape).astype(np.uint8), isVector=kind == "colour")
    dims = made.GetDimension()
    made.SetSpacing([0.5, 0.7, 2.0, 1.0][:dims])
    made.SetOrigin([3.0, -4.0, 5.0, 0.0][:dims])
    turn = np.eye(dims)
    turn[:2, :2] = [[0, 1], [-1, 0]]
    made.SetDirection(turn.ravel().tolist())
    path = tmp_path / "a.mha"
    sitk.WriteImage(made, str(path))
    image, (voxels, affine) = read_image(path), itk_reads(path)
    if kind == "colour":
        voxels = voxels.reshape(3, 6, 5, 4)
    elif kind == "series":
        voxels = np.moveaxis(voxels, -1, 0)
    else:
        voxels = voxels[None]
    assert np.array_equal(image.numpy(), voxels)
    assert apart(np.asarray(image.affine), affine, image.shape[1:]) < 0.02
    assert read_grid(path).shape == tuple(image.shape[1:])


@pytest.mark.parametrize("kind", ["a.mha", "a.nrrd", "a.nii.gz"])
def test_a_file_that_itk_wrote_with_what_dicom_and_nifti_headers_said_is_read(
    tmp_path: Path, kind: str
) -> None:
    volume = sitk.ReadImage(str(nifti(tmp_path / "from.nii.gz", BALL)))
    assert volume.GetMetaDataKeys()
    for tag, value in (("0008|0060", "CT"), ("0010|0010", "Jos\u00e9^M\u00fcller"), ("0020|4000", "")):
        volume.SetMetaData(tag, value)
    sitk.WriteImage(volume, str(tmp_path / kind), useCompression=True)
    assert np.array_equal(read_image(tmp_path / kind)[0].numpy(), BALL)
    assert np.array_equal(read_label(tmp_path / kind)[0].numpy(), BALL)
    assert read_grid(tmp_path / kind).shape == BALL.shape


def test_nifti_2_which_slicer_does_not_open_is_read_as_nibabel_reads_it_in_millimetres(
    tmp_path: Path,
) -> None:
    affine = np.diag([-500.0, -700.0, 2000.0, 1.0])
    image = nibabel.Nifti2Image(BALL, affine)
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "a.nii.gz")
    assert itk_reads(tmp_path / "a.nii.gz") is None
    assert spacing_of(read_image(tmp_path / "a.nii.gz")) == pytest.approx((0.5, 0.7, 2.0))


@pytest.mark.parametrize(("units", "size"), [("meter", 1e-3), ("mm", 1.0), ("micron", 1e3)])
def test_voxel_sizes_are_in_millimetres_whatever_unit_the_header_has(
    tmp_path: Path, units: str, size: float
) -> None:
    image = nibabel.Nifti1Image(BALL, np.diag([-size, -size, 2 * size, 1.0]))
    image.header.set_xyzt_units(units)
    nibabel.save(image, tmp_path / "a.nii.gz")
    grid = read_grid(tmp_path / "a.nii.gz")
    assert grid.spacing == pytest.approx((1.0, 1.0, 2.0))
    assert grid.voxel_ml == pytest.approx(0.002)
    assert grid.spacing == pytest.approx(sitk.ReadImage(str(tmp_path / "a.nii.gz")).GetSpacing())


def test_a_plain_nifti_called_gz_is_read_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", BALL).rename(tmp_path / "a.nii.gz")
    assert np.array_equal(read_label(path)[0].numpy(), BALL)
    assert np.array_equal(read_image(path)[0].numpy(), itk_reads(path)[0])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ImageError, match=r"a\.nii\.gz cannot be read"):
        read_image(path)


@pytest.mark.parametrize("offset", [0, 100, 348, 350, 352, -5])
@pytest.mark.parametrize("packed", [True, False])
def test_voxels_said_to_begin_within_the_header_begin_where_itk_says(
    tmp_path: Path, offset: int, packed: bool
) -> None:
    plain = nifti(tmp_path / "plain.nii", np.arange(120, dtype=np.int16).reshape(6, 5, 4))
    content = bytearray(plain.read_bytes())
    content[108:112] = np.float32(offset).tobytes()
    path = tmp_path / ("a.nii.gz" if packed else "a.nii")
    path.write_bytes(gzip.compress(content) if packed else content)
    assert np.array_equal(read_image(path)[0].numpy(), itk_reads(path)[0])


@pytest.mark.parametrize("packed", [True, False])
def test_voxels_that_follow_their_header_at_once_are_read(tmp_path: Path, packed: bool) -> None:
    plain = nifti(tmp_path / "plain.nii", np.arange(120, dtype=np.int16).reshape(6, 5, 4))
    content = bytearray(plain.read_bytes())
    content[108:112] = np.float32(0).tobytes()
    content = content[:348] + content[352:]
    path = tmp_path / ("a.nii.gz" if packed else "a.nii")
    path.write_bytes(gzip.compress(content) if packed else content)
    assert np.array_equal(read_image(path)[0].numpy(), np.arange(120).reshape(6, 5, 4))
    assert np.array_equal(itk_reads(path)[0], np.arange(120).reshape(6, 5, 4))


def test_a_header_whose_voxels_lie_in_another_file_is_refused(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", BALL)
    content = bytearray(path.read_bytes())
    content[344:348] = b"ni1\0"
    path.write_bytes(content)
    for read in (read_image, read_label, read_grid):
        with pytest.raises(ImageError, match=r"a\.nii holds a header alone"):
            read(path)


SHEARED = np.array([[-1, 0, 0, 10], [0, -1, 0.6, 20], [0, 0, 2, -5], [0, 0, 0, 1.0]])
TURNED = np.array([[-0.995, 0.0998, 0, 90], [-0.0998, -0.995, 0, 126], [0, 0, 2, -72], [0, 0, 0, 1.0]])
ODD = {
    "without codes": {"qform_code": 0, "sform_code": 0},
    "in a standard space beside the scanner's": {"sform_code": 4, "sform": TURNED},
    "with a gantry's tilt": {"sform_code": 1, "sform": SHEARED},
    "in micrometres": {"xyzt_units": 3},
    "in metres": {"xyzt_units": 1},
    "left-handed": {
        "sform_code": 1,
        "qform_code": 0,
        "sform": np.diag([1, -1, -2, 1.0]) @ np.diag([-1, 1, 1, 1.0]),
    },
}


@pytest.mark.parametrize("fields", ODD.values(), ids=ODD)
def test_a_label_that_itk_wrote_fits_an_image_with_an_odd_header(
    tmp_path: Path, fields: dict[str, object]
) -> None:
    path = nifti(tmp_path / "a.nii.gz", BALL.astype(np.int16), **fields)
    save_label_as_itk(path, BALL, tmp_path / "label.nii.gz")
    image = read_image(path)
    label = read_label(tmp_path / "label.nii.gz", image)
    assert same_grid(image, label) is None
    assert np.array_equal(label[0].numpy(), BALL)


@EXAMPLES
@given(header=nifti_headers((2, 3)))
def test_a_label_that_itk_wrote_fits_an_image_with_any_header(tmp_path: Path, header: NiftiHeader) -> None:
    path = tmp_path / "a.nii"
    header.write(path)
    if itk_reads(path) is None:
        return
    image = read_image(path)
    drawn = BALL if image.ndim == 4 else BALL[..., 0]
    for kind in (".nii.gz", ".nrrd"):
        save_label_as_itk(path, drawn, tmp_path / f"label{kind}")
        label = read_label(tmp_path / f"label{kind}", image)
        assert same_grid(image, label) is None
        assert np.array_equal(label[0].numpy(), drawn)


@pytest.mark.parametrize("fields", ODD.values(), ids=ODD)
def test_a_label_that_nibabel_wrote_with_its_affine_of_the_image_fits_it(
    tmp_path: Path, fields: dict[str, object]
) -> None:
    path = nifti(tmp_path / "a.nii.gz", BALL.astype(np.int16), **fields)
    nibabel.save(nibabel.Nifti1Image(BALL, nibabel.load(path).affine), tmp_path / "label.nii.gz")
    image = read_image(path)
    label = read_label(tmp_path / "label.nii.gz", image)
    assert same_grid(image, label) is None
    assert np.array_equal(label[0].numpy(), BALL)
    assert np.array_equal(np.asarray(label.affine), np.asarray(image.affine))


@EXAMPLES
@given(header=nifti_headers((3,)), by=st.sampled_from([(2, 0, 0), (0, -3, 0), (0, 0, 5), (40, 0, 0)]))
def test_a_label_moved_by_voxels_does_not_fit(
    tmp_path: Path, header: NiftiHeader, by: tuple[int, int, int]
) -> None:
    path = tmp_path / "a.nii"
    header.write(path)
    if itk_reads(path) is None:
        return
    seen = sitk.ReadImage(str(path))
    drawn = sitk.GetImageFromArray(BALL.transpose())
    drawn.CopyInformation(seen)
    drawn.SetOrigin(seen.TransformIndexToPhysicalPoint(by))
    sitk.WriteImage(drawn, str(tmp_path / "label.nrrd"))
    assert "away from the image" in same_grid(
        read_image(path), read_label(tmp_path / "label.nrrd", read_image(path))
    )


@EXAMPLES
@given(header=nifti_headers((2, 3)), suffix=st.sampled_from([".nii.gz", ".nrrd", ".seg.nrrd", ".mha"]))
def test_a_prediction_lies_on_its_image_for_itk(tmp_path: Path, header: NiftiHeader, suffix: str) -> None:
    path = tmp_path / "a.nii"
    header.write(path)
    judge = itk_reads(path)
    if judge is None:
        return
    image = read_image(path)
    voxels = BALL if image.ndim == 4 else BALL[..., 0]
    out = write_label(voxels, image, tmp_path / f"out{suffix}")
    seen, affine = itk_reads(out)
    assert apart(affine, judge[1], voxels.shape) < 0.02
    assert np.array_equal(seen, voxels)
    if suffix == ".nii.gz":
        with path.open("rb") as stream:
            header = nibabel.Nifti1Header.from_fileobj(stream)  # not its voxels: nibabel refuses some scales
        assert np.allclose(nibabel.load(out).affine, header.get_best_affine(), atol=1e-4)
    back = read_label(out, image)
    assert same_grid(image, back) is None
    assert np.array_equal(back[0].numpy(), voxels)


@pytest.mark.parametrize("picture", [".png", ".jpg", ".tif", ".bmp"])
@pytest.mark.parametrize("dpi", [None, (72, 96)])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".seg.nrrd", ".mha"])
def test_a_prediction_lies_on_its_picture_for_itk(
    tmp_path: Path, picture: str, dpi: tuple[int, int] | None, suffix: str
) -> None:
    path = tmp_path / f"a{picture}"
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(path, **({} if dpi is None else {"dpi": dpi}))
    image = read_image(path)
    assert spacing_of(image) == (1.0, 1.0)
    out = write_label(BALL[..., 0], image, tmp_path / f"out{suffix}")
    drawn, seen = sitk.ReadImage(str(out)), sitk.ReadImage(str(path))
    assert drawn.GetDirection() == pytest.approx(seen.GetDirection())
    assert drawn.GetOrigin() == pytest.approx(seen.GetOrigin())
    assert drawn.GetSpacing() == pytest.approx(seen.GetSpacing())
    assert np.array_equal(sitk.GetArrayFromImage(drawn).transpose(), BALL[..., 0])
    assert same_grid(image, read_label(out, image)) is None


@pytest.mark.parametrize("kind", ["a.png", "a.jpg", "a.nii.gz"])
def test_a_label_of_one_slice_fits_a_flat_image(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind.endswith("gz"):
        nifti(path, BALL[..., 0].astype(np.int16))
    else:
        Image.fromarray(np.zeros((5, 6), np.uint8)).save(path, dpi=(72, 72))
    seen = sitk.ReadImage(str(path))
    drawn = sitk.GetImageFromArray(BALL[..., :1].transpose())
    drawn.SetSpacing((*seen.GetSpacing(), 1.0))
    drawn.SetOrigin((*seen.GetOrigin(), 0.0))
    sitk.WriteImage(drawn, str(tmp_path / "label.nii.gz"))
    image = read_image(path)
    label = read_label(tmp_path / "label.nii.gz", image)
    assert same_grid(image, label) is None
    assert np.array_equal(label[0].numpy(), BALL[..., 0])


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", [(), (0,), (1,), (0, 1), (0, 1, 2)])
def test_a_label_of_one_slice_in_any_order_lies_on_the_picture_where_it_was_drawn(
    tmp_path: Path, order: tuple[int, ...], flips: tuple[int, ...]
) -> None:
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / "a.png")
    drawn = sitk.GetImageFromArray(BALL[..., :1].transpose())
    turned = sitk.Flip(sitk.PermuteAxes(drawn, order), [axis in flips for axis in range(3)])
    sitk.WriteImage(turned, str(tmp_path / "label.nrrd"))
    image = read_image(tmp_path / "a.png")
    label = read_label(tmp_path / "label.nrrd", image)
    assert same_grid(image, label) is None
    assert np.array_equal(label[0].numpy(), BALL[..., 0])


def test_a_flat_label_fits_an_image_of_one_slice(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii.gz", BALL[..., :1].astype(np.int16))
    nifti(tmp_path / "label.nii.gz", BALL[..., 0])
    image = read_image(path)
    assert same_grid(image, read_label(tmp_path / "label.nii.gz", image)) is None


def test_names_are_written_into_a_segmentation(tmp_path: Path) -> None:
    grid = grid_of(read_image(nifti(tmp_path / "a.nii.gz", BALL)))
    out = write_label(BALL, grid, tmp_path / "out.seg.nrrd", {1: "liver", 2: "tumour"})
    header = nrrd.read_header(str(out))
    assert [header[f"Segment{i}_Name"] for i in range(2)] == ["liver", "tumour"]
    assert [header[f"Segment{i}_LabelValue"] for i in range(2)] == ["1", "2"]


def test_a_sheared_grid_goes_into_nrrd_and_not_into_nifti(tmp_path: Path) -> None:
    header = {"space": "RAS", "space directions": SHEARED[:3, :3].T, "space origin": SHEARED[:3, 3]}
    nrrd.write(str(tmp_path / "a.nrrd"), BALL, header, index_order="F")
    image = read_image(tmp_path / "a.nrrd")
    assert same_grid(image, read_label(write_label(BALL, image, tmp_path / "out.nrrd"))) is None
    with pytest.raises(ImageError, match=r"sheared; use \.nrrd"):
        write_label(BALL, image, tmp_path / "out.nii.gz")


def test_tolerance_is_never_more_than_half_a_voxel() -> None:
    from scaling_app.imaging.grids import Grid

    assert Grid((4, 4, 4), np.diag([0.7, 0.7, 2, 1])).tolerance_mm == pytest.approx(0.1)
    assert Grid((4, 4, 4), np.diag([5.0, 5, 5, 1])).tolerance_mm == pytest.approx(0.5)
    assert Grid((4, 4, 4), np.diag([0.001, 0.001, 0.001, 1])).tolerance_mm == pytest.approx(0.0005)
