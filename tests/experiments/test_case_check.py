"""What the look at a replay's files takes for a label, before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scaling_app.experiments.case_check import check_cases
from scaling_app.experiments.cohort import CohortError, find_cases
from scaling_app.imaging.geometry import read_image, write_label
from scaling_app.trials.case_files import CaseFiles


def test_a_label_of_three_hundred_structures_is_no_image(volumes: list[CaseFiles], tmp_path: Path) -> None:
    reference = read_image(volumes[0].image)
    shape = tuple(reference.shape[1:])
    rng = np.random.default_rng(0)
    parcels = np.arange(1, 301).reshape(10, 15, 2).repeat(2, 0).repeat(2, 1).repeat(4, 2)
    parcels = parcels[:, : shape[1]]
    assert parcels.shape == shape and len(np.unique(parcels)) > 200
    noise = rng.integers(0, 256, shape)
    for name, label, taken in (("parcels", parcels, True), ("noise", noise, False)):
        path = tmp_path / f"{name}.nii.gz"
        write_label(label[None], reference, path)
        case = replace(volumes[0], label=path)
        if taken:
            check_cases([case], None)
        else:
            with pytest.raises(CohortError, match="different values, as an image does"):
                check_cases([case], None)


def test_a_jpeg_is_no_label(tmp_path: Path) -> None:
    for kind, name in (("images", "a.png"), ("labels", "a.jpg")):
        (tmp_path / kind).mkdir()
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / kind / name)
    with pytest.raises(CohortError, match="a: the label is a JPEG"):
        check_cases(find_cases(tmp_path / "images", tmp_path / "labels"))
