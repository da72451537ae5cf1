"""Components and Euler numbers of known shapes, and that deformations keep them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scaling_app.strategies.base import PreparedCase
from scaling_app.strategies.deformation import quality
from scaling_app.strategies.deformation.folds import voxel_grid
from scaling_app.strategies.deformation.quality import QualityReport, compare_topology
from scaling_app.strategies.deformation.random_field import Strength
from scaling_app.strategies.deformation.strategies import random_flow
from scaling_app.strategies.deformation.topology import cavities, is_thick, signature
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
        compared = compare_topology(label, Deformation.in_voxels([flow], (1.0,) * 3)).values()
        kept += [c.kept for c in compared if c.kept is not None]
    assert len(kept) > 50
    assert np.mean(kept) >= 0.995


def test_the_report_of_a_torn_map_says_so() -> None:
    """A negative control: a map that folds is neither certified nor free of folds."""
    case = PreparedCase("a", "a", torch.zeros(1, 12, 12), torch.zeros(1, 12, 12, dtype=torch.uint8))
    report = QualityReport()
    report.add(case, lambda points: points + 3.0 * torch.sin(points.flip(-1) + points))
    payload = report.payload()
    assert payload["folds"] > 0 and not payload["certified"] and payload["min_jacobian"] < 0


def test_closed_cavities_are_counted_and_bays_are_not() -> None:
    shell = ball(10) & ~ball(5)
    assert cavities(shell) == 1 and cavities(ball(10)) == 0 and cavities(torus(9, 3)) == 0
    assert cavities(shell[16:]) == 0  # cut open by the border
    ring = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)
    assert cavities(ring) == 1 and cavities(np.pad(ring, 2)) == 1 and cavities(ring[:2]) == 0


def test_what_is_thin_or_at_the_border_is_counted_and_the_reason_is_given(monkeypatch) -> None:
    wall = torch.zeros(1, 24, 24, dtype=torch.uint8)
    wall[0, 5:19, 5:19] = 1
    wall[0, 6:18, 6:18] = 0  # a thin wall around a cavity
    wall[0, :4, 10:20] = 2  # thick, at the border
    opened = wall.clone()
    opened[0, 5, 10:14] = 0
    case = PreparedCase("a", "a", torch.zeros(1, 24, 24), wall)
    report = QualityReport({"wall": 1})
    still = Deformation.in_voxels(
        [random_flow((24, 24), (1.0, 1.0), Strength(0.0), torch.Generator())], (1.0, 1.0)
    )
    report.add(case, still)
    monkeypatch.setattr(quality, "warp_volumes", lambda *_: [opened])
    report.add(case, still)
    payload = report.payload()
    assert (payload["topology_preserved"], payload["topology_checked"]) == (None, 0)
    assert "4 of 4 structures" in payload["topology_note"]
    assert "2 are thinner" in payload["topology_note"] and "2 reach the border" in payload["topology_note"]
    wall_counts, other = payload["topology"]["wall"], payload["topology"]["2"]
    assert wall_counts["cavities"] == {"of": 2, "gained": 0, "lost": 1}
    assert wall_counts["components"] == {"of": 2, "more": 0, "fewer": 0}
    assert (wall_counts["thin"], wall_counts["at_border"]) == (2, 0)
    assert (other["at_border"], other["components"]["of"], other["cavities"]["of"]) == (2, 0, 2)
