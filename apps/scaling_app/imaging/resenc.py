"""A residual encoder U-Net with full resolution, skips at every level and kernels that follow the voxels.

The shape is that of nnU-Net's residual presets (Isensee et al., MICCAI 2024); the layers are chosen for work
per second of a processor. Axes are ordered so that thick slices come first: a convolution within slices is
then a dense 2D one. An instance norm is a batch norm of one sample at a time, the same numbers several times faster in
channels-last. The last layer is a matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Steps = Sequence[Sequence[int]]
_EPSILON = 1e-5


class _ByBatchNorm(torch.autograd.Function):
    """Instance norm as a batch norm of each sample, written into one array: no copies between samples."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        out = torch.empty_like(x)
        kept = []
        for given, made in zip(x.split(1), out.split(1), strict=True):
            mean, scale = weight.new_empty(len(weight)), weight.new_empty(len(weight))
            torch.ops.aten.native_batch_norm.out(
                given,
                weight,
                bias,
                None,
                None,
                True,
                0.0,
                _EPSILON,
                out=made,
                save_mean=mean,
                save_invstd=scale,
            )
            kept += [mean, scale]
        ctx.save_for_backward(x, weight, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight, *kept = ctx.saved_tensors
        made = torch.empty_like(x)
        of_weight, of_bias = torch.zeros_like(weight), torch.zeros_like(weight)
        parts = zip(x.split(1), gradient.split(1), made.split(1), kept[::2], kept[1::2], strict=True)
        for given, above, below, mean, scale in parts:
            found, weights, biases = torch.ops.aten.native_batch_norm_backward(
                above, given, weight, None, None, mean, scale, True, _EPSILON, [True] * 3
            )
            below.copy_(found)
            of_weight += weights
            of_bias += biases
        return made, of_weight, of_bias


class SampleNorm(nn.Module):
    """Instance norm with weight and bias of `(B, C, *P)`; keeps the memory format."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, each sample and channel with the mean and deviation of this layer."""
        # what is differentiated twice is computed in double precision
        if x.device.type != "cpu" or x.dtype == torch.float64:
            return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=_EPSILON)
        return _ByBatchNorm.apply(x, self.weight, self.bias)


class _Block(nn.Module):
    """Two convolutions with a short cut; the first one strides."""

    def __init__(
        self, dims: int, given: int, width: int, kernel: Sequence[int], stride: Sequence[int]
    ) -> None:
        super().__init__()
        self.first = _conv(dims, given, width, kernel, stride)
        self.norm, self.act = SampleNorm(width), nn.GELU()
        self.second = _conv(dims, width, width, kernel)
        self.second_norm = SampleNorm(width)
        strided = any(s > 1 for s in stride)
        pool = (nn.AvgPool2d if dims == 2 else nn.AvgPool3d)(tuple(stride)) if strided else nn.Identity()
        self.short = nn.Sequential(pool, _conv(dims, given, width, (1,) * dims)) if given != width else pool

    def forward(self, x: Tensor) -> Tensor:
        inner = self.second_norm(self.second(self.act(self.norm(self.first(x)))))
        return self.act(inner + self.short(x))


class _Up(nn.Module):
    """To the next finer level: the coarse map, spread, plus or beside the skip, through one convolution."""

    def __init__(
        self, dims: int, coarse: int, width: int, kernel: Sequence[int], stride: Sequence[int], adds: bool
    ) -> None:
        super().__init__()
        convolution = nn.ConvTranspose2d if dims == 2 else nn.ConvTranspose3d
        self.spread = convolution(coarse, width, tuple(stride), tuple(stride))
        self.mix = _conv(dims, width if adds else 2 * width, width, kernel)
        self.norm, self.act = SampleNorm(width), nn.GELU()
        self.adds = adds

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        spread = self.spread(coarse)
        both = spread + skip if self.adds else torch.cat((spread, skip), dim=1)
        return self.act(self.norm(self.mix(both)))


class ResidualEncoderUNet(nn.Module):
    """`(B, C, *P) -> (B, K, *P)`; sides of P are multiples of the strides' products.

    Args:
        widths: channels of each level, finest first.
        kernels: kernel sizes of each level.
        strides: between the levels, one fewer.
        blocks: residual blocks of each level of the encoder.
        coarse_first: the axis that is moved to the front inside, or None.
        adds: skips are added instead of set beside: less work.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        classes: int,
        widths: Sequence[int],
        kernels: Steps,
        strides: Steps,
        blocks: Sequence[int] | None = None,
        coarse_first: int | None = None,
        adds: bool = False,
    ) -> None:
        super().__init__()
        blocks = blocks or (1,) * len(widths)
        self.order = _order(dims, coarse_first)
        turned = [[step[axis] for axis in self.order] for step in strides]
        sizes = [[kernel[axis] for axis in self.order] for kernel in kernels]
        self.stem = _conv(dims, channels, widths[0], sizes[0])
        self.stem_norm, self.act = SampleNorm(widths[0]), nn.GELU()
        self.levels, self.ups, given = nn.ModuleList(), nn.ModuleList(), widths[0]
        for width, kernel, stride, count in zip(widths, sizes, [[1] * dims, *turned], blocks, strict=True):
            first = _Block(dims, given, width, kernel, stride)
            more = (_Block(dims, width, width, kernel, [1] * dims) for _ in range(count - 1))
            self.levels.append(nn.Sequential(first, *more))
            given = width
        for level in reversed(range(len(strides))):
            self.ups.append(_Up(dims, widths[level + 1], widths[level], sizes[level], turned[level], adds))
        self.head = nn.Linear(widths[0], classes)

    def forward(self, image: Tensor) -> Tensor:
        """Class logits."""
        dims = image.ndim - 2
        layout = torch.channels_last_3d if dims == 3 else torch.channels_last
        x = image.permute(0, 1, *(axis + 2 for axis in self.order)).contiguous(memory_format=layout)
        x = self.act(self.stem_norm(self.stem(x)))
        skips = []
        for level in self.levels:
            x = level(x)
            skips.append(x)
        skips.pop()
        for up in self.ups:
            x = up(x, skips.pop())
        logits = self.head(x.movedim(1, -1))
        return logits.permute(0, dims + 1, *(self.order.index(axis) + 1 for axis in range(dims)))


def _order(dims: int, first: int | None) -> list[int]:
    return [*range(dims)] if first is None else [first, *(axis for axis in range(dims) if axis != first)]


def _conv(
    dims: int, given: int, width: int, kernel: Sequence[int], stride: Sequence[int] | None = None
) -> nn.Module:
    convolution = nn.Conv2d if dims == 2 else nn.Conv3d
    padding = tuple(k // 2 for k in kernel)
    return convolution(given, width, tuple(kernel), tuple(stride or (1,) * dims), padding, bias=False)
