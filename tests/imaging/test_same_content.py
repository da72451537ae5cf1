"""The same image is found under any name and in any packing; images that differ in one voxel are two."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from scaling_app.imaging import same_content
from scaling_app.imaging.same_content import same_images


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    rng = np.random.default_rng(0)
    voxels = rng.integers(-1000, 1000, (12, 10, 8)).astype(np.int16)
    later = voxels.copy()
    later[3, 4, 7] += 1
    tmp_path.joinpath("x").mkdir()
    made = {}
    for name, array in (("a.nii.gz", voxels), ("b.nii", voxels), ("c.nii.gz", voxels.astype(np.float32))):
        nib.save(nib.Nifti1Image(array, np.diag([1, 1, 3, 1])), tmp_path / name)
    nrrd.write(str(tmp_path / "d.nrrd"), voxels)
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "a.nii.gz")), str(tmp_path / "e.mha"))
    (tmp_path / "f.nii.gz").write_bytes((tmp_path / "b.nii").read_bytes())  # as ITK opens it all the same
    within = bytearray((tmp_path / "b.nii").read_bytes())
    within[108:112] = np.float32(0).tobytes()  # its voxels are said to begin within the header
    (tmp_path / "g.nii").write_bytes(within[:348] + within[352:])
    nib.save(nib.Nifti1Image(later, np.eye(4)), tmp_path / "other.nii.gz")
    nib.save(nib.Nifti1Image(voxels.reshape(12, 8, 10), np.eye(4)), tmp_path / "shape.nii")
    for name in ("empty1.nii", "empty2.nii"):
        nib.save(nib.Nifti1Image(np.zeros((12, 10, 8), np.int16), np.eye(4)), tmp_path / name)
    (tmp_path / "broken.nii.gz").write_bytes(b"no image")
    for path in sorted(tmp_path.iterdir()):
        if path.is_file():
            made[path.name.partition(".")[0]] = path
    return made


@pytest.mark.parametrize("first", [50, 2**20], ids=["a part is compared first", "all is"])
def test_the_same_voxels_are_found_in_any_packing(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    monkeypatch.setattr(same_content, "FIRST_VOXELS", first)
    assert same_images(files, {}) == [("a", "b", "c", "d", "e", "f", "g")]


def test_images_are_read_once_as_long_as_their_files_stay(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    known: same_content.Known = {}
    same_images(files, known)
    (files["b"]).write_bytes(files["other"].read_bytes())
    read: list[str] = []
    monkeypatch.setattr(same_content, "_digest_of", lambda path, how: read.append(path.name) or path.name)
    same_images(files, known)
    assert read == ["b.nii"]


def test_of_images_that_differ_early_only_the_beginning_is_read(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(same_content, "read_image", lambda path: pytest.fail(f"{path} was read whole"))
    assert same_images({name: files[name] for name in ("a", "shape")}, {}) == []
