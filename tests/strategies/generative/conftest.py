"""A small differentiable world in float64: segmenter, generator and pairs with known randomness."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from torch import Tensor, nn

from scaling_app.strategies.base import PreparedCase
from scaling_app.strategies.generative.hypergradient import FrozenSegmenter, Pairs, training_gradient
from scaling_app.strategies.generative.networks import SearchableGenerator, low_pass

from ...coarse import coarse_registrations
from .trainings import disc_case

__all__ = ["coarse_registrations"]

CLASSES = 3


def dice_ce(logits: Tensor, label: Tensor) -> Tensor:
    """The segmentation loss of these tests: smooth, multi-class."""
    return DiceCELoss(to_onehot_y=True, softmax=True, include_background=False)(logits, label)


def one_hot(label: Tensor, classes: int = CLASSES) -> Tensor:
    """`(B, 1, *P)` integers to `(B, K, *P)` float64."""
    return torch.nn.functional.one_hot(label[:, 0].long(), classes).movedim(-1, 1).double()


def nested_blobs(seed: int, dims: int, edge: int, batch: int = 2) -> Pairs:
    """A ball in a shell, brighter inside, in noise."""
    g = torch.Generator().manual_seed(seed)
    centre = 0.35 + 0.3 * torch.rand(batch, dims, generator=g, dtype=torch.float64)
    axis = torch.linspace(0, 1, edge, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(*[axis] * dims, indexing="ij"), -1)
    distance = (grid[None] - centre.reshape(batch, *[1] * dims, dims)).norm(dim=-1)[:, None]
    label = (distance < 0.32).to(torch.uint8) + (distance < 0.18).to(torch.uint8)
    image = label.double() - 0.5 + 0.2 * torch.randn(label.shape, generator=g, dtype=torch.float64)
    return Pairs(image, label)


@dataclass
class World:
    """One segmenter step with everything that enters it."""

    network: nn.Module
    generator: SearchableGenerator
    real: Pairs
    validation: Pairs
    source: Pairs
    noise: Tensor
    pair_weights: Tensor
    step_size: float = 0.1

    def generated(self) -> Tensor:
        """The generated images of the source's masks."""
        context = low_pass(self.source.image, [4] * (self.source.image.dim() - 2))
        return self.generator(one_hot(self.source.label), context, self.noise)

    def objective(self) -> float:
        """F: the validation loss after one plain gradient step, by ordinary autograd; no shortcut."""
        frozen = FrozenSegmenter(self.network)
        synthetic = Pairs(self.generated().detach(), self.source.label)
        gradient = training_gradient(frozen, dice_ce, self.real, synthetic, self.pair_weights)
        ahead = frozen.moved(gradient, -self.step_size)
        with torch.no_grad():
            return float(frozen.loss(ahead, dice_ce, self.validation))


def make_world(dims: int) -> World:
    """The world in 2D (32^2) or 3D (16^3)."""
    torch.manual_seed(0)
    edge = {2: 32, 3: 16}[dims]
    network = UNet(dims, 1, CLASSES, (4, 8, 8), (2, 2), norm="INSTANCE", act="GELU").double()
    generator = SearchableGenerator(CLASSES, 1, [edge] * dims, width=4).double()
    source = nested_blobs(3, dims, edge)
    return World(
        network=network,
        generator=generator,
        real=nested_blobs(1, dims, edge),
        validation=nested_blobs(2, dims, edge),
        source=source,
        noise=torch.randn(source.image.shape, dtype=torch.float64),
        pair_weights=torch.tensor([0.7, 0.3], dtype=torch.float64),
    )


@pytest.fixture(params=[2, 3], ids=["2D", "3D"])
def world(request: pytest.FixtureRequest) -> World:
    """Both dimensions."""
    return make_world(request.param)


@pytest.fixture
def cases() -> list[PreparedCase]:
    """Four patients."""
    return [disc_case(i) for i in range(4)]
