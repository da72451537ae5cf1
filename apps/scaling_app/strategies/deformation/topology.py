"""Topology of label masks: connected components and Euler number of the union of closed voxels.

Neighbours touch at a face, an edge or a corner. In 3D, chi = components - tunnels + cavities; in 2D,
components - holes.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def euler_number(mask: NDArray[Any]) -> int:
    """V - E + F - C of the cells of a mask `(*S)`, 2D or 3D."""
    padded = np.pad(mask.astype(bool), 1)
    total = 0
    for thick in product((0, 1), repeat=mask.ndim):  # along a thin axis two voxels share the cell
        cells = padded
        for axis, is_thick in enumerate(thick):
            if not is_thick:
                cells = np.logical_or(
                    np.take(cells, range(1, cells.shape[axis]), axis),
                    np.take(cells, range(cells.shape[axis] - 1), axis),
                )
        total += (-1) ** sum(thick) * int(cells.sum())
    return total


def components(mask: NDArray[Any]) -> int:
    """Number of connected components."""
    return int(ndimage.label(mask, structure=np.ones((3,) * mask.ndim))[1])


def cavities(mask: NDArray[Any]) -> int:
    """Number of closed cavities, in 2D holes: parts of the rest, joined at faces, that do not reach the border."""
    inverse, count = ndimage.label(~mask.astype(bool))
    edges = [np.take(inverse, end, axis) for axis in range(mask.ndim) for end in (0, -1)]
    return count - len(set().union(*map(np.unique, edges)) - {0})


def touches_border(mask: NDArray[Any]) -> bool:
    """Whether a mask reaches the border of its image, which cuts what lies beyond."""
    return any(bool(np.take(mask, end, axis).any()) for axis in range(mask.ndim) for end in (0, -1))


def signature(mask: NDArray[Any]) -> tuple[int, int]:
    """`(components, Euler number)`."""
    return components(mask), euler_number(mask)


def is_thick(mask: NDArray[Any], voxels: float = 3.0) -> bool:
    """Whether a grid can show a mask's topology: neither it nor a gap in it is thinner than so many voxels.

    Balls of that diameter must come within 3/4 of a voxel, a digital corner, of every voxel of the mask and
    of the rest.
    """
    padded = np.pad(mask.astype(bool), int(voxels) + 2)
    return bool(mask.any()) and _filled(padded, voxels) and _filled(~padded, voxels)


def _filled(mask: NDArray[Any], voxels: float) -> bool:
    deep = ndimage.distance_transform_edt(mask) > voxels / 2
    return bool(deep.any()) and bool((ndimage.distance_transform_edt(~deep)[mask] <= voxels / 2 + 0.75).all())
