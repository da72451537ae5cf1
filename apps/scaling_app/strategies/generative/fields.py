r"""Intensities as another scanner might give them: random smooth fields whose strengths are learned.

A generator trained on a few cases paints what these few look like. Generated images, and every other
validation image, therefore pass through

    x -> g . c(x) + o,

`c` a monotone curve of the image's own range, `g` a smooth gain and `o` a smooth offset, drawn anew for every
image and channel. A label stays right under all three. As in task-driven augmentation (Chaitanya et al.) how
strong they are is decided by the validation loss through the segmenter's step: the strengths `exp(psi)` are
outer parameters beside the architecture weights, and the map is differentiable in them. Validation images that
have passed through fields stand for another scanner (a shift simulated in training, Li et al.), so that the
search rewards what holds there, too; the others stand for this one.

The curve is a Bernstein polynomial with increasing coefficients: smooth and monotone whatever is drawn. Gain and
offset are sums of the lowest cosines along each axis.

References:
    K. Chaitanya et al., "Semi-supervised task-driven data augmentation for medical image segmentation",
    Medical Image Analysis 68:101934 (2021), https://arxiv.org/abs/2007.05363
    D. Li et al., "Learning to Generalize: Meta-Learning for Domain Generalization", AAAI 2018,
    https://arxiv.org/abs/1710.03463
    L. Zhang et al., Nature Communications 16:6486 (2025), https://arxiv.org/abs/2408.17421 (generated images are
    varied in intensity before the segmenter sees them)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

KINDS = ("curve", "gain", "offset")
STRENGTHS = (1.0, 0.3, 0.4)
"""Standard deviations at full amplitude: of the log-increments of the curve, the log-gain, the offset (in
standard deviations of a normalised image)."""

_DEGREE = 6
_COSINES = 4  # along each axis, the constant included
_SHARE = 0.5  # of images that a kind touches
_PSI_RANGE = (-1.5, 0.7)


class FieldNoise(NamedTuple):
    """One draw for each image: `curve (B, C, degree)`, `gain` and `offset (B, C, *cosines)`."""

    curve: Tensor
    gain: Tensor
    offset: Tensor


class IntensityFields(nn.Module):
    """The random map of intensities; its three strengths may be learned."""

    def __init__(self) -> None:
        super().__init__()
        self.log_strength = nn.Parameter(torch.zeros(len(KINDS)))

    def draw(self, image: Tensor, generator: torch.Generator) -> FieldNoise:
        """Fresh noise for `image (B, C, *P)`: each kind in half of the images, of uniform amplitude; on the CPU."""
        batch, channels, *sizes = image.shape
        shapes = ((_DEGREE,), *[[min(_COSINES, n) for n in sizes]] * 2)
        drawn = []
        for shape in shapes:
            noise = torch.randn((batch, channels, *shape), generator=generator)
            touched = torch.rand(batch, generator=generator) < _SHARE
            amplitude = torch.rand(batch, generator=generator) * touched
            drawn.append(noise * amplitude.reshape(batch, *[1] * (noise.dim() - 1)))
        return FieldNoise(*drawn)

    def forward(self, image: Tensor, noise: FieldNoise) -> Tensor:
        """`image (B, C, *P)`, normalised, as another scanner might have it; differentiable in image and strengths."""
        curve, gain, offset = (
            size * strength for size, strength in zip(STRENGTHS, self.log_strength.exp(), strict=True)
        )
        sizes = image.shape[2:]
        bent = _bent(image, curve * noise.curve)
        return bent * torch.exp(gain * _spread(noise.gain, sizes)) + offset * _spread(noise.offset, sizes)

    def keep_in_range(self) -> None:
        """Bounds the strengths: a fifth to twice those at the start."""
        with torch.no_grad():
            self.log_strength.clamp_(*_PSI_RANGE)

    def strengths(self) -> dict[str, float]:
        """The present strength of each kind, 1 at the start."""
        return dict(zip(KINDS, self.log_strength.detach().exp().tolist(), strict=True))


def _bent(image: Tensor, increments: Tensor) -> Tensor:
    """A monotone curve on each channel's own range, its mean and deviation kept.

    Args:
        image: `(B, C, *P)`.
        increments: `(B, C, degree)`, logarithms of the polynomial's steps; all equal is no change.
    """
    axes = tuple(range(2, image.dim()))
    low, high = image.detach().amin(axes, keepdim=True), image.detach().amax(axes, keepdim=True)
    span = (high - low).clamp_min(1e-6)
    share = ((image - low) / span).clamp(0, 1)
    heights = increments.softmax(-1).cumsum(-1)
    bent = torch.zeros_like(image)
    for k in range(1, _DEGREE + 1):
        height = heights[..., k - 1].reshape(*heights.shape[:2], *[1] * len(axes))
        bent = bent + height * math.comb(_DEGREE, k) * share**k * (1 - share) ** (_DEGREE - k)
    mean, deviation = image.mean(axes, keepdim=True), image.std(axes, keepdim=True)
    own = (bent - bent.mean(axes, keepdim=True)) / bent.std(axes, keepdim=True).clamp_min(1e-6)
    return own * deviation + mean


def _spread(weights: Tensor, sizes: torch.Size) -> Tensor:
    """`weights (B, C, *cosines)` of the lowest cosines as a field `(B, C, *sizes)` of about unit variance."""
    field = weights
    for axis, n in enumerate(sizes, start=2):
        at = (torch.arange(n, dtype=weights.dtype, device=weights.device) + 0.5) / n
        waves = torch.arange(weights.shape[axis], dtype=weights.dtype, device=weights.device)
        basis = torch.cos(math.pi * at[:, None] * waves) / math.sqrt(len(waves))
        field = torch.tensordot(field, basis, dims=([axis], [1])).movedim(-1, axis)
    return field
