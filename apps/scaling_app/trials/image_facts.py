"""What must be alike in the images of one task, and which image is not like the others.

Most images decide; where as many are of one kind as of another, the first does. Sizes may differ widely within a
task, so only what no choice of scanner explains counts as odd: a header in metres, a thumbnail among slides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from scaling_app.imaging.geometry import Canonical, not_finite, spacing_of

MOST_APART = 1000.0
"""Ratio of the numbers of voxels, or of the volumes, of two images of one task."""

SPACING_APART = 50.0
"""Ratio of their voxel sizes along an axis."""


@dataclass(frozen=True)
class ImageFacts:
    """One image.

    Attributes:
        shape: voxels per axis, canonical order.
        spacing: mm per voxel (pictures: pixels), in the same order.
        channels: values per voxel.
        blank: the value of all voxels, where they have but one.
        not_finite: values that were NaN or infinite.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    channels: int
    blank: float | None = None
    not_finite: int = 0

    @classmethod
    def of(cls, image: MetaTensor) -> ImageFacts:
        """Those of an image `(C, *S)` as `read_image` gives it."""
        return replace(cls.of_header(image), blank=blank_value(image), not_finite=not_finite(image))

    @classmethod
    def of_header(cls, image: MetaTensor) -> ImageFacts:
        """What the header of an image `(C, *S)` tells; its values are not looked at."""
        turn = Canonical.of(image)
        shape, spacing = turn.turn(tuple(image.shape[1:])), turn.turn(spacing_of(image))
        return cls(tuple(map(int, shape)), spacing, int(image.shape[0]))

    @property
    def extent(self) -> str:
        """Its sides in mm, in words."""
        return _by([n * size for n, size in zip(self.shape, self.spacing, strict=True)])

    @property
    def kind(self) -> tuple[int, int]:
        """Dimensions and channels."""
        return len(self.shape), self.channels


@dataclass(frozen=True)
class Usual:
    """An image that most others of the task are like; `tied` if as many are like another one."""

    image: ImageFacts
    tied: bool

    @classmethod
    def among(cls, images: Sequence[ImageFacts]) -> Usual | None:
        """The first of those that most are like; None where there are no images."""
        if not images:
            return None
        logs = np.array([_logs(image) for image in images])
        kinds = np.array([image.kind for image in images])
        alike = [
            int(((kinds == kind).all(1) & (np.abs(logs - log) <= _limits()).all(1)).sum())
            for kind, log in zip(kinds, logs, strict=True)
        ]
        first = int(np.argmax(alike))
        found = cls(images[first], tied=False)
        rivals = (
            n == alike[first] and found.difference(image) for n, image in zip(alike, images, strict=True)
        )
        return cls(images[first], tied=any(rivals))

    def difference(self, image: ImageFacts) -> str | None:
        """What no task could have in common with this image, in words; None if they may be of one task."""
        why = " (there are as many of each: the first decides)" if self.tied else ""
        if image.kind != self.image.kind:
            return (
                f"the image is {kind_words(*image.kind)}, the others are {kind_words(*self.image.kind)}{why}"
            )
        apart = np.abs(np.array(_logs(image)) - np.array(_logs(self.image))) > _limits()
        if apart[:3].any():
            mine, theirs = _by(image.spacing), _by(self.image.spacing)
            return f"the image's voxels are {mine} mm, those of the others about {theirs} mm{why}"
        if apart[3]:
            mine, theirs = _by(image.shape), _by(self.image.shape)
            return f"the image has {mine} voxels, the others have about {theirs}{why}"
        if apart[4]:
            return f"the image measures {image.extent} mm, the others about {self.image.extent}{why}"
        return None


def blank_value(image: torch.Tensor) -> float | None:
    """The value of all voxels, where they have but one."""
    low = float(image.amin())
    return low if low == float(image.amax()) else None


def blank_words(value: float) -> str:
    """What is wrong with an image of one value."""
    return f"every voxel of the image is {value:g}, so that nothing can be seen in it"


def kind_words(dims: int, channels: int) -> str:
    """Dimensions and channels, as in "2D with 3 channels"."""
    return f"{dims}D with {channels} channel{'' if channels == 1 else 's'}"


def _logs(image: ImageFacts) -> tuple[float, ...]:
    """Voxel size along three axes, number of voxels and volume, as logarithms."""
    spacing = [math.log(size) for size in image.spacing]
    voxels = math.log(math.prod(image.shape))
    return (*spacing, *[0.0] * (3 - len(spacing)), voxels, voxels + sum(spacing))


def _limits() -> NDArray[np.float64]:
    return np.log([SPACING_APART] * 3 + [MOST_APART] * 2)


def _by(values: Sequence[float]) -> str:
    return " x ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in values)
