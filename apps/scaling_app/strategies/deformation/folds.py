"""Does a sampled map fold? The complete finite-difference test: 10 determinants in 3D, 4 in 2D.

A grid cell with its corners moved is a union of simplices. Its interior may fold although the central
difference Jacobian is positive, so all simplices are looked at: one at each corner (4 in 2D, 8 in 3D) and,
in 3D, the two that remain in the middle of the cell. All must keep their orientation. Liu et al., "On
Finite Difference Jacobian Computation in Deformable Image Registration", IJCV 2024,
https://arxiv.org/abs/2212.06060.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor


def cell_determinants(positions: Tensor) -> Tensor:
    """Signed relative volumes of the simplices of every grid cell; all positive means no fold.

    Args:
        positions: moved grid points `(*S, D)`, in steps of the grid, D = 2 or 3.

    Returns:
        `(4, *(S - 1))` in 2D, `(10, *(S - 1))` in 3D; the identity gives ones.

    Raises:
        ValueError: fewer than two points along an axis, or D is neither 2 nor 3.
    """
    dims = positions.shape[-1]
    if dims not in (2, 3) or positions.ndim != dims + 1 or min(positions.shape[:-1]) < 2:
        raise ValueError(
            f"positions must be (*S, D) with D = 2 or 3 and two points per axis, got {tuple(positions.shape)}"
        )
    parts = positions.movedim(-1, 0).contiguous()  # each component in one piece
    along = [parts.diff(dim=axis + 1) for axis in range(dims)]
    volumes = [
        _determinant([_at(edges, corner, but=axis) for axis, edges in enumerate(along)])
        for corner in product((0, 1), repeat=dims)
    ]
    if dims == 3:
        for base, sign in (((0, 0, 0), -0.5), ((1, 1, 1), 0.5)):
            here = _at(parts, base)
            ends = [tuple(b if a == kept else 1 - b for a, b in enumerate(base)) for kept in (2, 1, 0)]
            volumes.append(sign * _determinant([_at(parts, end) - here for end in ends]))
    return torch.stack(volumes)


def _at(values: Tensor, corner: tuple[int, ...], but: int | None = None) -> Tensor:
    """Values `(D, *S)` at that corner of every cell; along the axis `but` there is one for each cell already."""
    index: list[slice] = [slice(None)]
    index += (
        slice(None) if axis == but else slice(b, n - 1 + b)
        for axis, (b, n) in enumerate(zip(corner, values.shape[1:], strict=True))
    )
    return values[tuple(index)]


def _determinant(rows: list[Tensor]) -> Tensor:
    """Of D rows `(D, *S)`, written out: with `torch.linalg.cross` it takes three times as long on a processor."""
    if len(rows) == 2:
        (a, b), (c, d) = rows
        return a * d - b * c
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * (e * i - f * h) + b * (f * g - d * i) + c * (d * h - e * g)


def count_folds(determinants: Tensor) -> int:
    """Number of grid cells in which at least one simplex lost its orientation, by their `cell_determinants`."""
    return int((determinants <= 0).any(dim=0).sum())


def jacobian(positions: Tensor) -> Tensor:
    """Relative volume `(*(S - 1))` of each cell: the mean of its corner determinants."""
    return cell_determinants(positions)[: 2 ** positions.shape[-1]].mean(dim=0)


def voxel_grid(shape: tuple[int, ...], device: torch.device | None = None) -> Tensor:
    """The grid points `(*S, D)` of an image, in voxels."""
    axes = [torch.arange(n, dtype=torch.float32, device=device) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
