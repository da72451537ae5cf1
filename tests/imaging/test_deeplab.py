"""DeepLab is torchvision's network, made to train on a few pictures of any number of channels."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from scaling_app.imaging import deeplab


@pytest.mark.parametrize("channels", [1, 3])
def test_it_maps_pictures_of_any_size_to_logits_and_learns(channels) -> None:
    torch.manual_seed(0)
    network = deeplab.DeepLab(channels, 4, 8)
    image = torch.randn(1, channels, 45, 70)
    logits = network(image)
    assert logits.shape == (1, 4, 45, 70)
    logits.square().mean().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert not any(isinstance(m, (nn.BatchNorm2d, nn.ReLU, nn.Hardswish)) for m in network.modules())


def test_a_missing_torchvision_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.models.segmentation", None)
    with pytest.raises(ValueError, match="pip install torchvision"):
        deeplab.DeepLab(1, 2, 8)


def test_a_torchvision_that_does_not_fit_is_explained(monkeypatch) -> None:
    def broken(name: str) -> None:
        raise RuntimeError("Failed to load the C extension")

    monkeypatch.setattr(deeplab, "import_module", broken)
    with pytest.raises(ValueError, match="same device"):
        deeplab.DeepLab(1, 2, 8)


def test_importing_the_module_does_not_import_torchvision() -> None:
    import subprocess

    code = "import sys, scaling_app.imaging.deeplab; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
