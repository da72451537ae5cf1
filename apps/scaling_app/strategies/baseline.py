"""`none` and `baseline`: no augmentation, and the one that everyone uses.

The baseline is the shared affine map and nnU-Net-like intensity changes (Isensee et al., Nat Methods
18:203, 2021): noise, blur, brightness, contrast, low resolution, gamma; each sample gets each with its
own probability.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from monai.networks.layers import GaussianFilter
from torch import Tensor
from torch.nn import functional as F

from scaling_app.strategies.base import Strategy

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


class NoAugmentation(Strategy):
    """Patches as they are."""

    name: ClassVar[str] = "none"
    affine = False


class Baseline(Strategy):
    """Random affine maps and intensity changes."""

    name: ClassVar[str] = "baseline"

    def appearance(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """New intensities for `(B, C, *P)`; see `vary_intensity`."""
        return vary_intensity(image, generator)


def vary_intensity(image: Tensor, generator: torch.Generator) -> Tensor:
    """nnU-Net-like intensity changes of a normalised batch `(B, C, *P)`, drawn for each sample.

    Deterministic given the generator's state. The input is left as it is.
    """
    return torch.stack([_vary(sample, generator) for sample in image])


def _vary(sample: Tensor, generator: torch.Generator) -> Tensor:
    sample = sample.clone()
    if _chance(generator, 0.1):
        sample += torch.randn(sample.shape, generator=generator) * math.sqrt(_between(generator, 0, 0.1))
    if _chance(generator, 0.2):
        blur = GaussianFilter(sample.ndim - 1, _between(generator, 0.5, 1.0), truncated=3.0)
        sample = blur(sample[None])[0].detach()
    if _chance(generator, 0.15):
        sample *= _between(generator, 0.75, 1.25)
    if _chance(generator, 0.15):
        sample = _contrast(sample, _between(generator, 0.75, 1.25))
    if _chance(generator, 0.25):
        sample = _low_resolution(sample, _between(generator, 0.5, 1.0))
    if _chance(generator, 0.1):
        sample = -_gamma(-sample, _between(generator, 0.7, 1.5))
    if _chance(generator, 0.3):
        sample = _gamma(sample, _between(generator, 0.7, 1.5))
    return sample


def _contrast(sample: Tensor, factor: float) -> Tensor:
    low, high, mean = sample.amin(), sample.amax(), sample.mean()
    return ((sample - mean) * factor + mean).clamp(low, high)


def _low_resolution(sample: Tensor, zoom: float) -> Tensor:
    sizes = sample.shape[1:]
    smaller = [max(2, round(n * zoom)) if n >= 8 else n for n in sizes]
    coarse = F.interpolate(sample[None], size=smaller, mode="nearest-exact")
    return F.interpolate(coarse, size=sizes, mode=_MODES[len(sizes)], align_corners=False)[0]


def _gamma(sample: Tensor, gamma: float) -> Tensor:
    """Gamma on the sample's own range; mean and deviation stay."""
    low, high = sample.amin(), sample.amax()
    if float(high - low) < 1e-6:
        return sample
    mean, std = sample.mean(), sample.std()
    bent = ((sample - low) / (high - low)).clamp_(0, 1).pow_(gamma)
    return (bent - bent.mean()) / bent.std().clamp_min(1e-6) * std + mean


def _chance(generator: torch.Generator, probability: float) -> bool:
    return bool(torch.rand((), generator=generator) < probability)


def _between(generator: torch.Generator, low: float, high: float) -> float:
    return low + float(torch.rand((), generator=generator)) * (high - low)
