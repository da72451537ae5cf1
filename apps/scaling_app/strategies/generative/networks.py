"""The searchable mask-to-image generator and the patch discriminator of GenSeg.

The generator is a small U-Net whose down and up steps are searchable cells (`cells.py`). It sees the
one-hot mask, a low-pass version of a real image warped like the mask (its *context*; a mask says
nothing about the rest of the body) and a field of noise, and returns

    x = context + detail + gain * noise.

The noise is the image's own texture, normalised and moved elsewhere (`texture_noise`): a generator
trained on a few images for a few hundred steps paints means, and an image that is smooth round every
label would teach the segmenter to look for smoothness.
Everything is smooth (GELU, instance norm), because the hypergradient is a derivative.

References:
    L. Zhang et al., "Generative AI enables medical image segmentation in ultra low-data regimes",
    Nature Communications 16:6486 (2025), https://arxiv.org/abs/2408.17421
    P. Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017,
    https://arxiv.org/abs/1611.07004 (generator with skips, patch discriminator)
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import torch
from monai.networks.blocks import Convolution
from torch import Tensor, nn
from torch.nn import functional as F

from scaling_app.strategies.generative.cells import CANDIDATES, SearchCell, level_strides


class SearchableGenerator(nn.Module):
    """Mask and context to image: `x = context + detail + gain * noise`, see above.

    Args:
        classes: K, background included.
        channels: C, of the image.
        patch: the training patch; it decides which axes are halved how often.
        width: feature channels after the first halving, doubled per level; at full resolution there are
            half as many, in one cell and one convolution: that is where the time goes.
        levels: the most halvings; fewer where the patch is small.
        context: whether the low-pass image is an input and the base of the output.
    """

    chosen: Tensor

    def __init__(
        self,
        classes: int,
        channels: int,
        patch: Sequence[int],
        *,
        width: int = 16,
        levels: int = 2,
        context: bool = True,
    ) -> None:
        super().__init__()
        self.classes, self.channels, self.context = classes, channels, context
        self.strides = level_strides(patch, levels)
        inputs = classes + channels + (channels if context else 0)
        down = [inputs, *(width * 2**level for level in range(len(self.strides)))]
        up = [max(4, width // 2), *down[1:-1]]
        dims = len(patch)
        self.down = nn.ModuleList(
            SearchCell(a, b, s, "down") for a, b, s in zip(down, down[1:], self.strides, strict=False)
        )
        self.middle = _smooth_convolution(dims, down[-1], down[-1])
        self.up = nn.ModuleList()
        features = down[-1]
        for level in reversed(range(len(self.strides))):
            self.up.append(SearchCell(features, up[level], self.strides[level], "up"))
            features = up[level] + down[level]
        self.head = Convolution(dims, features, 2 * channels, kernel_size=3, conv_only=True)
        cells = 2 * len(self.strides)
        candidates = len(CANDIDATES[dims]) if cells else 0
        self.architecture = nn.Parameter(1e-3 * torch.randn(cells, candidates))
        self.register_buffer("chosen", torch.zeros(cells, candidates, dtype=torch.bool))

    def weight_parameters(self) -> list[nn.Parameter]:
        """Every parameter but the architecture weights."""
        return [p for p in self.parameters() if p is not self.architecture]

    def probabilities(self) -> Tensor:
        """`(cells, candidates)`: the softmax of the architecture weights, or the chosen ones."""
        if bool(self.chosen.any()):
            return self.chosen.to(self.architecture.dtype)
        return self.architecture.softmax(-1)

    def forward(self, one_hot: Tensor, context: Tensor | None, noise: Tensor) -> Tensor:
        """One image per mask.

        Args:
            one_hot: `(B, K, *P)`, floating.
            context: `(B, C, *P)`, the low-pass image, or None for a generator without context.
            noise: `(B, C, *P)`.

        Returns:
            `(B, C, *P)`.
        """
        mean, gain = self.mean_and_gain(one_hot, context, noise)
        return mean + gain * noise

    def mean_and_gain(self, one_hot: Tensor, context: Tensor | None, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The parts of `forward`: `context + detail`, and how strong the noise is, both `(B, C, *P)`."""
        inputs = [one_hot, noise] if context is None else [one_hot, noise, context]
        x, crop = self._padded(torch.cat(inputs, 1))
        p = self.probabilities()
        skips = []
        for cell, row in zip(self.down, p, strict=False):
            skips.append(x)
            x = cell(x, row)
        x = x + self.middle(x)
        for cell, row in zip(self.up, p[len(self.down) :], strict=True):
            x = torch.cat([cell(x, row), skips.pop()], 1)
        detail, gain = self.head(x)[crop].chunk(2, 1)
        return (detail if context is None else context + detail), F.softplus(gain - 1)

    def discretise(self) -> list[str]:
        """Keeps the likeliest candidate of every cell for good; returns their names."""
        with torch.no_grad():
            best = self.architecture.argmax(-1, keepdim=True)
            self.chosen.zero_().scatter_(1, best, True)
        return self.genotype()

    def genotype(self) -> list[str]:
        """The likeliest candidate of every cell, down cells first."""
        cells = [*self.down, *self.up]
        best = self.architecture.argmax(-1).tolist() if cells else []
        return [f"{cell.direction} {cell.candidates[k].name}" for cell, k in zip(cells, best, strict=True)]

    def entropy(self) -> float:
        """Mean entropy of the cells' distributions as a share of the greatest possible, in [0, 1]."""
        if self.architecture.numel() == 0:
            return 0.0
        p = self.probabilities().detach().clamp_min(1e-12)
        return float(-(p * p.log()).sum(-1).mean() / log(p.shape[1]))

    def _padded(self, x: Tensor) -> tuple[Tensor, tuple[slice, ...]]:
        """Pads the far sides to a multiple of the total stride; returns the slices that undo it."""
        sizes = x.shape[2:]
        total = [1] * len(sizes)
        for strides in self.strides:
            total = [t * s for t, s in zip(total, strides, strict=True)]
        margins = [-size % t for size, t in zip(sizes, total, strict=True)]
        if not any(margins):
            return x, _crop(sizes)
        pads = [side for margin in reversed(margins) for side in (0, margin)]
        return F.pad(x, pads, mode="replicate"), _crop(sizes)


