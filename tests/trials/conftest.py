"""Synthetic cases on disk, planned and prepared once for all tests of the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scaling_app.imaging.synthetic import STRUCTURES, make_case, write_case
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.plan import Plan, make_plan


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Small tensors are slower on several threads, and results do not depend on their number."""
    torch.set_num_threads(1)


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


@pytest.fixture(scope="session")
def volume_plan(volumes: list[CaseFiles]) -> Plan:
    """The plan of `volumes`, with a network of 4 channels."""
    return make_plan(volumes, STRUCTURES, capacity=4)


@pytest.fixture(scope="session")
def prepared(
    volumes: list[CaseFiles], volume_plan: Plan, tmp_path_factory: pytest.TempPathFactory
) -> PreparedCases:
    """`volumes`, prepared."""
    return PreparedCases(volume_plan, volumes, tmp_path_factory.mktemp("cache"), 2**28)
