"""Trainings of a small segmenter on discs in rings, with GenSeg taking part."""

from __future__ import annotations

import torch
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from torch import Tensor, nn

from scaling_app.strategies.base import Batch, PreparedCase, StrategyContext
from scaling_app.strategies.generative import GenSeg
from scaling_app.strategies.making import make_strategy

PATCH = (32, 32)
STEPS = 40
STRUCTURES = {"inner": 2, "outer": 1}


def dice_ce(logits: Tensor, label: Tensor) -> Tensor:
    return DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)(
        logits.float(), label
    )


def disc_case(index: int, patch=PATCH, patient: str | None = None, constant: bool = False) -> PreparedCase:
    """A bright disc in a ring in noise, on a grid a little larger than the patch."""
    g = torch.Generator().manual_seed(index)
    shape = [n + 6 for n in patch]
    grid = torch.stack(torch.meshgrid(*[torch.arange(n).float() for n in shape], indexing="ij"), -1)
    centre = torch.tensor(shape) / 2 + 3 * torch.randn(len(shape), generator=g)
    distance = (grid - centre).norm(dim=-1)
    label = (distance < 11).to(torch.uint8) + (distance < 6).to(torch.uint8)
    image = torch.zeros(shape) if constant else label.float() + 0.3 * torch.randn(shape, generator=g)
    return PreparedCase(f"case{index}", patient or f"patient{index}", image[None], label[None])


def context(steps: int = STEPS, patch=PATCH, **options: str) -> StrategyContext:
    return StrategyContext(
        spatial_dims=len(patch),
        spacing=(1.0,) * len(patch),
        patch=patch,
        structures=STRUCTURES,
        seed=0,
        steps=steps,
        options={f"genseg_{key}": value for key, value in options.items()},
    )


def new_network(dims: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return UNet(dims, 1, 3, (4, 8), (2,), norm="INSTANCE", act="GELU")


def batch_of(cases: list[PreparedCase], step: int, patch=PATCH, size: int = 4) -> Batch:
    chosen = [cases[(step * size + i) % len(cases)] for i in range(size)]
    box = (slice(None), *(slice(3, 3 + n) for n in patch))
    return Batch(
        torch.stack([c.image[box] for c in chosen]),
        torch.stack([c.label[box] for c in chosen]),
        tuple(c.case_id for c in chosen),
    )


def run(strategy, network, cases, steps, patch=PATCH, optimizer=None) -> list[float]:
    optimizer = optimizer or torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for step in steps:
        optimizer.zero_grad()
        loss = strategy.loss(network, dice_ce, batch_of(cases, step, patch), step)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def prepared(cases, patch=PATCH, steps=STEPS, proof="false", **options) -> GenSeg:
    """Generated pairs count from the first outer step on, unless `proof` is asked for."""
    strategy = make_strategy("genseg")
    strategy.prepare(cases, context(steps, patch, proof=proof, **options))
    return strategy
