"""Stationary velocity fields, their exponentials, and the certificate that nothing folds.

A deformation is the flow of a smooth velocity field that does not change in time, phi = exp(v). The field
lives on the nodes of a coarse `Lattice`, in mm, and is continued between the nodes by multilinear
interpolation and beyond them by its border value.

The certificate. Let A_ij be the largest absolute forward difference quotient of component i along axis j
over the lattice, and rho = max_i sum_j A_ij. The partial derivatives of the multilinear interpolant are
convex combinations of those quotients, hence bounded by A everywhere. If rho(u) < 1, id + u has a strictly
diagonally dominant Jacobian in every cell and is injective: a homeomorphism of the whole continuous space,
with no sampling and no tolerance. One squaring u <- u + u(id + u), taken back onto the lattice, obeys
A' <= 2A + A^2 entrywise, so that rho(exp(v) - id) <= exp(rho(v)) - 1. Therefore rho(v) < ln 2 certifies the
exponential before it is computed.

A stronger field is cut into m = ceil(rho / 0.68) equal parts. The exponential of one part is a certified
factor and is applied m times *at the moving points*, never put back on a grid, so that the result is a
composition of homeomorphisms. Each factor is a contraction plus the identity, which makes its inverse exact
by fixed-point iteration.

The bound is taken in mm, so that it does not depend on the voxels' size. Sources: Arsigny et al., "A
Log-Euclidean Framework for Statistics on Diffeomorphisms", MICCAI 2006 (scaling and squaring); Liu et al.,
"On Finite Difference Jacobian Computation in Deformable Image Registration", IJCV 2024,
https://arxiv.org/abs/2212.06060 (why sampled central differences do not prove anything).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scaling_app.strategies.deformation.interpolation import BLOCK, FieldReader

CERTIFIED_BOUND = 0.68
"""The largest rho of one factor's velocity: ln 2 less a margin for floating point."""

SQUARINGS = 5
_STALLED = 8
"""A contraction that has not come closer in so many steps has reached the precision of its numbers."""


@dataclass(frozen=True)
class Lattice:
    """Nodes of a field: node k lies at `origin_mm + k * step_mm`, in array axis order."""

    origin_mm: tuple[float, ...]
    step_mm: tuple[float, ...]
    shape: tuple[int, ...]

    @classmethod
    def over_voxels(cls, shape: Sequence[int], spacing_mm: Sequence[float], step_mm: float) -> Lattice:
        """A lattice over an image of `shape` voxels, from edge to edge, nodes about `step_mm` apart.

        It depends on the image's extent in mm alone, not on how finely that extent is sampled. Voxel 0
        lies at 0 mm.
        """
        extents = [n * s for n, s in zip(shape, spacing_mm, strict=True)]
        nodes = tuple(min(40, max(4, math.ceil(extent / step_mm - 1e-6) + 1)) for extent in extents)
        steps = tuple(extent / (n - 1) for extent, n in zip(extents, nodes, strict=True))
        return cls(tuple(-s / 2 for s in spacing_mm), steps, nodes)

    @property
    def dims(self) -> int:
        """Number of spatial axes, 2 or 3."""
        return len(self.shape)

    @property
    def extent_mm(self) -> tuple[float, ...]:
        """Distance between the first and the last node along each axis."""
        return tuple((n - 1) * h for n, h in zip(self.shape, self.step_mm, strict=True))

    def nodes_mm(self) -> Tensor:
        """Positions `(*G, D)` of the nodes in mm."""
        axes = [
            o + h * torch.arange(n, dtype=torch.float32)
            for o, h, n in zip(self.origin_mm, self.step_mm, self.shape, strict=True)
        ]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)

    def in_steps(self, unit_points: Tensor) -> Tensor:
        """Where its moved nodes, unit points `(D, P)`, are in steps of it: `(*G, D)`."""
        steps = torch.tensor(self.shape, dtype=unit_points.dtype, device=unit_points.device) - 1
        return ((unit_points.flip(0).T + 1.0) * (0.5 * steps)).reshape(*self.shape, self.dims)


