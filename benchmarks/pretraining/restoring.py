"""Weights that have learned to restore a task's own images: self-supervision on images without labels.

Grey values are bent, blocks shuffled and cut out, and the network is asked for the image as it was (Models Genesis: Zhou et al., Med
Image Anal 67:101840, 2021), by the mean absolute difference. The network is that of the task's plan with one output for each channel; rate, schedule and
mean of the weights are those of a training. Images are those of the cases that could be labelled: no patient of the test has one here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from monai.transforms import (
    Compose,
    RandCoarseDropout,
    RandCoarseShuffle,
    RandHistogramShift,
    RandSpatialCrop,
    SpatialPad,
)
from torch import Tensor

from scaling_app.imaging.network_table import NETWORKS
from scaling_app.imaging.networks import build_network, memory_format
from scaling_app.imaging.randomness import seeded
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.model import write_whole
from scaling_app.trials.optimising import Descent
from scaling_app.trials.pace import Pace

SEED = 0
HOLES, BLOCKS = (2, 6), 24
"""How many blocks are cut out, and the most that are shuffled."""


class Spoiler:
    """Spoils an image `(C, *P)` at random.

    Args:
        patch: its sides, in voxels.
    """

    def __init__(self, patch: Sequence[int], seed: int) -> None:
        large, small = ([max(1, side // share) for side in patch] for share in (4, 10))
        self.spoil = Compose(
            [
                RandHistogramShift(num_control_points=(4, 8), prob=0.7),
                RandCoarseShuffle(holes=BLOCKS // 4, spatial_size=small, max_holes=BLOCKS, prob=0.5),
                RandCoarseDropout(holes=HOLES[0], spatial_size=large, max_holes=HOLES[1], prob=0.9),
            ]
        ).set_random_state(seed)

    def __call__(self, image: Tensor) -> Tensor:
        return torch.as_tensor(self.spoil(image))


def restore(cases: PreparedCases, steps: int, file: Path) -> dict[str, object]:
    """Trains on all of these images, keeps the mean weights in a file, and says how it went.

    Returns:
        `loss` and `spoiled`: mean absolute difference of the last hundred steps, of what the network gave and of what it was given.
    """
    plan = cases.plan
    with seeded(SEED):
        network = build_network(
            plan.network, plan.spatial_dims, plan.channels, plan.channels, strides=plan.strides
        )
    network = network.to(memory_format=memory_format(plan.spatial_dims))  # type: ignore[call-overload]
    suited = NETWORKS[plan.network]
    descent, pace = (
        Descent(network, suited.peak_rate, suited.average, torch.device("cpu")),
        Pace(steps, None),
    )
    crop = Compose([SpatialPad(plan.patch), RandSpatialCrop(plan.patch, random_size=False)])
    crop.set_random_state(SEED)
    spoil, rng = Spoiler(plan.patch, SEED), np.random.default_rng(SEED)
    ids, losses, given = [*cases.labelled, *cases.pool], [], []
    began = time.process_time()
    network.train()
    for step in range(steps):
        chosen = rng.choice(ids, plan.batch)
        whole = torch.stack([torch.as_tensor(crop(cases[str(one)].image.float())) for one in chosen])
        spoiled = torch.stack([spoil(image) for image in whole])
        descent.forget_gradient()
        loss = torch.nn.functional.l1_loss(network(spoiled), whole)
        descent.backward(loss)
        descent.step(loss, pace.share_of_peak(step, 0.0))
        losses.append(float(loss.detach()))
        given.append(float((spoiled - whole).abs().mean()))
    descent.settle()
    assert descent.average is not None
    write_whole({"step": steps, "body": descent.average.module.state_dict()}, file)
    return {
        "loss": f"{np.mean(losses[-100:]):.4f}",
        "spoiled": f"{np.mean(given[-100:]):.4f}",
        "cpu_seconds": f"{time.process_time() - began:.0f}",
        "images": len(ids),
    }
