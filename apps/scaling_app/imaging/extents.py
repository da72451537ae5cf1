"""How large an image is, and how thick the slices of a flat stack are taken to be."""

from __future__ import annotations

import math
from collections.abc import Sequence

_THINNEST = 0.4
"""Of the size: a stack that is said to be thinner is mostly one whose slices lie further apart than its file says."""


def image_size_mm(extents_mm: Sequence[float]) -> float:
    """The size that shares refer to: geometric mean of the two largest extents.

    A stack of few slices is as large as its slices.
    """
    first, second = sorted(extents_mm)[-2:]
    return math.sqrt(first * second)


def thickened(steps_mm: Sequence[float], extents_mm: Sequence[float]) -> tuple[float, ...]:
    """The steps along each axis, larger along one whose extent is below 0.4 of the size, so that it is that much.

    Args:
        steps_mm: between neighbouring points along each axis.
        extents_mm: the whole length along each axis.
    """
    size = image_size_mm(extents_mm)
    return tuple(
        step * max(1.0, _THINNEST * size / extent) for step, extent in zip(steps_mm, extents_mm, strict=True)
    )
