"""Searchable cells: a softmax mixture of candidate convolutions, computed as one convolution.

A cell halves or doubles the grid by a mixture `sum_k p_k op_k(x)`, `p = softmax(alpha)`. The candidates
are linear and are normalised only after they are summed, so the mixture is itself one convolution
whose kernel is `sum_k p_k W_k`, each `W_k` padded to the largest kernel around their common centre:

- a *strided* candidate is a convolution of even edge `e` and padding `(e - 2) / 2`: 4, 6, 8 share a centre;
- a *pooled* candidate averages over the stride and then convolves at stride one with odd edge `q`; that
  is a strided kernel of edge `2 q` whose entries come in equal pairs (going up: nearest-neighbour
  upsampling after the convolution).

So the search costs one convolution per cell instead of one per candidate, and the gradient with respect
to `p` and to every candidate's weights stays exact. Axes that are not strided (thin volumes) use the
odd edges `e - 1` and `q` on the same rule.

References:
    H. Liu et al., "DARTS: Differentiable Architecture Search", ICLR 2019, https://arxiv.org/abs/1806.09055
    Y. He et al., "DiNTS: Differentiable Neural Network Topology Search for 3D Medical Image
    Segmentation", CVPR 2021, https://arxiv.org/abs/2103.15954 (anisotropic candidates in 3D)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Direction = Literal["down", "up"]

_CONVOLUTIONS: dict[tuple[Direction, int], Callable[..., Tensor]] = {
    ("down", 2): F.conv2d,
    ("down", 3): F.conv3d,
    ("up", 2): F.conv_transpose2d,
    ("up", 3): F.conv_transpose3d,
}


@dataclass(frozen=True)
class Candidate:
    """One operation of a cell: its kernel's edges on strided axes, and where it strides.

    Attributes:
        name: what a genotype calls it.
        edges: one edge per axis; even when `pooled` is false, odd when it is true.
        pooled: average over the stride (or repeat, going up) and convolve at stride one.
    """

    name: str
    edges: tuple[int, ...]
    pooled: bool = False

    def weight_edges(self, strides: Sequence[int]) -> tuple[int, ...]:
        """The edges of the learned kernel."""
        if self.pooled:
            return self.edges
        return tuple(e if s == 2 else e - 1 for e, s in zip(self.edges, strides, strict=True))

    def span(self, strides: Sequence[int]) -> tuple[int, ...]:
        """The edges of the same operation written as one strided convolution."""
        if not self.pooled:
            return self.weight_edges(strides)
        return tuple(q * s for q, s in zip(self.edges, strides, strict=True))


CANDIDATES: dict[int, tuple[Candidate, ...]] = {
    2: (
        Candidate("strided 4x4", (4, 4)),
        Candidate("strided 6x6", (6, 6)),
        Candidate("strided 8x8", (8, 8)),
        Candidate("pooled 3x3", (3, 3), pooled=True),
    ),
    3: (
        Candidate("strided 4x4x4", (4, 4, 4)),
        Candidate("strided 4x4x2", (4, 4, 2)),
        Candidate("strided 4x2x4", (4, 2, 4)),
        Candidate("strided 2x4x4", (2, 4, 4)),
        Candidate("pooled 1x1x1", (1, 1, 1), pooled=True),
    ),
}
"""The paper's kernels (4, 6, 8 at stride two) and a pooled one in 2D; anisotropic ones in 3D."""


class SearchCell(nn.Module):
    """Halves (`down`) or doubles (`up`) the grid by a mixture of candidates, then norm and GELU.

    Args:
        in_channels, out_channels: of the feature maps.
        strides: 1 or 2 per axis; its length is the number of spatial dimensions.
        direction: `down` or `up`.
    """

    def __init__(self, in_channels: int, out_channels: int, strides: Sequence[int], direction: Direction):
        super().__init__()
        self.strides = tuple(strides)
        self.direction: Direction = direction
        self.candidates = CANDIDATES[len(self.strides)]
        spans = [c.span(self.strides) for c in self.candidates]
        self.edges = tuple(max(axis) for axis in zip(*spans, strict=True))
        channels = (out_channels, in_channels) if direction == "down" else (in_channels, out_channels)
        self.kernels = nn.ParameterList(
            _initial_kernel(channels, c.weight_edges(self.strides), in_channels) for c in self.candidates
        )
        norm = nn.InstanceNorm2d if len(self.strides) == 2 else nn.InstanceNorm3d
        self.norm = norm(out_channels, affine=True)

    def mixture(self, x: Tensor, probabilities: Tensor) -> Tensor:
        """`sum_k p_k op_k(x)` as one convolution.

        Args:
            x: `(B, in_channels, *S)`; strided axes even when going down.
            probabilities: `(candidates,)`. Candidates of probability exactly zero are left out.
        """
        kernel = x.new_zeros(()).expand(1)
        for k, probability in enumerate(probabilities):
            if probability.requires_grad or probability != 0:
                kernel = kernel + probability * self.as_strided_kernel(k)
        padding = [
            (e - 2) // 2 if s == 2 else (e - 1) // 2 for e, s in zip(self.edges, self.strides, strict=True)
        ]
        convolve = _CONVOLUTIONS[self.direction, len(self.strides)]
        return convolve(x, kernel, stride=self.strides, padding=padding)

    def as_strided_kernel(self, k: int) -> Tensor:
        """Candidate `k` written as a strided kernel of the cell's largest edges."""
        candidate, kernel = self.candidates[k], self.kernels[k]
        if candidate.pooled:
            for axis, stride in enumerate(self.strides):
                if stride == 2:
                    kernel = kernel.repeat_interleave(2, dim=2 + axis)
                    kernel = kernel / 2 if self.direction == "down" else kernel
        margins = []
        for edge, span in zip(reversed(self.edges), reversed(candidate.span(self.strides)), strict=True):
            margins += [(edge - span) // 2] * 2
        return F.pad(kernel, margins)

    def forward(self, x: Tensor, probabilities: Tensor) -> Tensor:
        """`(B, in_channels, *S)` to `(B, out_channels, *S')`."""
        return F.gelu(self.norm(self.mixture(x, probabilities)))


def _initial_kernel(channels: tuple[int, int], edges: Sequence[int], fan: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*channels, *edges) / (fan * prod(edges)) ** 0.5)


def level_strides(patch: Sequence[int], levels: int) -> list[tuple[int, ...]]:
    """The strides of each level: an axis is halved while at least 8 voxels of it are left.

    Thin axes keep their voxels; a patch too small to halve anywhere gets no level at all.
    """
    sizes, strides = list(patch), []
    for _ in range(levels):
        step = tuple(2 if size >= 8 else 1 for size in sizes)
        if all(s == 1 for s in step):
            break
        strides.append(step)
        sizes = [-(-size // s) for size, s in zip(sizes, step, strict=True)]
    return strides
