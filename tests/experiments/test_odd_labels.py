"""Labels that are the image's voxels under another header are trained on and tested against as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from scaling_app.experiments.case_check import check_cases
from scaling_app.experiments.cohort import CohortError
from scaling_app.imaging.geometry import read_image, read_label
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.fingerprint import take_fingerprints
from scaling_app.trials.plan import make_plan
from scaling_app.trials.preparation import prepare


def with_slice_axis(case: CaseFiles, folder: Path) -> CaseFiles:
    """The picture's label as Slicer saves it: a volume of one slice."""
    picture = np.asarray(Image.open(case.label)).T[..., None]
    path = folder / f"{case.case_id}.nii.gz"
    nibabel.save(nibabel.Nifti1Image(picture, np.diag([-1.0, -1, 1, 1])), path)
    return replace(case, label=path)


def with_reversed_slices(case: CaseFiles, folder: Path) -> CaseFiles:
    """The volume's label as Slicer saves that of a left-handed file."""
    label = nibabel.load(case.label)
    path = folder / f"{case.case_id}.nii.gz"
    nibabel.save(label.as_reoriented(np.array([[0, 1], [1, 1], [2, -1]])), path)
    return replace(case, label=path)


@pytest.mark.parametrize("kind", ["pictures", "volumes"])
def test_a_label_in_another_order_prepares_like_the_one_in_the_images_order(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    plain = request.getfixturevalue(kind)[:2]
    odd = [
        (with_slice_axis if kind == "pictures" else with_reversed_slices)(case, tmp_path) for case in plain
    ]
    check_cases(odd)
    plan = make_plan(plain)
    assert take_fingerprints(odd, plan.structures) == take_fingerprints(plain, plan.structures)
    for one, other in zip(plain, odd, strict=True):
        assert torch.equal(prepare(plan, one)[1], prepare(plan, other)[1])


def test_a_label_that_lies_elsewhere_is_named_before_any_training(
    volumes: list[CaseFiles], tmp_path: Path
) -> None:
    label = nibabel.load(volumes[0].label)
    moved = label.affine.copy()
    moved[:3, 3] += 7
    path = tmp_path / "moved.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.asarray(label.dataobj), moved), path)
    with pytest.raises(CohortError, match="mm away from the image"):
        check_cases([replace(volumes[0], label=path), volumes[1]])
    image = read_image(volumes[0].image)
    assert not np.allclose(read_label(path, image).affine, image.affine)