def derivative_bound(field_mm: Tensor, step_mm: Sequence[float]) -> float:
    """rho of a field `(D, *G)` in mm on nodes `step_mm` apart: max_i sum_j max |d_j field_i|.

    Raises:
        ValueError: the field has not as many components as axes.
    """
    dims = field_mm.ndim - 1
    if field_mm.shape[0] != dims or len(step_mm) != dims:
        raise ValueError(
            f"a field on {dims} axes needs {dims} components and steps, got "
            f"{field_mm.shape[0]} and {len(step_mm)}"
        )
    largest = [
        torch.linalg.vector_norm(field_mm.diff(dim=axis + 1).flatten(1), torch.inf, dim=1)
        for axis in range(dims)
    ]
    steps = torch.tensor(step_mm, dtype=torch.float64)
    return float((torch.stack(largest, dim=1).double().cpu() / steps).sum(dim=1).max())


def _unit_scale(lattice: Lattice, like: Tensor) -> Tensor:
    """Unit points per mm, `(D,)` in reversed order."""
    return torch.tensor(
        [2.0 / extent for extent in reversed(lattice.extent_mm)], dtype=like.dtype, device=like.device
    )


def _to_unit_field(field_mm: Tensor, lattice: Lattice) -> Tensor:
    scale = _unit_scale(lattice, field_mm)
    return field_mm.flip(0) * scale.reshape(-1, *([1] * lattice.dims))


def unit_nodes(shape: Sequence[int], like: Tensor) -> Tensor:
    """Unit points `(D, P)` of the nodes themselves, in the array's order."""
    axes = [torch.linspace(-1.0, 1.0, n, dtype=like.dtype, device=like.device) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1]).flatten(1)


def exponential(velocity_mm: Tensor, lattice: Lattice, squarings: int = SQUARINGS) -> Tensor:
    """Displacement `(D, *G)` in mm of exp(v) on the lattice, by scaling and squaring; differentiable.

    It is certified only for a `derivative_bound` below ln 2; `Flow.of` cuts stronger fields.
    """
    nodes = unit_nodes(lattice.shape, velocity_mm)
    displacement = _to_unit_field(velocity_mm, lattice) / 2**squarings
    for _ in range(squarings):
        further = FieldReader(displacement)(nodes + displacement.flatten(1))
        displacement = displacement + further.reshape(displacement.shape)
    scale = _unit_scale(lattice, displacement).reshape(-1, *([1] * lattice.dims))
    return (displacement / scale).flip(0)


