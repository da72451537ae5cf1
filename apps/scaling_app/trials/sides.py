"""Whether sides matter: along which axes cases may be mirrored is learned from them, not assumed.

A case leans to a side where its image is brighter there, or where its structures lie there. Where all cases lean the
same way, a mirrored one would be no such case: a heart with the right ventricle on the left. Where they lean now to
one side and now to the other, as cells under a microscope do, nothing tells a mirrored case from another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_app.imaging.label_numbers import numbered

_FEWEST = 4
"""Cases from which a common side can be told from chance."""
_LEAN = 0.8
"""Mean over deviation from which cases lean the same way. Nine public data sets: up to 0.5 along the axes of cells, nuclei,
axons and across an ultrasound beam; from 1.2 along the axes of hearts, hippocampi and along the beam."""
_TOLERANCE = 0.01
"""Of a case's extent: what a voxel more on one side does is no side."""
_VOXELS_A_SIDE = 128
_ALONE = " alone"

Lean = Mapping[str, float]
"""What lies on which side of an axis: -0.5 at the low end, 0.5 at the high one."""


def leans(
    image: NDArray[np.float32], label: NDArray[np.integer[Any]], values: Sequence[int]
) -> tuple[Lean, ...]:
    """How a case leans along each axis.

    Args:
        image: `(*S)`, of any unit.
        label: `(*S)`.
        values: of the structures.
    """
    thin = tuple(slice(None, None, -(-n // _VOXELS_A_SIDE)) for n in image.shape)
    image, numbers = image[thin].astype(np.float64), numbered(label[thin], values)
    low, high = np.percentile(image, (0.5, 99.5))
    bright = np.clip(image, low, high) - low
    inside = numbers > 0
    places = np.nonzero(inside)
    axes = []
    for axis in range(image.ndim):
        lean = {"brightness": _centre(bright, axis)}
        if len(places[0]):
            middle = lean["structures"] = _centre(inside, axis)
            lean["brightness inside"] = _centre(np.where(inside, bright, 0), axis) - middle
            if len(values) > 1:
                of_each = _profiles(numbers[inside], places[axis], len(values), image.shape[axis])
                # one of a pair that is alone is in the middle of what is there, but not of the image
                alone = np.count_nonzero(of_each.any(1)) == 1
                kind, among = (_ALONE, 0.0) if alone else ("", middle)
                lean |= {
                    f"{value}{kind}": _centre_of(profile) - among
                    for value, profile in zip(values, of_each, strict=True)
                    if profile.any()
                }
        axes.append(lean)
    return tuple(axes)


def mirrored_axes(cases: Sequence[Sequence[Lean]]) -> tuple[int, ...]:
    """The axes along which sides do not matter; none where too few cases, or too few of a structure, tell."""
    return tuple(axis for axis in range(len(cases[0])) if _is_even([case[axis] for case in cases]))


def _is_even(cases: Sequence[Lean]) -> bool:
    told = {what for case in cases for what in case}
    for what in told:
        values = np.array([case[what] for case in cases if what in case])
        if len(values) < _FEWEST:
            if what.endswith(_ALONE) and what.removesuffix(_ALONE) in told:
                continue  # how it lies among the others tells, or does not
            return False
        if abs(values.mean()) >= _LEAN * np.hypot(values.std(ddof=1), _TOLERANCE):
            return False
    return True


def _centre(weights: NDArray[np.generic], axis: int) -> float:
    """Centre of mass along an axis, -0.5 to 0.5; 0 where nothing weighs."""
    return _centre_of(weights.sum(axis=tuple(other for other in range(weights.ndim) if other != axis)))


def _profiles(
    numbers: NDArray[np.integer[Any]], places: NDArray[np.intp], count: int, length: int
) -> NDArray[np.int64]:
    """Voxels `(count, length)` of each structure at each place of an axis."""
    at = (numbers.astype(np.int64) - 1) * length + places
    return np.bincount(at, minlength=count * length).reshape(count, length)


def _centre_of(profile: NDArray[Any]) -> float:
    total = float(profile.sum())
    places = (np.arange(len(profile)) + 0.5) / len(profile) - 0.5
    return float(profile @ places) / total if total > 0 else 0.0
