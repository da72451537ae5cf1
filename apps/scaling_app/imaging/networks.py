"""The segmentation networks: MONAI's, in 2D and 3D, with instance norm and smooth activations.

Each of `network_table` is made by the function of its name.

Smooth activations (GELU) where the network lets one choose: hypergradients by finite differences need a
loss that is differentiable in the weights. Every network accepts any patch size: `Padded` pads to what
its strides need and crops the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from monai.networks.layers.factories import Conv
from monai.networks.nets import DynUNet, SegResNet, SwinUNETR, UNet
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from scaling_app.imaging.deeplab import DeepLab
from scaling_app.imaging.network_table import NETWORKS
from scaling_app.imaging.resenc import ResidualEncoderUNet

CAPACITIES = {"small": 8, "medium": 16, "large": 32}
"""Channels at full resolution."""

_PLANAR, _WIDEST = 2, 10
_MOST_INSIDE = 32
"""Classes up to which MONAI's U-Net makes them itself: its finest level convolves them all with each other."""
_NORM = ("INSTANCE", {"affine": True})
_ACTIVATION = "GELU"
Strides = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class _Size:
    """What a factory is told: dimensions, channels in and out, width, strides of each level."""

    dims: int
    channels: int
    classes: int
    width: int
    strides: Strides