@dataclass(frozen=True)
class Flow:
    """A certified homeomorphism of space: one factor id + u, applied `repeats` times; points in mm.

    Attributes:
        lattice: where the factor's displacement is known.
        unit_displacement: u as `(D, *G)` in unit points, components reversed.
        repeats: how many times the factor is applied, 0 for the identity.
        factor_bound: rho(u) < 1, the factor's certificate.
        inverted: whether the inverse map is meant.
    """

    lattice: Lattice
    unit_displacement: Tensor
    repeats: int
    factor_bound: float
    inverted: bool = False

    @classmethod
    def of(cls, velocity_mm: Tensor, lattice: Lattice) -> Flow:
        """exp(v) of a field `(D, *G)` in mm, cut into as many certified factors as it needs.

        Raises:
            ValueError: the field is not finite.
        """
        rho = derivative_bound(velocity_mm, lattice.step_mm)
        if not math.isfinite(rho):
            raise ValueError("a velocity field must be finite")
        if not velocity_mm.any():
            return cls(lattice, torch.zeros_like(velocity_mm), 0, 0.0)
        repeats = max(1, math.ceil(rho / CERTIFIED_BOUND))
        displacement = exponential(velocity_mm / repeats, lattice)
        bound = derivative_bound(displacement, lattice.step_mm)
        if bound >= 1.0:  # cannot happen by the theorem; kept as the theorem's own test
            raise ArithmeticError(f"rho(v) = {rho:.3f} gave a factor with rho(u) = {bound:.3f}")
        return cls(lattice, _to_unit_field(displacement, lattice), repeats, bound)

    @property
    def certified(self) -> bool:
        """Whether every factor is a proven homeomorphism."""
        return self.factor_bound < 1.0

    def inverse(self) -> Flow:
        """The exact inverse map (fixed-point iteration per factor)."""
        return replace(self, inverted=not self.inverted)

    def unit_affine(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """`(scale, shift)`, both `(D,)`, with `unit = mm reversed * scale + shift`."""
        scale = _unit_scale(self.lattice, like)
        origin = torch.tensor(self.lattice.origin_mm[::-1], dtype=like.dtype, device=like.device)
        return scale, -1.0 - origin * scale

    def reader(self, like: Tensor) -> FieldReader:
        """The factor's displacement, ready to be read at points like these."""
        return FieldReader(self.unit_displacement.to(like))

    def move(self, points: Tensor, reader: FieldReader, times: int | None = None) -> Tensor:
        """Moves unit points `(D, P)` by all the factors, or by so many of them."""
        for _ in range(self.repeats if times is None else times):
            points = _undo(reader, points) if self.inverted else points + reader(points)
        return points

    def __call__(self, points_mm: Tensor) -> Tensor:
        """Moves points `(..., D)` in mm."""
        dims = self.lattice.dims
        return Deformation(torch.eye(dims), torch.zeros(dims), (self,))(points_mm)


def _undo(reader: FieldReader, target: Tensor, tolerance: float = 2e-7, most: int = 200) -> Tensor:
    """Solves x + u(x) = target by fixed-point iteration, which contracts because rho(u) < 1.

    It ends where nothing moves any more, or where the movements are the rounding errors of reading the field.
    """
    points, least, stalled = target, math.inf, 0
    for _ in range(most):
        moved = target - reader(points)
        change = float((moved - points).abs().max()) if moved.numel() else 0.0
        points = moved
        stalled = 0 if change < least else stalled + 1
        least = min(least, change)
        if change <= tolerance or stalled >= _STALLED:
            break
    return points


@dataclass(frozen=True)
class Deformation:
    """A strategy's point map: voxel points of a case, into a frame in mm, through flows, and back.

    Attributes:
        matrix: `(D, D)`, frame mm per voxel of the case.
        offset_mm: `(D,)`, where voxel 0 lies in the frame.
        flows: applied first to last, all on one lattice.
    """

    matrix: Tensor
    offset_mm: Tensor
    flows: tuple[Flow, ...]

    def __post_init__(self) -> None:
        if len({flow.lattice for flow in self.flows}) > 1:
            raise ValueError("the flows of one deformation must share their lattice")

    @classmethod
    def in_voxels(cls, flows: Sequence[Flow], spacing_mm: Sequence[float]) -> Deformation:
        """Flows whose frame is the case itself: voxel times spacing."""
        matrix = torch.diag(torch.tensor(spacing_mm, dtype=torch.float32))
        return cls(matrix, torch.zeros(len(spacing_mm)), tuple(flows))

    @property
    def certified(self) -> bool:
        """Whether every factor of every flow is a proven homeomorphism."""
        return all(flow.certified for flow in self.flows)

    def inverse(self) -> Deformation:
        """The exact inverse point map."""
        return replace(self, flows=tuple(flow.inverse() for flow in reversed(self.flows)))

    def __call__(self, points: Tensor) -> Tensor:
        """Moves voxel points `(..., D)`; only these points are evaluated."""
        flows = [flow for flow in self.flows if flow.repeats]
        if not flows:
            return points
        into, shift, back = self.unit_frame(flows[0], points)
        readers = [flow.reader(points) for flow in flows]
        rows = points.reshape(-1, points.shape[-1])
        moved = torch.empty_like(rows)
        for start in range(0, len(rows), BLOCK):
            block = into @ rows[start : start + BLOCK].T + shift
            for flow, reader in zip(flows, readers, strict=True):
                block = flow.move(block, reader)
            moved[start : start + BLOCK] = (back @ (block - shift)).T
        return moved.reshape(points.shape)

    def unit_frame(self, flow: Flow, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Voxels to unit points, `into @ x + shift`, and the inverse of `into`."""
        scale, shift = flow.unit_affine(like)
        into = self.matrix.to(like).flip(0) * scale[:, None]
        shift = (self.offset_mm.to(like).flip(0) * scale + shift)[:, None]
        return into, shift, torch.linalg.inv(into.double()).to(like)
