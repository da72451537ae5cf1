"""Velocities of new shapes for a case: between registered shapes (RegDA), or generated (GenDA)."""

from __future__ import annotations

import torch
from torch import Tensor

from scaling_app.strategies.deformation.alignment import Frame
from scaling_app.strategies.deformation.generator import choose_generator
from scaling_app.strategies.deformation.group import Group
from scaling_app.strategies.deformation.random_field import random_velocity
from scaling_app.strategies.deformation.registration import fade_all
from scaling_app.strategies.deformation.subspace import embed, fit_subspace, logarithm_of_pair

REACH = (-0.25, 1.25)
"""How far along the geodesic: 0 is the case, 1 the (mixed) target; beyond is mild extrapolation."""
MOST_TARGETS = 3


def between_shapes(group: Group, case_id: str, generator: torch.Generator) -> Tensor | None:
    """A velocity towards a convex mixture of 1-3 other shapes; None when there is no other shape."""
    own = group.labelled[case_id].velocity
    others = [r.velocity for i, r in group.labelled.items() if i != case_id]
    others += [r.velocity for r in group.unlabelled.values()]
    if not others:
        return None
    count = 1 + int(_uniform(generator) * min(MOST_TARGETS, len(others)))
    picked = torch.randperm(len(others), generator=generator, device=generator.device)[:count].tolist()
    weights = torch.tensor([_uniform(generator) for _ in picked]).clamp(min=1e-6).log().neg()
    weights = weights / weights.sum()  # Dirichlet(1)
    target = torch.zeros_like(own)
    for weight, index in zip(weights.tolist(), picked, strict=True):
        target += weight * others[index]
    low, high = REACH
    reach = low + (high - low) * _uniform(generator)
    return reach * logarithm_of_pair(own, target, group.frame.nodes)


class SubspaceSampler:
    """Draws shapes from the geodesic subspace of a group, with a residual random field."""

    def __init__(self, group: Group, kind: str, seed: int, largest_residual_mm: float) -> None:
        """Finds the modes and trains or chooses the generator.

        Args:
            group: at least two shapes.
            kind: `auto`, `gaussian` or `adversarial`.
            seed: of the adversarial training.
            largest_residual_mm: bound on the residual field's standard deviation.
        """
        self._group = group
        nodes = group.frame.nodes
        self._subspace = space = fit_subspace(group.velocities, nodes)
        self._index = {case_id: i for i, case_id in enumerate(group.labelled)}
        self._generator, comparison = choose_generator(
            space.coefficients, group.codes, space.deviations, seed, kind
        )
        self._kept = (1.0 - space.shrinkage) ** 0.5
        amplitude = (space.shrinkage * space.energy / _unit_energy(group.frame)) ** 0.5
        self._residual_mm = min(amplitude, largest_residual_mm)
        self.notes: dict[str, float | int | str | bool] = {
            "generator": self._generator.name,
            "modes": len(space.deviations),
            "modes_90": space.modes_90,
            "shrinkage": round(space.shrinkage, 3),
            "residual_mm": round(self._residual_mm, 3),
        }
        if comparison is not None:
            self.notes |= {
                "energy_score_gaussian": round(comparison.gaussian, 4),
                "energy_score_adversarial": round(comparison.adversarial, 4),
            }

    def velocity(self, case_id: str, generator: torch.Generator) -> Tensor:
        """The way `(D, *nodes)` in mm from a labelled case to a generated shape."""
        index = self._index[case_id]
        change = self._generator.draw(index, generator)
        shape = self._kept * (self._subspace.coefficients[index] + change)
        new = self._subspace.field(shape) + self._residual(generator)
        return logarithm_of_pair(self._group.labelled[case_id].velocity, new, self._group.frame.nodes)

    def _residual(self, generator: torch.Generator) -> Tensor:
        frame = self._group.frame
        return fade_all(random_velocity(frame.nodes, self._residual_mm, frame.size_mm, generator).cpu())


def _unit_energy(frame: Frame, draws: int = 4) -> float:
    """Mean squared Sobolev length, mm^2, of residual fields of 1 mm standard deviation."""
    rng = torch.Generator().manual_seed(0)
    fields = torch.stack(
        [fade_all(random_velocity(frame.nodes, 1.0, frame.size_mm, rng)) for _ in range(draws)]
    )
    return float(embed(fields, frame.nodes).pow(2).sum(dim=1).mean())


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator, device=generator.device))
