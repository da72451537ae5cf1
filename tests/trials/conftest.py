"""Synthetic cases on disk, planned and prepared once for all tests of the package."""

from __future__ import annotations

import pytest

from scaling_app.imaging.synthetic import STRUCTURES
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.plan import Plan, make_plan

from ..coarse import coarse_registrations
from ..volumes import pictures, volumes

__all__ = ["coarse_registrations", "pictures", "volumes"]


@pytest.fixture(autouse=True)
def few_steps(coarse_registrations: None) -> None:
    """No test of this room asks how well shapes are registered."""


@pytest.fixture(scope="session")
def volume_plan(volumes: list[CaseFiles]) -> Plan:
    """The plan of `volumes`, with the network that learns fastest, of 4 channels."""
    return make_plan(volumes, STRUCTURES, network="resunet", capacity=4)


@pytest.fixture(scope="session")
def prepared(
    volumes: list[CaseFiles], volume_plan: Plan, tmp_path_factory: pytest.TempPathFactory
) -> PreparedCases:
    """`volumes`, prepared."""
    return PreparedCases(volume_plan, volumes, tmp_path_factory.mktemp("cache"), 2**28)
