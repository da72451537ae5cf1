"""Components and Euler numbers of known shapes, and that deformations keep them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scaling_app.strategies.base import PreparedCase
from scaling_app.strategies.deformation.folds import voxel_grid
from scaling_app.strategies.deformation.quality import QualityReport, kept_topology
from scaling_app.strategies.deformation.random_field import Strength
from scaling_app.strategies.deformation.strategies import random_flow
from scaling_app.strategies.deformation.topology import is_thick, signature
from scaling_app.strategies.deformation.velocity import Deformation


def centred(size: int = 32) -> torch.Tensor:
    return voxel_grid((size,) * 3) - (size - 1) / 2


def ball(radius: float) -> np.ndarray:
    return (centred().norm(dim=-1) < radius).numpy()


def torus(radius: float, tube: float) -> np.ndarray:
    x, y, z = centred().unbind(-1)
    return (((x**2 + y**2).sqrt() - radius) ** 2 + z**2 < tube**2).numpy()


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (ball(8), (1, 1)),
        (torus(9, 3), (1, 0)),
        (ball(10) & ~ball(5), (1, 2)),
        (np.zeros((5, 5, 5), bool), (0, 0)),
        (np.pad(np.ones((2, 2), bool), 3), (1, 1)),
        (np.pad(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool), 1), (1, 0)),
        (np.array([[1, 0], [0, 1]], bool), (1, 1)),
    ],
)
def test_known_shapes(mask: np.ndarray, expected: tuple[int, int]) -> None:
    assert signature(mask) == expected


def test_thickness() -> None:
    assert is_thick(ball(6)) and is_thick(torus(9, 3.5))
    assert not is_thick(ball(1.2)) and not is_thick(torus(9, 1.2))


def test_thick_structures_keep_their_topology() -> None:
    label = torch.zeros(1, 32, 32, 32, dtype=torch.uint8)
    label[0][torch.from_numpy(torus(9.0, 4.0))] = 1
    label[0][torch.from_numpy(ball(4.5))] = 2
    generator = torch.Generator().manual_seed(0)
    kept = []
    for index in range(100):
        strength = Strength(3.0 + index % 3)
        flow = random_flow((32,) * 3, (1.0,) * 3, strength, generator)
        kept += kept_topology(label, Deformation.in_voxels([flow], (1.0,) * 3))
    assert len(kept) > 50
    assert np.mean(kept) >= 0.995


def test_the_report_of_a_torn_map_says_so() -> None:
    """A negative control: a map that folds is neither certified nor free of folds."""
    case = PreparedCase("a", "a", torch.zeros(1, 12, 12), torch.zeros(1, 12, 12, dtype=torch.uint8))
    report = QualityReport()
    report.add(case, lambda points: points + 3.0 * torch.sin(points.flip(-1) + points))
    payload = report.payload()
    assert payload["folds"] > 0 and not payload["certified"] and payload["min_jacobian"] < 0