class _NumbersKept(TorchFunctionMode):
    """Within the meta device, whose tensors hold nothing: the few that a network's making reads do."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)


class Padded(nn.Module):
    """A network that needs sizes divisible by `multiples`, made to take any size `(B, C, *P)`."""

    def __init__(self, network: nn.Module, multiples: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.multiples = tuple(multiples)

    def forward(self, image: Tensor) -> Tensor:
        """Class logits `(B, K, *P)`."""
        sizes = image.shape[2:]
        padded = padded_shape(sizes, self.multiples)
        if padded == tuple(sizes):
            return self.network(image)
        before = [(new - old) // 2 for new, old in zip(padded, sizes, strict=True)]
        after = [new - old - b for new, old, b in zip(padded, sizes, before, strict=True)]
        pads = [pad for axis in reversed(range(len(sizes))) for pad in (before[axis], after[axis])]
        logits = self.network(F.pad(image, pads))
        inside = (..., *(slice(b, b + n) for b, n in zip(before, sizes, strict=True)))
        return logits[inside]


def build_network(
    name: str,
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    capacity: str | int = "small",
    *,
    strides: Strides | None = None,
) -> nn.Module:
    """A new network with random weights, `(B, C, *P) -> (B, K, *P)` for any P.

    Args:
        name: one of `NETWORKS`.
        spatial_dims: 2 or 3.
        capacity: `small`, `medium`, `large`, or the number of channels at full resolution.
        strides: the strides between levels, from `strides_for`; default 2 along every axis, three times.
            Ignored by networks of fixed strides.

    Raises:
        ValueError: unknown network, dimension or capacity.
    """
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}; there are: {', '.join(NETWORKS)}")
    if spatial_dims not in (2, 3):
        raise ValueError(f"networks are 2D or 3D, not {spatial_dims}D")
    if spatial_dims == 3 and NETWORKS[name].planar:
        raise ValueError(f"{name} is a network for pictures and slices; in 3D use another, or dimension 2")
    strides = strides or ((2,) * spatial_dims,) * 3
    width = width_of(capacity)
    size = _Size(spatial_dims, in_channels, out_channels, width, strides)
    build: Callable[[_Size], nn.Module] = globals()[name]
    return Padded(build(size), patch_multiples(name, spatial_dims, strides))


def width_of(capacity: str | int) -> int:
    """Channels at full resolution.

    Raises:
        ValueError: neither a known word nor a positive number.
    """
    width = capacity if isinstance(capacity, int) else CAPACITIES.get(capacity)
    if width is None or width < 1:
        words = ", ".join(CAPACITIES)
        raise ValueError(f"unknown capacity {capacity!r}; use {words} or a number of channels")
    return width


def strides_for(patch: Sequence[int], spacing: Sequence[float], levels: int = 3) -> Strides:
    """Strides of each level: an axis is halved while it is fine and long enough.

    As in nnU-Net (Isensee et al., Nat Methods 18:203, 2021): an axis is left alone while its voxels are
    more than twice as large as the finest, and when fewer than 4 voxels would remain. It also waits while
    it is less than half as long as the longest: files often state no voxel size, and then few slices mean thick ones.
    """
    sizes, voxels = [float(n) for n in patch], [float(x) for x in spacing]
    strides = []
    for _ in range(levels):
        long = [n >= max(8, max(sizes) / 2) for n in sizes]
        finest = min((voxel for voxel, is_long in zip(voxels, long, strict=True) if is_long), default=0.0)
        step = tuple(
            2 if is_long and voxel <= 2 * finest else 1 for voxel, is_long in zip(voxels, long, strict=True)
        )
        if all(s == 1 for s in step):
            step = tuple(2 if n == max(sizes) else 1 for n in sizes)
        strides.append(step)
        sizes = [math.ceil(n / s) for n, s in zip(sizes, step, strict=True)]
        voxels = [voxel * s for voxel, s in zip(voxels, step, strict=True)]
    return tuple(strides)


def patch_multiples(name: str, spatial_dims: int, strides: Strides) -> tuple[int, ...]:
    """What each side of a patch must be divisible by for `name` to need no padding."""
    if (multiple := NETWORKS[name].multiple) is not None:
        return (multiple,) * spatial_dims
    return tuple(math.prod(step[axis] for step in strides) for axis in range(spatial_dims))


def padded_shape(shape: Sequence[int], multiples: Sequence[int]) -> tuple[int, ...]:
    """The smallest shape at or above `shape` that a network with these multiples takes.

    One axis keeps two voxels at the coarsest level: instance norm is undefined over a single one.
    """
    padded = [max(1, -(-n // m)) * m for n, m in zip(shape, multiples, strict=True)]
    if all(n == m for n, m in zip(padded, multiples, strict=True)):
        padded[0] *= 2
    return tuple(padded)


def parameter_count(network: nn.Module) -> int:
    """Number of trainable weights."""
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


@cache
def planned_weights(
    name: str, spatial_dims: int, in_channels: int, out_channels: int, capacity: str | int, strides: Strides
) -> int:
    """Number of trainable weights that `build_network` would make, of which none is."""
    with torch.device("meta"), _NumbersKept():
        network = build_network(name, spatial_dims, in_channels, out_channels, capacity, strides=strides)
    return parameter_count(network)


def memory_format(spatial_dims: int) -> torch.memory_format:
    """Channels-last: the convolutions of these networks run faster with it on CPU and GPU."""
    return torch.channels_last_3d if spatial_dims == 3 else torch.channels_last


def _channels(size: _Size) -> tuple[int, ...]:
    return tuple(size.width * 2**level for level in range(len(size.strides) + 1))


def resunet(size: _Size) -> nn.Module:
    """U-Net with residual units."""
    return _unet(size, residual_units=1)


def unet(size: _Size) -> nn.Module:
    """Plain U-Net."""
    return _unet(size, residual_units=0)


def _unet(size: _Size, residual_units: int) -> nn.Module:
    made = size.classes if size.classes <= _MOST_INSIDE else 2 * size.width
    body = UNet(
        size.dims,
        size.channels,
        made,
        channels=_channels(size),
        strides=size.strides,
        num_res_units=residual_units,
        act=_ACTIVATION,
        norm=_NORM,
    )
    if made == size.classes:
        return body
    return nn.Sequential(body, Conv[Conv.CONV, size.dims](made, size.classes, kernel_size=1))


def swinunetr(size: _Size) -> nn.Module:
    """Swin UNETR."""
    features = max(12, 12 * round(size.width * 1.5 / 12))  # attention heads need multiples of 12
    return SwinUNETR(size.channels, size.classes, feature_size=features, spatial_dims=size.dims)


def segresnet(size: _Size) -> nn.Module:
    """SegResNet."""
    return SegResNet(
        size.dims,
        size.width,
        size.channels,
        size.classes,
        act=_ACTIVATION,
        norm=_NORM,
        blocks_down=(1, 2, 2, 4),
        blocks_up=(1, 1, 1),
    )


def dynunet(size: _Size) -> nn.Module:
    """nnU-Net's network of MONAI."""
    strides = ((1,) * size.dims, *size.strides)
    # an axis that is not yet halved is coarse: no kernel reaches across it
    kernels = [(3,) * size.dims for _ in strides]
    return DynUNet(
        size.dims,
        size.channels,
        size.classes,
        kernel_size=kernels,
        strides=strides,
        upsample_kernel_size=size.strides,
        filters=_channels(size),
        norm_name=_NORM,
        act_name=_ACTIVATION,
    )


def deeplab(size: _Size) -> nn.Module:
    """DeepLab."""
    return DeepLab(size.channels, size.classes, size.width)


def thick_axis(name: str, strides: Strides) -> int | None:
    """The axis across thick slices that a network moves to the front inside; None where it moves none."""
    coarse = [axis for axis, step in enumerate(strides[0]) if step == 1]
    return coarse[0] if NETWORKS[name].keeps_slices and len(coarse) == 1 else None


def resenc(size: _Size) -> nn.Module:
    """Residual encoder at full resolution."""
    levels = range(len(size.strides) + 1)
    coarse = [axis for axis in range(size.dims) if size.strides[0][axis] == 1]
    # while an axis is not halved its voxels are thick: no kernel of the finest levels reaches across it
    kernels = [
        [1 if level < _PLANAR and axis in coarse else 3 for axis in range(size.dims)] for level in levels
    ]
    return ResidualEncoderUNet(
        size.dims,
        size.channels,
        size.classes,
        widths=[size.width * min(2**level, _WIDEST) for level in levels],
        kernels=kernels,
        strides=size.strides,
        coarse_first=thick_axis("resenc", size.strides),
        adds=True,
    )
