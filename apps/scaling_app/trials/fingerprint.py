"""What the training cases have in common: voxel sizes, extents, intensities, structures."""

from __future__ import annotations

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scaling_app.imaging.geometry import (
    Canonical,
    label_values,
    read_image,
    read_label,
    same_grid,
    spacing_of,
)
from scaling_app.imaging.label_numbers import numbered, voxel_counts
from scaling_app.imaging.untrusted import ImageError
from scaling_app.trials.boxes import box_about
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.image_facts import kind_words
from scaling_app.trials.label_names import names_in, renumbered, require_agreement
from scaling_app.trials.sides import Lean, leans, mirrored_axes

logger = logging.getLogger(__name__)

_OPENED = 24
_SAMPLED_VOXELS = 200_000
_AIR_HU = -300.0
_CLIP = (0.5, 99.5)


@dataclass(frozen=True)
class Intensity:
    """How intensities become comparable.

    `ct`: clipped to `lower..upper` (percentiles of the structures' voxels over all cases), then
    `(x - mean) / std`. `per_image`: each image and channel clipped to its own percentiles 0.5 and 99.5,
    then to zero mean and unit variance; over the voxels that are not 0 if `nonzero`.
    """

    kind: Literal["ct", "per_image"]
    lower: float | None = None
    upper: float | None = None
    mean: float | None = None
    std: float | None = None
    nonzero: bool = False

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Intensity:
        """From the mapping that `dataclasses.asdict` gives."""
        return cls(**values)

    def apply(self, image: Tensor) -> Tensor:
        """Normalises an image `(C, *S)`, as float32."""
        image = image.float()
        if self.kind == "ct":
            mean, std = self._moments()
            return image.clamp(self.lower, self.upper).sub_(mean).div_(std)
        return torch.stack([self._standardised(channel) for channel in image])

    def undo(self, image: Tensor) -> Tensor:
        """The values before `apply` of kind `ct`, but for what was clipped.

        Raises:
            ValueError: another kind: each image has moments of its own.
        """
        mean, std = self._moments()
        return image * std + mean

    def _moments(self) -> tuple[float, float]:
        if self.mean is None or self.std is None:
            raise ValueError(f"intensities of kind {self.kind} have no mean and deviation in common")
        return self.mean, self.std

    def _standardised(self, channel: Tensor) -> Tensor:
        values = thinned(channel)
        values = values[values != 0] if self.nonzero and bool((values != 0).any()) else values
        low, high = np.percentile(values.numpy(), _CLIP)
        values = values.clamp(low, high).double()
        std = float(values.std()) if values.numel() > 1 else 0.0
        return channel.clamp(low, high).sub_(float(values.mean())).div_(std if std > 1e-8 else 1.0)


@dataclass(frozen=True)
class Fingerprint:
    """Medians over the cases, canonical axes; sizes in mm (pictures: pixels)."""

    median_spacing: tuple[float, ...]
    target_spacing: tuple[float, ...]
    median_shape: tuple[int, ...]
    median_extent_mm: tuple[float, ...]
    channels: int
    intensity: Intensity
    thinnest_mm: float
    """Of the thinnest structure, the mean over its surface of how thick it is; see `_thicknesses`."""
    median_box_mm: tuple[float, ...]
    """Extent of the box about all structures of a case."""
    mirrored: tuple[int, ...]
    """Axes whose sides do not matter; see `sides`."""


@dataclass(frozen=True)
class _CasePrint:
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    channels: int
    low: float
    zeros: float
    foreground: NDArray[np.float32]
    thickness_mm: dict[str, float]
    box_mm: tuple[float, ...] | None
    leans: tuple[Lean, ...]


