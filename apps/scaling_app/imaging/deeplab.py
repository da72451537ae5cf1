"""DeepLabV3 for pictures: torchvision's, without weights, with group norm and smooth activations.

Batch norm is undefined over the few samples of a small training, and a hypergradient needs a smooth loss,
so norms and activations are exchanged; the network is torchvision's otherwise. torchvision is imported
only when a network is built: it is large, and often a build for another device than PyTorch's.

References:
    L.-C. Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017,
    https://arxiv.org/abs/1706.05587
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor, nn

_BACKBONES = ((16, "deeplabv3_mobilenet_v3_large"), (32, "deeplabv3_resnet50"))
_LARGEST_BACKBONE = "deeplabv3_resnet101"
_GROUPS = 8
_MISSING_OPERATOR = re.compile(r"operator torchvision::(\w+) does not exist")
_SMOOTH: dict[type[nn.Module], type[nn.Module]] = {
    nn.ReLU: nn.GELU,
    nn.Hardswish: nn.SiLU,
    nn.Hardsigmoid: nn.Sigmoid,
}


class DeepLab(nn.Module):
    """`(B, C, H, W)` to logits `(B, K, H, W)`.

    Args:
        channels: C.
        classes: K.
        width: below 16 a MobileNetV3 (11 M weights), below 32 a ResNet-50, else a ResNet-101.

    Raises:
        ValueError: torchvision is missing or does not fit this PyTorch; the message says what to install.
    """

    def __init__(self, channels: int, classes: int, width: int) -> None:
        super().__init__()
        name = next((name for below, name in _BACKBONES if width < below), _LARGEST_BACKBONE)
        build = getattr(segmentation_models(), name)
        self.network = build(weights=None, weights_backbone=None, num_classes=classes, aux_loss=False)
        _exchange(self.network, channels)

    def forward(self, image: Tensor) -> Tensor:
        """Class logits at the image's own resolution."""
        return self.network(image)["out"]


def segmentation_models() -> ModuleType:
    """`torchvision.models.segmentation`.

    A torchvision built for another device than this PyTorch registers none of its operators and then
    refuses to import. DeepLab needs none of them, so the names it asks for are declared, without a
    function behind them.

    Raises:
        ValueError: it cannot be imported even so.
    """
    for _ in range(8):
        try:
            return import_module("torchvision.models.segmentation")
        except ImportError as error:
            raise ValueError("the network deeplab needs torchvision: pip install torchvision") from error
        except RuntimeError as error:
            missing = _MISSING_OPERATOR.search(str(error))
            if missing is None:
                break
            _forget("torchvision")
            torch.library.define(f"torchvision::{missing[1]}", "(Tensor boxes) -> Tensor")
    raise ValueError(
        "torchvision does not fit this PyTorch; install the build for the same device (CPU or CUDA), "
        "or use another network"
    )


def _forget(package: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


def _exchange(network: nn.Module, channels: int) -> None:
    """Other input channels, group norm for batch norm, smooth activations; in place."""
    first = True
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.GroupNorm(_groups(child.num_features), child.num_features))
            elif type(child) in _SMOOTH:
                setattr(parent, name, _SMOOTH[type(child)]())
            elif isinstance(child, nn.Conv2d) and first:
                setattr(parent, name, _with_inputs(child, channels))
            first = first and not isinstance(child, nn.Conv2d)


def _groups(features: int) -> int:
    return next(g for g in range(min(_GROUPS, features), 0, -1) if features % g == 0)


def _with_inputs(convolution: nn.Conv2d, channels: int) -> nn.Conv2d:
    return nn.Conv2d(
        channels,
        convolution.out_channels,
        convolution.kernel_size,
        convolution.stride,
        convolution.padding,
        bias=convolution.bias is not None,
    )
