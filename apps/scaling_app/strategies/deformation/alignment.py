"""A common frame for cases of different fields of view, and each case seen in it.

The frame is a box in mm around the structures, centred at 0, with two lattices: a `grid` on which images
are compared (about 48^3 points in 3D, 96^2 in 2D, no finer than the voxels) and the `nodes` of velocity
fields, half as dense. A case is placed in it by the moments of its structures: centroid, size within
limits, and the rotation that brings the structures' own centroids onto those of the group. An image without
labels is placed by the model's prediction where there is one, else by a search over shift, scale and
rotation that makes it look like the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional as F

from scaling_app.imaging.extents import image_size_mm
from scaling_app.strategies.base import PreparedCase
from scaling_app.strategies.deformation.interpolation import FieldReader
from scaling_app.strategies.deformation.velocity import Lattice, unit_nodes

GRID_POINTS = {2: 96**2, 3: 48**3}
LARGEST_SCALE = 1.6
"""Cases are scaled by at most this factor (and its inverse) towards the common size."""
UPRIGHT = 0.1
"""How strongly a rotation is held back, in squares of the structures' common radius."""
TURN = 1.5
"""Radians that a search turns by where it shifts by the image size."""
BAND = 0.10
"""Signed distances are cut at this share of the image size and given in units of it."""

_SLAB = 8


@dataclass(frozen=True)
class Frame:
    """The common box: `grid` for images, `nodes` for velocities, both over the same extent."""

    grid: Lattice
    nodes: Lattice

    @property
    def size_mm(self) -> float:
        """The size that widths and bands are shares of."""
        return image_size_mm(self.grid.extent_mm)


@dataclass(frozen=True)
class Placement:
    """Where a case lies in the frame: `frame_mm = rotation @ (voxel * spacing) / scale + offset_mm`."""

    spacing_mm: tuple[float, ...]
    scale: float
    rotation: tuple[tuple[float, ...], ...]
    offset_mm: tuple[float, ...]

    @classmethod
    def centring(
        cls, point_mm: Sequence[float], spacing_mm: Sequence[float], scale: float, rotation: Tensor
    ) -> Placement:
        """The placement that brings a point of the case to 0."""
        moved = rotation @ torch.tensor(point_mm) / scale
        turned = tuple(tuple(row) for row in rotation.tolist())
        return cls(tuple(map(float, spacing_mm)), scale, turned, tuple((-moved).tolist()))

    @property
    def matrix(self) -> Tensor:
        """`(D, D)`: frame mm per voxel."""
        return torch.tensor(self.rotation) @ torch.diag(torch.tensor(self.spacing_mm)) / self.scale

    def to_voxels(self, points_mm: Tensor) -> Tensor:
        """Voxels of the case for points `(..., D)` of the frame."""
        moved = (points_mm - torch.tensor(self.offset_mm)) @ torch.tensor(self.rotation)
        return moved * self.scale / torch.tensor(self.spacing_mm)


@dataclass(frozen=True)
class View:
    """A case in the frame.

    Attributes:
        case_id: whose view it is.
        placement: how its voxels map into the frame.
        image: `(1, *G)`, mean over channels.
        inside: `(1, *G)`, weights of the data term: 0 outside the field of view or masked, else 1.
        signed: `(K, *G)` clipped signed distances of the shared structures (negative inside), or None.
        trust: how far the signed distances count: 1 for a label, less for a prediction.
    """

    case_id: str
    placement: Placement
    image: Tensor
    inside: Tensor
    signed: Tensor | None
    trust: float


@dataclass(frozen=True)
class Moments:
    """Centroid and root mean square radius of a case's structures, and their reach, in mm of the case.

    `parts` `(K, D)` are the centroids of the single structures, seen from the common one.
    """

    centre_mm: tuple[float, ...]
    radius_mm: float
    reach_mm: tuple[float, ...]
    parts: Tensor


def with_structures(cases: Sequence[PreparedCase]) -> list[PreparedCase]:
    """The labelled cases that hold a structure; all cases when none does.

    One case without any, of a healthy patient, would leave no structure that all share.
    """
    return [case for case in cases if case.label is not None and bool(case.label.any())] or list(cases)