def found_structures(cases: Sequence[CaseFiles]) -> dict[str, int]:
    """The structures in the labels: names that the files carry, else `structure_<value>`.

    Raises:
        ValueError: no label holds anything but background, or files disagree on what a value is called.
    """
    require_agreement(cases)
    values: set[int] = set()
    names: dict[int, str] = {}
    for case in cases:
        if case.label is not None:
            values |= label_values(renumbered(read_label(case.label), case))
            names = names_in(case) | names
    values.discard(0)
    if not values:
        raise ValueError("no label holds a structure: all voxels of all labels are background")
    taken = Counter(names.values())
    return {
        names[value] if taken[names.get(value, "")] == 1 else f"structure_{value}": value
        for value in sorted(values)
    }


def take_fingerprints(cases: Sequence[CaseFiles], structures: Mapping[str, int]) -> Fingerprint:
    """Opens up to 24 cases, spread evenly over their ids, and takes the medians.

    Raises:
        ValueError: cases of different dimensions or channels, or an image and label on different grids.
        ImageError: an unreadable file.
    """
    ordered = sorted((case for case in cases if case.label is not None), key=lambda case: case.case_id)
    if not ordered:
        raise ValueError("a plan needs at least one labelled case")
    picked = np.unique(np.linspace(0, len(ordered) - 1, min(_OPENED, len(ordered))).round().astype(int))
    prints = [_take(ordered[index], structures) for index in picked]
    kinds: dict[tuple[int, int], list[str]] = defaultdict(list)
    for index, found in zip(picked, prints, strict=True):
        kinds[len(found.shape), found.channels].append(ordered[index].case_id)
    if len(kinds) > 1:
        told = "; ".join(f"{kind_words(*kind)}: {', '.join(names[:5])}" for kind, names in kinds.items())
        raise ValueError(f"the images are of different kinds ({told}); one task needs one kind")
    axes = range(len(prints[0].shape))
    boxes = [p.box_mm for p in prints if p.box_mm is not None] or [(0.0,) * len(axes)]
    spacing = tuple(float(median(p.spacing[axis] for p in prints)) for axis in axes)
    return Fingerprint(
        median_spacing=spacing,
        target_spacing=_target(prints, spacing),
        median_shape=tuple(int(median(p.shape[axis] for p in prints)) for axis in axes),
        median_extent_mm=tuple(
            float(median(p.shape[axis] * p.spacing[axis] for p in prints)) for axis in axes
        ),
        channels=prints[0].channels,
        intensity=_intensity(prints),
        thinnest_mm=_thinnest(prints, structures),
        median_box_mm=tuple(float(median(box[axis] for box in boxes)) for axis in axes),
        mirrored=mirrored_axes([p.leans for p in prints]),
    )


def thinned(values: Tensor, count: int = 1_000_000) -> Tensor:
    """At most about `count` values of a tensor, evenly spaced, flat, from all along every axis."""
    values = torch.as_tensor(values)
    step = max(1, values.numel() // count)
    while math.gcd(step, math.prod(values.shape[1:])) > 1:  # it would meet only some places of the last axes
        step += 1
    return values.reshape(-1)[::step]


def _take(case: CaseFiles, structures: Mapping[str, int]) -> _CasePrint:
    """Read once per process, as long as the files stay as they are: every fold of a curve has a plan of its own."""
    stamps = tuple(file_stamp(file) for file in (case.image, case.label) if file is not None)
    return _read(case, tuple(structures.items()), stamps)


def file_stamp(file: Path) -> tuple[int, int]:
    """Time of change in ns, and size in bytes.

    Raises:
        ImageError: no such file.
    """
    try:
        status = file.stat()
    except OSError as error:
        raise ImageError(f"{file} is not there") from error
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=64)
def _read(
    case: CaseFiles, named: tuple[tuple[str, int], ...], stamps: tuple[tuple[int, int], ...]
) -> _CasePrint:
    structures = dict(named)
    image = read_image(case.image)
    label = renumbered(read_label(case.known_label, image), case)
    if (difference := same_grid(image, label)) is not None:
        raise ValueError(f"case {case.case_id}: {difference}")
    turn = Canonical.of(image)
    spacing = turn.turn(spacing_of(image))
    numbers = torch.from_numpy(numbered(label.as_tensor().numpy(), list(structures.values())))
    turned = turn.apply(numbers)[0]
    turned_image = turn.apply(image.as_tensor())
    first = image.as_tensor()[0]
    values = thinned(first)
    inside = first[numbers[0] > 0]
    thickness = _thicknesses(turned.numpy(), len(structures), spacing)
    return _CasePrint(
        shape=tuple(turned_image.shape[1:]),
        spacing=spacing,
        channels=image.shape[0],
        low=float(np.percentile(values.numpy(), _CLIP[0])),
        zeros=float((values == 0).float().mean()),
        foreground=thinned(inside, _SAMPLED_VOXELS).numpy(),
        thickness_mm=dict(zip(structures, thickness, strict=True)),
        box_mm=_box_mm(turned > 0, spacing),
        leans=leans(turned_image[0].numpy(), turned.numpy(), range(1, len(structures) + 1)),
    )


