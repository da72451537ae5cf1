"""Multilinear reading of a field at many points, fast on CPUs too.

PyTorch's CPU kernel for 3D `grid_sample` is scalar while the one for 2D is vectorised. So on the CPU a
volume is laid out as one tall picture, slice under slice, whose channels are doubled by the slice above:
one bilinear reading and one linear blend between the two halves give the trilinear value. The blocks of
points are small enough for the cache.

Unit points run from -1 (centre of the first node) to 1 (last node) along each axis, in `grid_sample`'s
reversed order of components (x, y, z for an array indexed z, y, x), stored component first: `(D, P)`.
Outside, the border value continues.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 65536
"""Points per block where no gradient is wanted."""

LARGEST_PICTURE = 2**25
"""Fields of more elements are not laid out twice: `grid_sample` reads them as they are."""
TALLEST_PICTURE = 2**19
"""Nor are fields of more rows: a row's place among them would be rounded by hundredths of it."""


class FieldReader:
    """Reads one field `(C, *G)` again and again; differentiable in the field and in the points."""

    def __init__(self, field: Tensor) -> None:
        self.shape = field.shape[1:]
        self.channels = field.shape[0]
        flat = field.ndim == 4 and field.device.type == "cpu" and field.numel() <= LARGEST_PICTURE
        flat = flat and field.shape[1] * (field.shape[2] + 1) <= TALLEST_PICTURE
        self._picture = _as_picture(field) if flat else None
        self._field = field

    def __call__(self, points: Tensor) -> Tensor:
        """Values `(C, P)` at unit points `(D, P)`."""
        if self._picture is not None:
            return self._read_picture(self._picture, points)
        dims = len(self.shape)
        grid = points.T.reshape(1, *([1] * (dims - 1)), -1, dims)
        values = F.grid_sample(self._field[None], grid, padding_mode="border", align_corners=True)
        return values.reshape(self.channels, -1)

    def _read_picture(self, picture: Tensor, points: Tensor) -> Tensor:
        slices, height, _ = self.shape
        depth = ((points[2] + 1.0) * (0.5 * (slices - 1))).clamp(0.0, slices - 1.0)
        below = depth.detach().floor().clamp(max=max(slices - 2, 0))
        row = ((points[1] + 1.0) * (0.5 * (height - 1))).clamp(0.0, height - 1.0) + below * (height + 1)
        rows = slices * (height + 1)
        grid = torch.stack([points[0], row * (2.0 / (rows - 1)) - 1.0], dim=-1)
        values = F.grid_sample(picture, grid[None, None], padding_mode="border", align_corners=True)
        values = values.reshape(2 * self.channels, -1)
        return torch.lerp(values[: self.channels], values[self.channels :], (depth - below)[None])


def _as_picture(field: Tensor) -> Tensor:
    """`(1, 2C, Z * (Y + 1), X)`: each slice closed by a copy of its last row, and its upper neighbour."""
    channels, slices, height, width = field.shape
    picture = field.new_empty(2 * channels, slices, height + 1, width)
    own, above = picture[:channels], picture[channels:]
    own[:, :, :-1], own[:, :, -1] = field, field[:, :, -1]
    above[:, :-1], above[:, -1] = own[:, 1:], own[:, -1]
    return picture.reshape(1, 2 * channels, slices * (height + 1), width)


def read_on_grid(field: Tensor, axes: list[Tensor]) -> Tensor:
    """Values `(C, *S)` of a field `(C, *G)` on a rectangular grid of points: one small matrix per axis.

    Args:
        field: values on nodes.
        axes: for each array axis the unit coordinates `(S_i,)` of the grid's points.
    """
    for axis, unit in enumerate(axes):
        nodes = field.shape[axis + 1]
        at = ((unit + 1.0) * (0.5 * (nodes - 1))).clamp(0.0, nodes - 1.0)
        hats = (1.0 - (at[:, None] - torch.arange(nodes, dtype=at.dtype, device=at.device)).abs()).clamp(
            min=0.0
        )
        field = torch.tensordot(field, hats, dims=([axis + 1], [1])).movedim(-1, axis + 1)
    return field
