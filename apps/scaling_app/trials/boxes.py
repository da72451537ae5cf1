"""Boxes of voxels: about what a label holds, and about the parts that a coarse look found."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

Box = tuple[slice, ...]
"""A range of voxels along each axis."""


def box_about(mask: Tensor) -> Box | None:
    """The smallest box that holds all of a mask `(*S)`; None where it is empty."""
    sides = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        filled = torch.nonzero(mask.any(dim=others)).flatten()
        if not len(filled):
            return None
        sides.append(slice(int(filled[0]), int(filled[-1]) + 1))
    return tuple(sides)


def widened(box: Box, by: Sequence[int], least: Sequence[int], shape: Sequence[int]) -> Box:
    """A box with so many voxels more on both sides, at least `least` long, inside `shape` where it can be."""
    sides = []
    for side, more, wanted, n in zip(box, by, least, shape, strict=True):
        start, stop = side.start - more, side.stop + more
        short = max(0, wanted - (stop - start))
        start, stop = start - short // 2, stop + short - short // 2
        shift = max(0, -start) - max(0, stop - n)  # one that leaves on both sides is the whole axis
        sides.append(slice(max(0, start + min(shift, 0)), min(n, stop + max(shift, 0))))
    return tuple(sides)


def parts_of(mask: Tensor, by: Sequence[int], least: Sequence[int], most: int | None = None) -> list[Box]:
    """A box about each connected part of a mask `(*S)`, widened, largest part first.

    Two become one as long as that is no larger than both; others may overlap.

    Args:
        by, least: as in `widened`.
        most: parts that get a box, the largest ones; default all.
    """
    parts, count = ndimage.label(mask.numpy(), np.ones((3,) * mask.ndim))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    found = ndimage.find_objects(parts)
    boxes: list[Box] = []
    for index in np.argsort(-sizes, kind="stable")[:most]:
        box, place = widened(found[index], by, least, mask.shape), len(boxes)
        while (k := _that_costs_nothing(box, boxes)) is not None:
            box, place = about_all([box, boxes.pop(k)]), min(place, k)
        boxes.insert(place, box)
    return boxes


def _that_costs_nothing(box: Box, boxes: Sequence[Box]) -> int | None:
    """The first that is, together with this box, no larger than both."""
    for k, other in enumerate(boxes):
        if _volume(about_all([box, other])) <= _volume(box) + _volume(other):
            return k
    return None


def touching(mask: Tensor, found: Tensor) -> Tensor:
    """The connected parts of a mask `(*S)` that share a voxel with another one."""
    parts, count = ndimage.label(mask.numpy(), np.ones((3,) * mask.ndim))
    kept = np.zeros(count + 1, dtype=bool)
    kept[parts[(mask & found).numpy()]] = True
    return torch.from_numpy(kept[parts])


def about_all(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds these."""
    return tuple(
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*boxes, strict=True)
    )


def on_grid(box: Box, shape: Sequence[int], other: Sequence[int]) -> Box:
    """A box in a grid of this shape, in whole voxels of one of another shape that fills the same space."""
    return tuple(
        slice(side.start * m // n, -(-side.stop * m // n))
        for side, n, m in zip(box, shape, other, strict=True)
    )


def _volume(box: Box) -> int:
    return math.prod(side.stop - side.start for side in box)