def _box_mm(mask: Tensor, spacing: tuple[float, ...]) -> tuple[float, ...] | None:
    if (box := box_about(mask)) is None:
        return None
    return tuple((side.stop - side.start) * size for side, size in zip(box, spacing, strict=True))


def _target(prints: Sequence[_CasePrint], spacing: tuple[float, ...]) -> tuple[float, ...]:
    """The median; along an axis of thick slices the finer tenth, so that thin-sliced cases keep detail."""
    coarsest = max(range(len(spacing)), key=lambda axis: spacing[axis])
    if spacing[coarsest] < 3 * min(spacing):
        return spacing
    fine = float(np.percentile([p.spacing[coarsest] for p in prints], 10))
    others = max(size for axis, size in enumerate(spacing) if axis != coarsest)
    return tuple(max(fine, others) if axis == coarsest else size for axis, size in enumerate(spacing))


def _intensity(prints: Sequence[_CasePrint]) -> Intensity:
    is_ct = prints[0].channels == 1 and median(p.low for p in prints) < _AIR_HU
    inside = np.concatenate([p.foreground for p in prints])
    if is_ct and inside.size > 1:
        low, high = np.percentile(inside, _CLIP)
        clipped = np.clip(inside, low, high)
        std = float(clipped.std())
        return Intensity("ct", float(low), float(high), float(clipped.mean()), std if std > 1e-6 else 1.0)
    return Intensity("per_image", nonzero=median(p.zeros for p in prints) > 0.25)


def _thinnest(prints: Sequence[_CasePrint], structures: Mapping[str, int]) -> float:
    found = ([p.thickness_mm[name] for p in prints if p.thickness_mm[name] > 0] for name in structures)
    return min((float(median(values)) for values in found if values), default=math.inf)


def _thicknesses(numbers: NDArray[np.integer[Any]], count: int, spacing: tuple[float, ...]) -> list[float]:
    """Of the structures 1, ..., `count`: 2 V / A in mm, with A the area of the voxels' faces: t for a plate, about 0.4 d
    for a tube and 0.2 d for a ball; 0 where there is none. How thick a single slice is says nothing of what lies in it."""
    volume = voxel_counts(numbers, count)
    sides = [axis for axis in range(numbers.ndim) if numbers.shape[axis] > 1]
    if not sides:
        return [min(spacing) if n else 0.0 for n in volume[1:]]
    voxel, area = math.prod(spacing), np.zeros(count + 1)
    for axis in sides:
        planes = np.moveaxis(numbers, axis, 0)
        differ = planes[1:] != planes[:-1]
        ends = (planes[1:][differ], planes[:-1][differ], planes[0], planes[-1])
        faces = sum(voxel_counts(np.ravel(end), count) for end in ends)
        area += faces * voxel / spacing[axis]
    return [float(2 * int(n) * voxel / a) if n else 0.0 for n, a in zip(volume[1:], area[1:], strict=True)]