class PatchDiscriminator(nn.Module):
    """Says for every neighbourhood of a (mask, image) pair how real it looks: one logit each.

    Two strided convolutions and a last one: a receptive field of about 20 voxels on strided axes.
    """

    def __init__(self, classes: int, channels: int, patch: Sequence[int], *, width: int = 12) -> None:
        super().__init__()
        features, layers = classes + channels, []
        for level, strides in enumerate(level_strides(patch, 2)):
            out = width * 2**level
            kernel = tuple(4 if s == 2 else 3 for s in strides)
            layers += [
                _convolution(len(patch), features, out, kernel, strides),
                nn.GELU(),
            ]
            features = out
        layers += [_smooth_convolution(len(patch), features, features)]
        layers += [Convolution(len(patch), features, 1, kernel_size=3, conv_only=True)]
        self.layers = nn.Sequential(*layers)

    def forward(self, one_hot: Tensor, image: Tensor) -> Tensor:
        """`(B, K, *P)` and `(B, C, *P)` to logits `(B, 1, *P')`."""
        return self.layers(torch.cat([one_hot, image], 1))


def low_pass(image: Tensor, factors: Sequence[int]) -> Tensor:
    """What stays of `(B, C, *P)` after averaging over `factors` voxels per axis, back on its grid."""
    dims = image.dim() - 2
    pool = F.avg_pool2d if dims == 2 else F.avg_pool3d
    edges = [min(f, size) for f, size in zip(factors, image.shape[2:], strict=True)]
    coarse = pool(image, edges, ceil_mode=True)
    mode = "bilinear" if dims == 2 else "trilinear"
    # whole blocks, then cropped: the last one may reach beyond the patch
    size = [n * edge for n, edge in zip(coarse.shape[2:], edges, strict=True)]
    whole = F.interpolate(coarse, size=size, mode=mode, align_corners=False)
    return whole[_crop(image.shape[2:])]


