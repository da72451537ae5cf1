"""Synthetic cases as the trainer hands them over, 3D and 2D."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from scaling_app.imaging.synthetic import STRUCTURES, make_case
from scaling_app.strategies.base import PreparedCase, StrategyContext

from ...coarse import coarse_registrations

__all__ = ["coarse_registrations"]


def synthetic(index: int, dims: int, size: int = 20) -> PreparedCase:
    made = make_case(index, size=size, spatial_dims=dims)
    image = (made.image - made.image.mean()) / made.image.std()
    return PreparedCase(
        f"case{index}",
        f"p{index}",
        torch.from_numpy(image.astype(np.float32))[None],
        torch.from_numpy(made.label)[None],
    )


@pytest.fixture(scope="session")
def volumes() -> list[PreparedCase]:
    return [synthetic(i, 3) for i in range(6)]


@pytest.fixture(scope="session")
def pictures() -> list[PreparedCase]:
    return [synthetic(i, 2, 32) for i in range(16)]


@pytest.fixture(scope="session")
def context() -> Callable[..., StrategyContext]:
    def make(dims: int, **changes: object) -> StrategyContext:
        known = {
            "spatial_dims": dims,
            "spacing": (1.0, 1.0, 1.9)[:dims],
            "patch": (16,) * dims,
            "structures": STRUCTURES,
            "seed": 0,
            "steps": 10,
        }
        return StrategyContext(**(known | changes))

    return make


def without_label(case: PreparedCase) -> PreparedCase:
    return PreparedCase(case.case_id, case.patient, case.image, None)


@pytest.fixture(scope="session")
def bare() -> Callable[[PreparedCase], PreparedCase]:
    return without_label
