"""Files come in as they lie in space, go out the same way, and broken ones say so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from scaling_app.imaging.geometry import (
    Canonical,
    label_values,
    read_image,
    read_label,
    same_grid,
    spacing_of,
    write_label,
)
from scaling_app.imaging.image_files import is_image_file, label_names, stem_of
from scaling_app.imaging.untrusted import ImageError

OBLIQUE = np.array([[0.0, 0.0, 2.5, -10.0], [-0.8, 0.1, 0.0, 20.0], [0.1, 0.8, 0.0, 5.0], [0, 0, 0, 1.0]])


def volume(shape: tuple[int, ...] = (6, 7, 5), affine: np.ndarray = OBLIQUE) -> MetaTensor:
    rng = np.random.default_rng(0)
    return MetaTensor(torch.from_numpy(rng.integers(0, 4, (1, *shape)).astype(np.uint8)), affine=affine)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".seg.nrrd"])
def test_a_written_label_is_read_back_with_its_voxels_and_place(tmp_path: Path, suffix: str) -> None:
    label = volume()
    path = write_label(label, label, tmp_path / f"a.b{suffix}")
    back = read_label(path)
    assert torch.equal(back.as_tensor(), label.as_tensor())
    assert np.allclose(back.affine, label.affine, atol=1e-5)
    assert same_grid(back, label) is None
    assert stem_of(path) == "a.b"


@pytest.mark.parametrize("highest", [200, 300, 70000])
def test_the_values_of_a_label_are_those_it_was_written_with(tmp_path: Path, highest: int) -> None:
    values = np.array([[[0, 7, 7], [0, 117, highest]]], dtype=np.int32)
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    write_label(values, read_label(tmp_path / "a.nii.gz"), tmp_path / "b.nrrd")
    for name in ("a.nii.gz", "b.nrrd"):
        assert label_values(read_label(tmp_path / name)) == {0, 7, 117, highest}


def test_a_viewer_gets_the_voxels_in_the_type_and_the_packing_that_it_reads(tmp_path: Path) -> None:
    label = volume()
    for kind, highest, stored in ((np.uint8, 3, "u1"), (np.uint16, 3, "<u2"), (np.uint8, 300, "<i2")):
        drawn = label.numpy().astype(np.int32)
        drawn[0, 0, 0, 0] = highest
        path = write_label(drawn, label, tmp_path / "a.nrrd", at_least=kind, compressed=False)
        raw = path.read_bytes().split(b"\n\n", 1)[1]
        assert np.array_equal(np.frombuffer(raw, stored).reshape(drawn.shape[1:], order="F"), drawn[0])


def test_nrrd_and_nifti_of_one_volume_lie_in_one_place_as_itk_says(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    image = sitk.GetImageFromArray(np.arange(60, dtype=np.float32).reshape(3, 4, 5))
    image.SetSpacing((0.7, 0.8, 3.0))
    image.SetOrigin((10.0, -20.0, 30.0))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    for name in ("a.nrrd", "a.nii.gz", "a.mha"):
        sitk.WriteImage(image, str(tmp_path / name))
    first, *others = [read_image(tmp_path / name) for name in ("a.nrrd", "a.nii.gz", "a.mha")]
    for other in others:
        assert torch.equal(first.as_tensor(), other.as_tensor())
        assert np.allclose(first.affine, other.affine, atol=1e-4)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_pictures_keep_grey_values_and_swap_to_column_row(tmp_path: Path, suffix: str) -> None:
    rows = np.arange(20, dtype=np.uint8).reshape(4, 5)
    Image.fromarray(rows).save(tmp_path / f"p{suffix}")
    image = read_image(tmp_path / f"p{suffix}")
    assert image.shape == (1, 5, 4)
    assert image.dtype == torch.float32
    assert np.array_equal(image[0].numpy(), rows.T)
    assert spacing_of(image) == (1.0, 1.0)
    path = write_label(image, image, tmp_path / f"q{suffix}")
    assert np.array_equal(np.asarray(Image.open(path)), rows)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK"])
def test_colour_pictures_have_three_channels(tmp_path: Path, mode: str) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (4, 5, 3), dtype=np.uint8)
    suffix = ".tif" if mode == "CMYK" else ".png"
    Image.fromarray(colours).convert(mode).save(tmp_path / f"p{suffix}")
    assert read_image(tmp_path / f"p{suffix}").shape == (3, 5, 4)


def test_sixteen_bit_pictures_keep_their_values(tmp_path: Path) -> None:
    rows = np.array([[0, 1000], [40000, 65535]], dtype=np.uint16)
    Image.fromarray(rows).save(tmp_path / "p.tif")
    assert np.array_equal(read_image(tmp_path / "p.tif")[0].numpy(), rows.T)


def test_a_palette_picture_read_as_label_keeps_its_indices(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1], [2, 1]], dtype=np.uint8), mode="P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "p.png")
    assert read_label(tmp_path / "p.png")[0].tolist() == [[0, 2], [1, 1]]


def test_overlapping_segments_are_flattened_in_order_and_named(tmp_path: Path) -> None:
    layers = np.zeros((2, 3, 3, 2), dtype=np.uint8)
    layers[0, :2], layers[1, 1:] = 1, 1
    header: dict[str, object] = {
        "kinds": ["list", "domain", "domain", "domain"],
        "space": "left-posterior-superior",
        "space directions": np.array([[np.nan] * 3, [1, 0, 0], [0, 1, 0], [0, 0, 3]]),
        "space origin": np.zeros(3),
    }
    for index, name in enumerate(("liver", "tumour")):
        header |= {f"Segment{index}_Name": name, f"Segment{index}_ID": f"S{index}"}
        header |= {f"Segment{index}_Layer": str(index), f"Segment{index}_LabelValue": "1"}
    nrrd.write(str(tmp_path / "a.seg.nrrd"), layers, header, index_order="F")
    label = read_label(tmp_path / "a.seg.nrrd")
    assert label[0, :, 0, 0].tolist() == [1, 2, 2]
    assert spacing_of(label) == (1.0, 1.0, 3.0)
    assert label_names(tmp_path / "a.seg.nrrd") == {1: "liver", 2: "tumour"}


def test_channels_of_a_nifti_come_first_and_nan_becomes_zero(tmp_path: Path) -> None:
    array = np.ones((4, 5, 6, 2), dtype=np.float32)
    array[0, 0, 0, 1] = np.nan
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii.gz")
    image = read_image(tmp_path / "a.nii.gz")
    assert image.shape == (2, 4, 5, 6)
    assert image[1, 0, 0, 0] == 0
    assert torch.isfinite(image).all()


def test_an_image_without_a_finite_voxel_is_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.full((4, 5, 6), np.nan, np.float32), np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(ImageError, match=r"a\.nii\.gz holds no voxel with a finite value"):
        read_image(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".png", ".mha"])
@pytest.mark.parametrize("keep", [0.6, 0.0])
def test_a_truncated_file_is_an_image_error_that_names_it(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"broken{suffix}"
    values = np.random.default_rng(0).integers(0, 255, (20, 21, 22), dtype=np.uint8)
    if suffix == ".png":
        Image.fromarray(values[0]).save(path)
    elif suffix == ".mha":
        sitk = pytest.importorskip("SimpleITK")
        sitk.WriteImage(sitk.GetImageFromArray(values), str(path))
    else:
        write_label(values, MetaTensor(torch.from_numpy(values)[None]), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(ImageError, match="broken"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha", ".png"])
@pytest.mark.parametrize("read", [read_image, read_label])
def test_a_file_with_a_changed_bit_or_without_its_end_is_never_read_as_other_voxels(
    tmp_path: Path, suffix: str, read: Callable[[Path], MetaTensor]
) -> None:
    path = tmp_path / f"damaged{suffix}"
    values = np.zeros((40, 41, 22), dtype=np.uint8)
    values[10:30, 12:30, 4:15], values[14:20, 15:24, 6:10] = 1, 2
    if suffix == ".png":
        Image.fromarray(values[:, :, 8]).save(path)
    elif suffix == ".mha":
        sitk = pytest.importorskip("SimpleITK")
        sitk.WriteImage(sitk.GetImageFromArray(values), str(path), True)
    else:
        write_label(values, MetaTensor(torch.from_numpy(values)[None]), path)
    whole, content = read(path), path.read_bytes()
    draw = np.random.default_rng(0)
    for place in draw.integers(len(content) - 60, len(content), 80):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(draw.integers(8))
        path.write_bytes(damaged)
        try:
            found = read(path)
        except ImageError as error:
            assert "damaged" in str(error)
        else:
            assert torch.equal(found.as_tensor(), whole.as_tensor())
    path.write_bytes(content[:-8])
    with pytest.raises(ImageError, match="damaged"):
        read(path)


def test_other_files_and_missing_ones_are_image_errors(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "notes.nii.gz").write_text("no image")
    for name in ("notes.txt", "notes.nii.gz", "nowhere.nii.gz"):
        with pytest.raises(ImageError, match=name.split(".")[0]):
            read_image(tmp_path / name)
    assert not is_image_file(tmp_path / "notes.txt")


@pytest.mark.parametrize(("value", "word"), [(-1.0, "-1"), (0.5, "fractions"), (np.nan, "fractions")])
def test_a_label_that_holds_no_classes_is_refused(tmp_path: Path, value: float, word: str) -> None:
    array = np.zeros((3, 3, 3), dtype=np.float32)
    array[1, 1, 1] = value
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(ImageError, match=word):
        read_label(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_a_picture_of_several_pages_is_refused_and_not_read_as_its_first(tmp_path: Path, suffix: str) -> None:
    first, *others = [Image.fromarray(np.full((4, 5), page, dtype=np.uint8)) for page in range(3)]
    path = tmp_path / f"stack{suffix}"
    first.save(path, save_all=True, append_images=others)
    for read in (read_image, read_label):
        with pytest.raises(ImageError, match=rf"stack\{suffix} holds 3 pages"):
            read(path)


def test_a_cameras_jpeg_with_a_preview_in_it_is_one_picture(tmp_path: Path) -> None:
    picture, preview = (Image.new("RGB", size, "red") for size in ((16, 24), (8, 12)))
    picture.save(tmp_path / "photo.jpg", format="MPO", save_all=True, append_images=[preview])
    assert read_image(tmp_path / "photo.jpg").shape == (3, 16, 24)


def test_voxels_of_a_few_nanometres_are_read_and_a_flat_grid_is_not(tmp_path: Path) -> None:
    image = MetaTensor(torch.ones(1, 3, 4, 5), affine=np.diag([5e-5, 5e-5, 5e-5, 1.0]))
    for name in ("a.nii.gz", "a.nrrd"):
        write_label(image, image, tmp_path / name)
        assert spacing_of(read_image(tmp_path / name)) == pytest.approx((5e-5, 5e-5, 5e-5))
    flat = np.array([[2.0, 2.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    header = {"space": "left-posterior-superior", "space directions": flat, "space origin": np.zeros(3)}
    nrrd.write(str(tmp_path / "flat.nrrd"), np.ones((3, 4, 5), np.uint8), header, index_order="F")
    with pytest.raises(ImageError, match="singular"):
        read_image(tmp_path / "flat.nrrd")


def test_grids_that_differ_are_described() -> None:
    image = volume()
    assert "6 x 7 x 4" in same_grid(image, image[..., :4])
    moved = MetaTensor(image.as_tensor(), affine=torch.as_tensor(image.affine) + torch.tensor([0, 0, 0, 7.0]))
    assert "12.1 mm" in same_grid(image, moved)


def test_a_label_of_another_shape_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="nothing written"):
        write_label(np.zeros((2, 2, 2)), volume(), tmp_path / "a.nii.gz")
    assert not list(tmp_path.iterdir())


def test_turning_to_canonical_axes_agrees_with_nibabel_and_can_be_undone() -> None:
    label = volume((4, 6, 5))
    turn = Canonical.of(label)
    turned = turn.apply(label.as_tensor())
    expected = nib.as_closest_canonical(nib.Nifti1Image(label[0].numpy(), np.asarray(label.affine)))
    assert np.array_equal(turned[0].numpy(), np.asanyarray(expected.dataobj))
    assert turn.turn(spacing_of(label)) == pytest.approx(expected.header.get_zooms(), abs=1e-5)
    assert torch.equal(turn.undo(turned), label.as_tensor())