def texture_energy(image: Tensor, factors: Sequence[int]) -> Tensor:
    """How strong the detail that `low_pass` drops is in each place of `(B, C, *P)`."""
    return low_pass(torch.sqrt((image - low_pass(image, factors)) ** 2 + 1e-4), factors)


def texture_noise(image: Tensor, factors: Sequence[int], generator: torch.Generator) -> Tensor:
    """Noise with the texture of `image (B, C, *P)` but not in its places; values of about one.

    The detail that `low_pass` drops, divided by its local strength and moved by a random shift; what
    leaves at one side comes back mirrored, so that no seam shows.
    """
    texture = (image - low_pass(image, factors)) / texture_energy(image, factors)
    moved = []
    for sample in texture.clamp(-2.5, 2.5):
        for axis, n in enumerate(sample.shape[1:], start=1):
            shift = int(torch.randint(2 * n, (), generator=generator))
            index = (torch.arange(n) + shift) % (2 * n)
            sample = sample.index_select(axis, torch.minimum(index, 2 * n - 1 - index).to(sample.device))
        moved.append(sample)
    return torch.stack(moved)


def neighbourhood(one_hot: Tensor, radii: Sequence[int]) -> Tensor:
    """A soft mask `(B, 1, *P)` in [0, 1] of the foreground and what surrounds it.

    One up to about `radii` voxels around the foreground, falling to zero at about three times that.
    Computed on blocks of a third of the radius: it is smooth anyway.
    """
    dims = one_hot.dim() - 2
    grow = F.max_pool2d if dims == 2 else F.max_pool3d
    blur = F.avg_pool2d if dims == 2 else F.avg_pool3d
    blocks = [max(1, r // 3) for r in radii]
    mask = grow(1 - one_hot[:, :1], blocks, ceil_mode=True)
    radii = [-(-r // block) for r, block in zip(radii, blocks, strict=True)]
    for axis, r in enumerate(radii):  # boxes are separable: one axis at a time
        edges, margins = [1] * dims, [0] * dims
        edges[axis], margins[axis] = 4 * r + 1, 2 * r
        mask = grow(mask, edges, stride=1, padding=margins)
    for axis, r in enumerate(radii):
        edges, margins = [1] * dims, [0] * dims
        edges[axis], margins[axis] = 2 * r + 1, r
        mask = blur(mask, edges, stride=1, padding=margins, count_include_pad=False)
    mode = "bilinear" if dims == 2 else "trilinear"
    size = [n * block for n, block in zip(mask.shape[2:], blocks, strict=True)]
    whole = F.interpolate(mask, size=size, mode=mode, align_corners=False)
    return whole[_crop(one_hot.shape[2:])]


def _crop(sizes: Sequence[int]) -> tuple[slice, ...]:
    """The first `sizes` voxels of `(B, C, *P)`."""
    return (slice(None), slice(None), *(slice(0, size) for size in sizes))


def _smooth_convolution(dims: int, inputs: int, outputs: int) -> Convolution:
    return Convolution(
        dims,
        inputs,
        outputs,
        kernel_size=3,
        act="GELU",
        norm=("INSTANCE", {"affine": True}),
        adn_ordering="NA",
    )


def _convolution(
    dims: int, inputs: int, outputs: int, kernel: Sequence[int], strides: Sequence[int]
) -> nn.Module:
    return Convolution(
        dims, inputs, outputs, kernel_size=kernel, strides=strides, padding=[1] * dims, conv_only=True
    )
