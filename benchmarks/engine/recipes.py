"""The candidates: what a training does, in plain values, and the network it builds.

`CANDIDATES` names one change at a time to the recipe it is measured beside; `recipe("name")` resolves it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from scaling_app.imaging.networks import Padded, build_network, strides_for
from scaling_app.imaging.resenc import ResidualEncoderUNet
from scaling_app.trials.plan import Plan

Steps = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Recipe:
    """One way to train.

    `network`: `resenc`, or a name of `build_network`. `patch`: largest sides; None keeps the plan's.
    `widths`: of the levels, finest first; as many levels as widths, at most. `planar`: levels whose kernels do not
    reach across thick slices. `flat`: thick slices are never merged.
    `product`: network, patch and batch are those that the product plans, with the first of the widths. `ema`: decay per step, bounded by the length so far; 0 for none.
    `affine`: ranges of the random affine map, times this, and drawn always where it is above 1. `twice`: two rounds of intensity changes.
    `mirrored`: along the axes whose sides do not matter, as the product learns them; False: never.
    `coarser`: the voxels that the product plans, times this, but along thick slices.
    `coarsest`: voxels of the longest side of a patch that the last level keeps, at least.
    `deep`: weight of each coarser level's loss relative to the finer one's.
    """

    network: str = "resenc"
    widths: tuple[int, ...] = (16, 32, 48, 64)
    blocks: int = 1
    planar: int = 2
    patch: tuple[int, ...] | None = (64, 64, 16)
    batch: int = 2
    optimiser: str = "adamw"
    rate: float = 2e-3
    weight_decay: float = 1e-2
    schedule: str = "cosine"
    warmup: float = 0.02
    ema: float = 0.99
    loss: str = "dice_ce"
    deep: float = 0.0
    foreground: float = 0.5
    strategy: str = "baseline"
    clip: float = 5.0
    adds: bool = False
    flat: bool = False
    product: bool = False
    affine: float = 1.0
    twice: bool = False
    mirrored: bool = True
    coarser: float = 1.0
    coarsest: int = 8


_TODAY = Recipe(network="resunet", widths=(8,), patch=None, rate=1e-2, batch=0, ema=0.99)
CANDIDATES: dict[str, tuple[str | None, dict[str, Any]]] = {
    "base": (None, {}),
    "today": (None, _TODAY.__dict__),
    "dynunet8": (None, {"network": "dynunet", "widths": (8,), "patch": None, "rate": 5e-3, "batch": 0}),
    "product": ("base", {"product": True, "widths": (8,), "rate": 5e-3}),
    "width12": ("base", {"widths": (12,)}),
    "width16": ("base", {"widths": (16,)}),
    "narrow": ("base", {"widths": (8, 16, 32, 64)}),
    "wide": ("base", {"widths": (24, 48, 64, 96)}),
    "patch96": ("base", {"patch": (96, 96, 16)}),
    "patch48": ("base", {"patch": (48, 48, 16)}),
    "batch4": ("base", {"batch": 4}),
    "batch1": ("base", {"batch": 1}),
    "rate5": ("base", {"rate": 5e-3}),
    "rate1": ("base", {"rate": 1e-3}),
    "sgd": ("base", {"optimiser": "sgd", "rate": 1e-2, "schedule": "poly", "weight_decay": 3e-5}),
    "levels5": ("base", {"widths": (16, 32, 48, 64, 64)}),
    "planar5": ("base", {"planar": 5}),
    "planar0": ("base", {"planar": 0}),
    "adds": ("base", {"adds": True}),
    "flat": ("base", {"flat": True}),
    "lean": ("base", {"flat": True, "adds": True}),
    "deep": ("base", {"deep": 0.5}),
    "fg33": ("base", {"foreground": 0.33}),
    "fg80": ("base", {"foreground": 0.8}),
    "plain": ("base", {"strategy": "none"}),
    "red": ("base", {"strategy": "red"}),
    "genda": ("base", {"strategy": "genda"}),
    "affine": ("base", {"affine": 1.5}),
    "twice": ("base", {"twice": True}),
    "strong": ("base", {"affine": 1.5, "twice": True}),
    "sided": ("base", {"mirrored": False}),
    "deeper": ("base", {"coarsest": 4}),
    "coarser15": ("base", {"coarser": 1.5}),
    "coarser2": ("base", {"coarser": 2.0}),
    "coarser3": ("base", {"coarser": 3.0}),
    "decay5": ("base", {"weight_decay": 5e-2}),
    "whole": (
        "base",
        {"widths": (8, 16, 32, 64, 80), "rate": 5e-3, "flat": True, "adds": True, "patch": None, "batch": 1},
    ),
    "batchfull": ("base", {"patch": None, "batch": 1}),
}


def recipe(name: str) -> Recipe:
    """The recipe of a candidate: its parent's with its changes; `a+b` adds b's changes to a."""
    first, *others = name.split("+")
    parent, changes = CANDIDATES[first]
    found = replace(recipe(parent) if parent else Recipe(), **changes)
    for other in others:
        found = replace(found, **CANDIDATES[other][1])
    return found


def planned(plan: Plan, chosen: Recipe) -> Plan:
    """The plan with the recipe's patch (within the median case, rounded up to the strides) and batch."""
    if not chosen.mirrored:
        plan = replace(plan, mirrored=())
    if chosen.network != "resenc" or chosen.product:
        return plan
    sides = plan.median_shape if chosen.patch is None else chosen.patch
    sides = [min(a, b) for a, b in zip(sides, plan.median_shape, strict=True)]
    for _ in range(2):
        strides = strides_of(replace(plan, patch=tuple(sides)), chosen)
        factors = [math.prod(step[axis] for step in strides) for axis in range(len(sides))]
        sides = [-(-n // f) * f for n, f in zip(sides, factors, strict=True)]
    return replace(plan, patch=tuple(sides), batch=chosen.batch or plan.batch)


def strides_of(plan: Plan, chosen: Recipe) -> Steps:
    """As the product's, with as many levels as leave 4 voxels along the longest side."""
    depth = min(len(chosen.widths) - 1, max(1, int(math.log2(max(plan.patch) / 4))))
    if chosen.flat and plan.coarse_axis is not None:
        step = tuple(1 if axis == plan.coarse_axis else 2 for axis in range(plan.spatial_dims))
        return (step,) * depth
    return strides_for(plan.patch, plan.spacing, levels=depth)


def build(plan: Plan, chosen: Recipe, seed: int) -> nn.Module:
    """A new network with weights of this seed."""
    torch.manual_seed(seed)
    classes = len(plan.class_values)
    if chosen.network != "resenc" or chosen.product:
        return build_network(
            chosen.network, plan.spatial_dims, plan.channels, classes, chosen.widths[0], strides=plan.strides
        )
    strides = strides_of(plan, chosen)
    dims, coarse = plan.spatial_dims, plan.coarse_axis
    kernels = []
    for level in range(len(strides) + 1):
        across = 1 if level < chosen.planar else 3
        kernels.append([across if axis == coarse else 3 for axis in range(dims)])
    network = ResidualEncoderUNet(
        dims,
        plan.channels,
        classes,
        chosen.widths[: len(strides) + 1],
        kernels,
        strides,
        (chosen.blocks,) * (len(strides) + 1),
        coarse,
        chosen.adds,
    )
    factors = [math.prod(step[axis] for step in strides) for axis in range(dims)]
    return Padded(network, factors)
