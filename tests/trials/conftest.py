"""Synthetic cases on disk, planned and prepared once for all tests of the package."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scaling_app.imaging.synthetic import STRUCTURES, make_case, write_case
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.plan import CaseFiles, Plan, make_plan


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Small tensors are slower on several threads, and results do not depend on their number."""
    torch.set_num_threads(1)


def write_cases(folder: Path, count: int, *, size: int = 20, dims: int = 3, suffix: str = ".nii.gz") -> list[CaseFiles]:
    """Writes `count` synthetic cases into `folder`/images and `folder`/labels."""
    cases = []
    for index in range(count):
        case = make_case(index, size=size, spatial_dims=dims)
        write_case(case, folder / "images", folder / "labels", suffix=suffix)
        name = case.case_id + suffix
        cases.append(CaseFiles(case.case_id, f"p{index // 2}", folder / "images" / name, folder / "labels" / name))
    return cases


@pytest.fixture(scope="session")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> list[CaseFiles]:
    """Six small labelled volumes of three patients, two structures, anisotropic."""
    return write_cases(tmp_path_factory.mktemp("volumes"), 6)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[CaseFiles]:
    """Four labelled PNG pictures."""
    return write_cases(tmp_path_factory.mktemp("pictures"), 4, size=32, dims=2, suffix=".png")


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
