"""Whole volumes read through a deformation, block by block: fast on CPUs, plain `grid_sample` on GPUs.

On the CPU the first factor is read on the regular grid by one small matrix per axis, the others at the
moved points; image and label are read while the block is still in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from scaling_app.strategies.deformation.folds import voxel_grid
from scaling_app.strategies.deformation.interpolation import BLOCK, FieldReader, read_on_grid
from scaling_app.strategies.deformation.velocity import Deformation, Flow, Lattice


def warp_volumes(volumes: Sequence[Tensor], linear: Sequence[bool], deformation: Deformation) -> list[Tensor]:
    """Each volume `(C, *S)` read at the deformed voxels of its grid, the border continued.

    Args:
        volumes: of one spatial shape and device.
        linear: per volume; False reads the nearest voxel, so that no label value is invented. Whole numbers are
            rounded to.
        deformation: in voxels of the volumes.

    Raises:
        ValueError: the shapes differ.
    """
    shapes = {tuple(volume.shape[1:]) for volume in volumes}
    if len(shapes) != 1:
        raise ValueError(f"volumes that are deformed together must have one shape, got {sorted(shapes)}")
    (shape,) = shapes
    if volumes[0].device.type == "cpu":
        return _warp_in_blocks(volumes, linear, deformation, shape)
    points = deformation(voxel_grid(shape, volumes[0].device))
    sizes = torch.tensor(shape, device=points.device)
    grid = ((2.0 * points + 1.0) / sizes - 1.0).flip(-1)[None]
    return [
        _stored_as(
            volume.dtype,
            F.grid_sample(
                volume[None].float(),
                grid,
                mode="bilinear" if smooth else "nearest",
                padding_mode="border",
                align_corners=False,
            )[0],
        )
        for volume, smooth in zip(volumes, linear, strict=True)
    ]


def _stored_as(dtype: torch.dtype, values: Tensor) -> Tensor:
    """The values in that type, rounded where it holds whole numbers only."""
    if values.is_floating_point() and not dtype.is_floating_point:
        values = values.round()
    return values.to(dtype)


def _warp_in_blocks(
    volumes: Sequence[Tensor], linear: Sequence[bool], deformation: Deformation, shape: tuple[int, ...]
) -> list[Tensor]:
    readers: list[Callable[[Tensor], Tensor]] = [
        FieldReader(volume.float()) if smooth else _Nearest(volume)
        for volume, smooth in zip(volumes, linear, strict=True)
    ]
    results = [torch.empty(len(v), v[0].numel(), dtype=v.dtype) for v in volumes]
    like = torch.empty(0)
    flows = [flow for flow in deformation.flows if flow.repeats]
    fields = [flow.reader(like) for flow in flows]
    # voxels -> unit points of the lattice -> unit points of the volume, all per axis or per matrix
    lattice = flows[0].lattice if flows else Lattice((0.0,) * len(shape), (1.0,) * len(shape), shape)
    anchor = flows[0] if flows else Flow(lattice, like, 0, 0.0)
    into, shift, back = deformation.unit_frame(anchor, like)
    ends = torch.tensor([max(n - 1, 1) for n in reversed(shape)], dtype=torch.float32)[:, None]
    out = back.flip(0) * (2.0 / ends)
    out_shift = -out @ shift - 1.0
    rows = shape[0]
    per_block = max(1, BLOCK * rows // max(1, volumes[0][0].numel()))
    for first in range(0, rows, per_block):
        last = min(rows, first + per_block)
        points = _start(shape, (first, last), into, shift)
        for index, (flow, reader) in enumerate(zip(flows, fields, strict=True)):
            if index == 0 and not flow.inverted and _is_diagonal(into):
                points = points + _first_factor(flow, shape, (first, last), into, shift)
                points = flow.move(points, reader, flow.repeats - 1)
            else:
                points = flow.move(points, reader)
        unit = torch.addmm(out_shift, out, points)
        span = slice(first * unit.shape[1] // (last - first), last * unit.shape[1] // (last - first))
        for read, result in zip(readers, results, strict=True):
            result[:, span] = _stored_as(result.dtype, read(unit))
    return [r.reshape(v.shape) for r, v in zip(results, volumes, strict=True)]


class _Nearest:
    """Reads the nearest voxel of a volume `(C, *S)` at unit points `(D, P)`."""

    def __init__(self, volume: Tensor) -> None:
        self._shape = volume.shape[1:]
        self._flat = volume.reshape(len(volume), -1)

    def __call__(self, points: Tensor) -> Tensor:
        exact = torch.float32 if self._flat.shape[1] <= 2**24 else torch.float64
        index = torch.zeros(points.shape[1], dtype=exact)
        for nodes, unit in zip(self._shape, points.flip(0), strict=True):
            at = (unit + 1.0).mul_(0.5 * (nodes - 1)).round_().clamp_(0.0, nodes - 1.0)
            index.mul_(nodes).add_(at)
        return self._flat.index_select(1, index.long())


def _axes(shape: tuple[int, ...], rows: tuple[int, int], into: Tensor, shift: Tensor) -> list[Tensor]:
    """Unit coordinates of the grid's axes under a diagonal `into`."""
    axes = []
    for axis, nodes in enumerate(shape):
        begin, end = rows if axis == 0 else (0, nodes)
        place = len(shape) - 1 - axis
        axes.append(torch.arange(begin, end, dtype=torch.float32) * into[place, axis] + shift[place, 0])
    return axes


def _start(shape: tuple[int, ...], rows: tuple[int, int], into: Tensor, shift: Tensor) -> Tensor:
    """Unit points `(D, P)` of a slab of voxels."""
    if _is_diagonal(into):
        axes = _axes(shape, rows, into, shift)
        return torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1]).flatten(1)
    axes = [torch.arange(*(rows if a == 0 else (0, n)), dtype=torch.float32) for a, n in enumerate(shape)]
    return into @ torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1) + shift


def _first_factor(
    flow: Flow, shape: tuple[int, ...], rows: tuple[int, int], into: Tensor, shift: Tensor
) -> Tensor:
    return read_on_grid(flow.unit_displacement, _axes(shape, rows, into, shift)).flatten(1)


def _is_diagonal(into: Tensor) -> bool:
    """Whether array axis i goes with unit component D - 1 - i alone."""
    flipped = into.flip(0)
    return bool((flipped - torch.diag(flipped.diagonal())).abs().max() == 0)