def sort_structures(
    labels: Sequence[Tensor], structures: Mapping[str, int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The values found in every label, whose topology can be compared between the cases, and all others found."""
    found = [set(torch.unique(label).tolist()) for label in labels]
    shared = tuple(v for v in sorted(structures.values()) if found and all(v in values for values in found))
    return shared, tuple(sorted(set().union(*found) - {0, *shared}))


def moments(label: Tensor, values: Sequence[int], spacing_mm: Sequence[float]) -> Moments | None:
    """Moments of the structures of these values in a label `(*S)`; None when there is none of them."""
    spacing = torch.tensor(spacing_mm, dtype=torch.float64)
    counts = _voxels_along_axes(label, values)
    places = [torch.arange(n) * s for n, s in zip(label.shape, spacing, strict=True)]
    each = counts[0].sum(dim=1)
    if not bool(each.any()):
        return None
    sums = torch.stack([c.double() @ x for c, x in zip(counts, places, strict=True)], dim=1)
    centre = sums.sum(dim=0) / each.sum()
    offsets = [x - c for x, c in zip(places, centre, strict=True)]
    together = [c.sum(dim=0) for c in counts]
    spread = sum(float(c.double() @ x**2) for c, x in zip(together, offsets, strict=True))
    reach = tuple(float(x[c > 0].abs().max()) for c, x in zip(together, offsets, strict=True))
    radius = math.sqrt(spread / float(each.sum()))
    parts = torch.where(each[:, None] > 0, sums / each.clamp(min=1)[:, None] - centre, 0.0)
    return Moments(tuple(centre.tolist()), max(radius, min(spacing_mm)), reach, parts.float())


def moments_of_image(shape: Sequence[int], spacing_mm: Sequence[float]) -> Moments:
    """What places a case by its whole image `(*S)`: the middle of its extent, at no size of its own."""
    middle = tuple((n - 1) * s / 2 for n, s in zip(shape, spacing_mm, strict=True))
    return Moments(middle, 1.0, middle, torch.zeros(1, len(middle)))


def _voxels_along_axes(label: Tensor, values: Sequence[int]) -> list[Tensor]:
    """For each axis of a label `(*S)` how many voxels of each value lie at each place, `(K, n)`."""
    counts = [torch.zeros(len(values), n, dtype=torch.int64) for n in label.shape]
    dims = range(label.ndim)
    for start in range(0, len(label), _SLAB):  # no copies of a whole volume
        slab = label[start : start + _SLAB]
        for k, value in enumerate(values):
            inside = slab == value
            counts[0][k, start : start + len(slab)] = inside.sum(dim=tuple(dims)[1:])
            for axis in dims[1:]:
                counts[axis][k] += inside.sum(dim=tuple(d for d in dims if d != axis))
    return counts


def common_parts(found: Sequence[Moments], radius_mm: float, rounds: int = 3) -> Tensor:
    """Where the group's structures lie `(K, D)`, in mm at the common size: a Procrustes mean."""
    scaled = [m.parts / bounded_scale(m.radius_mm / radius_mm) for m in found]
    mean = torch.stack(scaled).mean(dim=0)
    for _ in range(rounds):
        mean = torch.stack([p @ rotation_onto(p, mean, radius_mm).T for p in scaled]).mean(dim=0)
    return mean


def rotation_onto(parts: Tensor, target: Tensor, radius_mm: float) -> Tensor:
    """The rotation `(D, D)` that brings centroids `(K, D)` near the target's, held back towards none.

    Source: Kabsch, "A solution for the best rotation to relate two sets of vectors", Acta Cryst. A 1976,
    with a multiple of the identity added to the covariance.
    """
    covariance = target.T @ parts / max(len(parts), 1)
    left, _, right = torch.linalg.svd(covariance + UPRIGHT * radius_mm**2 * torch.eye(parts.shape[1]))
    sign = torch.ones(parts.shape[1])
    sign[-1] = torch.sign(torch.linalg.det(left @ right))
    return left @ torch.diag(sign) @ right


def make_frame(
    found: Sequence[Moments], shapes: Sequence[Sequence[int]], spacing_mm: Sequence[float], radius_mm: float
) -> Frame:
    """The box that holds every case's structures with room around them, within what the images show."""
    extents = []
    for axis, spacing in enumerate(spacing_mm):
        seen = float(np.median([shape[axis] * spacing for shape in shapes]))
        scales = [bounded_scale(m.radius_mm / radius_mm) for m in found]
        needed = max((4.0 * m.reach_mm[axis] / s for m, s in zip(found, scales, strict=True)), default=seen)
        extents.append(max(min(seen, needed), 3.0 * spacing))
    points = _grid_shape(extents, spacing_mm)
    nodes = tuple(max(4, math.ceil((n + 1) / 2)) for n in points)
    return Frame(_box(extents, points), _box(extents, nodes))


def bounded_scale(scale: float) -> float:
    """A scale kept within `LARGEST_SCALE` either way."""
    return min(max(scale, 1.0 / LARGEST_SCALE), LARGEST_SCALE)


def _box(extents: Sequence[float], points: Sequence[int]) -> Lattice:
    steps = tuple(e / (n - 1) for e, n in zip(extents, points, strict=True))
    return Lattice(tuple(-e / 2 for e in extents), steps, tuple(points))


def _grid_shape(extents: Sequence[float], spacing_mm: Sequence[float]) -> tuple[int, ...]:
    """Points per axis: equal steps within the budget, but no finer than the voxels."""
    dims = len(extents)
    steps = [0.0] * dims
    free, budget = set(range(dims)), float(GRID_POINTS[dims])
    while free:
        step = (math.prod(extents[a] for a in free) / budget) ** (1.0 / len(free))
        coarser = {a for a in free if spacing_mm[a] >= step}
        for axis in coarser or free:
            steps[axis] = max(step, spacing_mm[axis])
            budget /= max(extents[axis] / steps[axis], 1.0)
        free -= coarser or set(free)
    return tuple(min(160, max(4, round(e / s) + 1)) for e, s in zip(extents, steps, strict=True))


def place(found: Moments, spacing_mm: Sequence[float], radius_mm: float, parts: Tensor) -> Placement:
    """The placement that brings the centroid to 0, the radius to the common one, structures near `parts`."""
    scale = bounded_scale(found.radius_mm / radius_mm)
    rotation = rotation_onto(found.parts / scale, parts, radius_mm)
    return Placement.centring(found.centre_mm, spacing_mm, scale, rotation)


def resample(volume: Tensor, placement: Placement, grid: Lattice) -> tuple[Tensor, Tensor]:
    """A case's `(C, *S)` on the frame's grid `(C, *G)`, averaged where the grid is coarser, and `inside`."""
    points = placement.to_voxels(grid.nodes_mm())
    steps = [h * placement.scale / s for h, s in zip(grid.step_mm, placement.spacing_mm, strict=True)]
    factor = [max(1, min(int(step), n)) for step, n in zip(steps, volume.shape[1:], strict=True)]
    shape = torch.tensor(volume.shape[1:], dtype=torch.float32)
    inside = ((points >= -0.5) & (points <= shape - 0.5)).all(dim=-1)[None].float()
    if max(factor) > 1:
        pool = F.avg_pool2d if volume.ndim == 3 else F.avg_pool3d
        volume = pool(volume[None].float(), factor)[0]
        points = (points - (torch.tensor(factor) - 1) / 2) / torch.tensor(factor)
    unit = 2.0 * points / (torch.tensor(volume.shape[1:]) - 1).clamp(min=1) - 1.0
    values = FieldReader(volume.float())(unit.reshape(-1, grid.dims).T.flip(0).contiguous())
    return values.reshape(-1, *grid.shape), inside


def signed_distances(occupancy: Tensor, lattice: Lattice, band_mm: float) -> Tensor:
    """Clipped signed distances in units of `band_mm`, `(K, *G)`, of occupancies in [0, 1]."""
    result = np.empty(occupancy.shape, dtype=np.float32)
    step = np.asarray(lattice.step_mm)
    for k, share in enumerate(occupancy.numpy()):
        solid = share >= 0.5
        if not solid.any():
            result[k] = 1.0
            continue
        half = 0.5 * float(step.min())
        outside = distance_transform_edt(~solid, sampling=step) - half
        within = distance_transform_edt(solid, sampling=step) - half
        result[k] = np.where(solid, -within, outside) / band_mm
    return torch.from_numpy(result).clamp(-1.0, 1.0)


def look_at(
    case: PreparedCase,
    placement: Placement,
    frame: Frame,
    shared: Sequence[int],
    masked: Sequence[int] = (),
    chances: Tensor | None = None,
) -> View:
    """The view of a case.

    Args:
        case: with a label, or without.
        placement: where it lies.
        frame: the common frame.
        shared: structure values with a signed distance each.
        masked: structure values that only some cases have; their surroundings do not count.
        chances: class probabilities `(K, *S)` of an image without a label.
    """
    image, inside = resample(case.image.float().mean(dim=0, keepdim=True), placement, frame.grid)
    signed, trust = None, 0.0
    values = [*shared, *masked]
    if case.label is not None and values:
        each = (case.label == v for v in values)
        trust = 1.0
    elif chances is not None and shared:
        each = (chances[v : v + 1] for v in shared)
        trust = float(2.0 * chances.amax(dim=0)[chances[1:].amax(dim=0) > 0.3].mean().nan_to_num(0.5) - 1.0)
    else:
        return View(case.case_id, placement, image, inside, None, 0.0)
    # one structure at a time: all of them together are many copies of a large volume
    occupancy = torch.cat([resample(one.float(), placement, frame.grid)[0] for one in each])
    if case.label is not None:
        occupancy = _never_gone(occupancy)
    if shared:
        signed = signed_distances(occupancy[: len(shared)], frame.grid, BAND * frame.size_mm)
    if len(occupancy) > len(shared):
        odd = occupancy[len(shared) :].amax(dim=0, keepdim=True)[None]
        grow = F.max_pool2d if frame.grid.dims == 2 else F.max_pool3d
        inside = inside * (grow(odd, 5, stride=1, padding=2)[0] < 0.25)
    return View(case.case_id, placement, image, inside, signed, max(trust, 0.0))


def _never_gone(occupancy: Tensor) -> Tensor:
    """The shares `(K, *G)` relative to the fullest node where a structure is so thin that it fills no node half."""
    most = occupancy.flatten(1).amax(dim=1).view(-1, *[1] * (occupancy.ndim - 1))
    return torch.where(most < 0.5, occupancy / most.clamp_min(1e-6), occupancy)


def search_placement(case: PreparedCase, start: Placement, frame: Frame, looks_like: Tensor) -> Placement:
    """Shift, scale and rotation under which an image without labels correlates best with `looks_like (1, *G)`."""
    image = case.image.float().mean(dim=0, keepdim=True)
    grid = Lattice(
        frame.grid.origin_mm,
        tuple(e / (n - 1) for e, n in zip(frame.grid.extent_mm, _coarse(frame.grid.shape), strict=True)),
        _coarse(frame.grid.shape),
    )
    target = FieldReader(looks_like)(unit_nodes(grid.shape, looks_like)).reshape(1, *grid.shape)
    best, best_score = start, _correlation(image, start, grid, target)
    for reach in (0.12, 0.06, 0.03):
        for _ in range(3):
            moved = False
            for candidate in _neighbours(best, reach, frame.size_mm):
                score = _correlation(image, candidate, grid, target)
                if score > best_score + 1e-4:
                    best, best_score, moved = candidate, score, True
            if not moved:
                break
    return best


def _coarse(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(max(4, n // 3) for n in shape)


def _neighbours(placement: Placement, reach: float, size_mm: float) -> list[Placement]:
    """The placement shifted along, scaled by and turned about every axis, both ways."""
    dims = len(placement.offset_mm)
    rotation = torch.tensor(placement.rotation)
    centre = (
        -torch.tensor(placement.offset_mm) @ rotation * placement.scale
    )  # what lies at 0, in mm of the case

    def around(point: Tensor, scale: float, turned: Tensor) -> Placement:
        return Placement.centring(point.tolist(), placement.spacing_mm, scale, turned)

    found = []
    for sign in (-1.0, 1.0):
        for axis in range(dims):
            shift = sign * reach * size_mm * torch.eye(dims)[axis]
            found.append(around(centre - shift @ rotation * placement.scale, placement.scale, rotation))
        found.append(around(centre, bounded_scale(placement.scale * (1.0 + sign * reach)), rotation))
        for first, second in combinations(range(dims), 2):
            plane = torch.zeros(dims, dims)
            plane[first, second], plane[second, first] = 1.0, -1.0
            turned = torch.linalg.matrix_exp(sign * TURN * reach * plane) @ rotation
            found.append(around(centre, placement.scale, turned))
    return found


def _correlation(image: Tensor, placement: Placement, grid: Lattice, target: Tensor) -> float:
    """Correlation where the image shows something, less what it leaves of the frame unseen."""
    values, inside = resample(image, placement, grid)
    weight = inside / inside.sum().clamp(min=1.0)
    a = values - (weight * values).sum()
    b = target - (weight * target).sum()
    norm = ((weight * a * a).sum() * (weight * b * b).sum()).sqrt()
    return float((weight * a * b).sum() / norm.clamp(min=1e-6)) * float(inside.mean()) ** 0.5
