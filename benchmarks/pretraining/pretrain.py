"""Weights that have seen computed shapes, and a training's start from them.

The network is that of the task's plan, made and trained with the product's own parts: weights, rate, schedule, loss
and mean of the weights are those of a training. Seven of the tasks are pictures whose plans build one network, so
they share one pre-training of three channels; half of its images are grey, all channels alike, and for grey tasks the
first convolution is summed over the channels, which gives the same answers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn

from benchmarks.pretraining.shapes import KINDS, Form, ShapeSampler
from scaling_app.imaging.network_table import NETWORKS
from scaling_app.imaging.networks import build_network, memory_format
from scaling_app.imaging.randomness import seeded
from scaling_app.trials.model import TrainedModel, new_network, read_safely, write_whole
from scaling_app.trials.optimising import Descent
from scaling_app.trials.pace import Pace
from scaling_app.trials.plan import Plan

FORMS = {
    "pictures": (Form((128, 128), (1.0, 1.0), 3, 4), ((2, 2),) * 4),
    "cubes": (Form((32, 32, 32), (1.0, 1.0, 1.0), 1, 2), ((2, 2, 2),) * 3),
    "slabs": (Form((64, 64, 9), (1.0, 1.0, 6.0), 1, 2), ((2, 2, 1),) * 3),
}
"""What is computed for which network: sides, voxels, channels and batch of a step, and the network's strides."""

NETWORK = "resenc"
SEED, UNSEEN = 0, 1
_TESTED = 24
_KEPT_EVERY = 100
_TOLD_EVERY = 250


def form_for(plan: Plan) -> str:
    """The name of the form whose network a plan builds.

    Raises:
        ValueError: there is none.
    """
    for name, (form, strides) in FORMS.items():
        if plan.network == NETWORK and form.dims == plan.spatial_dims and strides == plan.strides:
            return name
    raise ValueError(f"no computed images are made for {plan.network} with strides {plan.strides}")


class Pretraining:
    """One pre-training, kept in a file every hundred steps."""

    def __init__(self, name: str, steps: int, work: Path) -> None:
        self.name, self.steps = name, steps
        self.form, strides = FORMS[name]
        self.file = _file(name, steps, work)
        classes = 1 + len(KINDS[self.form.dims])
        with seeded(SEED):
            network = build_network(NETWORK, self.form.dims, self.form.channels, classes, strides=strides)
        self.network = network.to(memory_format=memory_format(self.form.dims))  # type: ignore[call-overload]
        suited = NETWORKS[NETWORK]
        self.descent = Descent(self.network, suited.peak_rate, suited.average, torch.device("cpu"))
        self.step, self.cpu_seconds = 0, 0.0

    def through(self) -> Iterator[dict[str, object]]:
        """Trains to the end, or goes on; every 250 steps a row of how well it does on unseen images."""
        self._resume()
        sampler, pace = ShapeSampler(self.form, SEED), Pace(self.steps, None)
        loss_of = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)
        self.network.train()
        while self.step < self.steps:
            began = time.process_time()
            batch = sampler.batch(self.step)
            self.descent.forget_gradient()
            loss = loss_of(self.network(batch.image).contiguous(), batch.label)
            self.descent.backward(loss)
            self.descent.step(loss, pace.share_of_peak(self.step, 0.0))
            self.step += 1
            self.cpu_seconds += time.process_time() - began
            if self.step % _KEPT_EVERY == 0 or self.step == self.steps:
                self._keep()
            if self.step % _TOLD_EVERY == 0 or self.step == self.steps:
                yield self._row()

    def _row(self) -> dict[str, object]:
        self.descent.settle()
        bodies, per_kind = self.unseen_dice()
        return {
            "form": self.name,
            "steps": self.steps,
            "step": self.step,
            "bodies": f"{bodies:.4f}",
            "dice": f"{sum(per_kind.values()) / len(per_kind):.4f}",
            "kinds": " ".join(f"{kind}={dice:.4f}" for kind, dice in per_kind.items()),
            "loss": f"{self.descent.last_loss:.4f}",
            "cpu_seconds": f"{self.cpu_seconds:.0f}",
        }

    @torch.inference_mode()
    def unseen_dice(self) -> tuple[float, dict[str, float]]:
        """Dice of all bodies against the rest, and of each kind, over all voxels of images of another seed."""
        network, sampler = self._mean(), ShapeSampler(self.form, UNSEEN)
        kinds = KINDS[self.form.dims]
        both = torch.zeros(1 + len(kinds), 2)
        for step in range(_TESTED):
            batch = sampler.batch(step)
            found, true = network(batch.image).argmax(1, keepdim=True), batch.label
            for kind in range(len(both)):
                one, other = (found > 0, true > 0) if kind == 0 else (found == kind, true == kind)
                both[kind] += torch.tensor([2 * (one & other).sum(), one.sum() + other.sum()])
        bodies, *dice = (both[:, 0] / both[:, 1].clamp_min(1)).tolist()
        return bodies, dict(zip(kinds, dice, strict=True))

    def _mean(self) -> nn.Module:
        assert self.descent.average is not None
        return self.descent.average.module

    def _keep(self) -> None:
        self.descent.settle()
        content = {
            "step": self.step,
            "cpu_seconds": self.cpu_seconds,
            "weights": self.network.state_dict(),
            **self.descent.state_dict(),
            "body": self._mean().state_dict(),
        }
        write_whole(content, self.file)

    def _resume(self) -> None:
        if not self.file.is_file():
            return
        content = read_safely(self.file)
        self.network.load_state_dict(content["weights"])
        self.descent.load_state_dict(content)
        self.step, self.cpu_seconds = content["step"], content["cpu_seconds"]


def is_whole(name: str, steps: int, work: Path) -> bool:
    """Whether a pre-training has been made to its end."""
    file = _file(name, steps, work)
    return file.is_file() and read_safely(file)["step"] == steps


def start_of(plan: Plan, seed: int, body: Mapping[str, Tensor], file: Path, *, decoder: bool = True) -> Path:
    """A model to start a training of `plan` from: pre-trained weights, but fresh ones of this seed in the last layer.

    Args:
        body: weights of a pre-training's network.
        decoder: take its decoder too.

    Raises:
        ValueError: the plan's network is built otherwise.
    """
    with seeded(seed):
        network = new_network(plan)
    weights = network.state_dict()
    for name, fresh in weights.items():
        part = name.split(".")[1]
        if part == "head" or (part == "ups" and not decoder):
            continue
        taken = body[name]
        if part == "stem" and taken.shape[1] != fresh.shape[1]:
            taken = taken.sum(1, keepdim=True)
        if taken.shape != fresh.shape:
            raise ValueError(f"{name} is {tuple(taken.shape)} there and {tuple(fresh.shape)} in the plan")
        weights[name] = taken
    network.load_state_dict(weights)
    return TrainedModel(plan, network, (), {}).save(file)


def body_of(name: str, steps: int, work: Path) -> dict[str, Tensor]:
    """The mean weights that a pre-training left."""
    return read_safely(_file(name, steps, work))["body"]


def _file(name: str, steps: int, work: Path) -> Path:
    return work / f"shapes-{name}-{steps}.pt"
