"""RED, RegDA and GenDA as training strategies: each draws a certified deformation per sample."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from scaling_app.strategies.base import PointMap, PreparedCase, Strategy, StrategyContext
from scaling_app.strategies.deformation.random_field import (
    Strength,
    image_size_mm,
    random_velocity,
    tempered,
)
from scaling_app.strategies.deformation.velocity import Deformation, Flow, Lattice

NODES_PER_SIZE = 18
"""Lattice nodes over the image size: two nodes within the narrowest width of the random fields."""

RED_STRENGTH = "3%"


class Red(Strategy):
    """Random elastic deformation: the flow of a random smooth velocity field, never a fold.

    Option `red_strength`, "3%" of the image size or "5 mm": the standard deviation of the displacement, at
    most; each sample draws its own between zero and that.
    """

    name = "red"

    def __init__(self) -> None:
        self._spacing: tuple[float, ...] = ()
        self._strength = Strength.parse(RED_STRENGTH)
        self._drawn = RunningBounds()

    def prepare(self, cases: Sequence[PreparedCase], context: StrategyContext) -> None:
        """Takes the spacing and the strength; there is nothing to learn."""
        self._spacing = tuple(context.spacing)
        self._strength = Strength.parse(context.options.get("red_strength", RED_STRENGTH))

    def deformation(self, case: PreparedCase, generator: torch.Generator) -> PointMap:
        """A fresh flow over the case's own box."""
        shape = case.image.shape[1:]
        flow = random_flow(shape, self._spacing, self._strength, generator)
        self._drawn.add(flow)
        return Deformation.in_voxels([flow], self._spacing)

    def report(self) -> dict[str, float | int | str | bool]:
        """How many fields were drawn and how strong they were."""
        return self._drawn.report()


class RunningBounds:
    """Counts the drawn flows and their certificates for a run's record."""

    def __init__(self) -> None:
        self._fields = 0
        self._factors = 0
        self._certified = True

    def add(self, flow: Flow) -> None:
        """Notes one drawn flow."""
        self._fields += 1
        self._factors += flow.repeats
        self._certified &= flow.certified

    def report(self) -> dict[str, float | int | str | bool]:
        """`fields`, `certified`, `mean_factors`."""
        mean = self._factors / self._fields if self._fields else 0.0
        return {"fields": self._fields, "certified": self._certified, "mean_factors": round(mean, 3)}


def random_flow(
    shape: Sequence[int], spacing_mm: Sequence[float], strength: Strength, generator: torch.Generator
) -> Flow:
    """A random certified flow over an image of `shape` voxels, of at most that strength."""
    extents = [n * s for n, s in zip(shape, spacing_mm, strict=True)]
    size = image_size_mm(extents)
    lattice = Lattice.over_voxels(shape, spacing_mm, size / NODES_PER_SIZE)
    share = float(torch.rand((), generator=generator, device=generator.device))
    velocity = random_velocity(lattice, share * strength.in_mm(size), size, generator)
    return Flow.of(tempered(velocity, lattice), lattice)
