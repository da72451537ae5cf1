"""Small synthetic cases on disk, written once for all tests of a room."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scaling_app.imaging.synthetic import make_case, write_case
from scaling_app.trials.case_files import CaseFiles


def write_volumes(folder: Path, count: int, *, size: int = 20) -> list[CaseFiles]:
    """Writes `count` synthetic volumes into `folder`/images and `folder`/labels, two of each patient."""
    cases = []
    for index in range(count):
        case = make_case(index, size=size)
        write_case(case, folder / "images", folder / "labels")
        name = f"{case.case_id}.nii.gz"
        cases.append(
            CaseFiles(case.case_id, f"p{index // 2}", folder / "images" / name, folder / "labels" / name)
        )
    return cases


def write_pictures(folder: Path, count: int, *, size: int = 32) -> list[CaseFiles]:
    """Writes `count` synthetic RGB pictures with grey label pictures."""
    cases = []
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for index in range(count):
        case = make_case(index, size=size, spatial_dims=2)
        name = f"{case.case_id}.png"
        low, high = case.image.min(), case.image.max()
        grey = ((case.image - low) / (high - low) * 255).astype(np.uint8).T
        Image.fromarray(np.stack([grey, 255 - grey, grey // 2], axis=-1)).save(folder / "images" / name)
        Image.fromarray(case.label.T.copy()).save(folder / "labels" / name)
        cases.append(
            CaseFiles(case.case_id, case.case_id, folder / "images" / name, folder / "labels" / name)
        )
    return cases


@pytest.fixture(scope="session")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> list[CaseFiles]:
    """Six small labelled volumes of three patients, two structures, anisotropic."""
    return write_volumes(tmp_path_factory.mktemp("volumes"), 6)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[CaseFiles]:
    """Four labelled RGB pictures (PNG)."""
    return write_pictures(tmp_path_factory.mktemp("pictures"), 4)
