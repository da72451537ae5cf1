"""One training run: n labelled cases and a strategy in, a tested model out.

Deterministic given the seed on one kind of processor (unless a time limit cuts it short), and resumable
after a kill at any point: batches and dropout depend on seed and step alone, and a checkpoint holds the rest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from monai.losses import DiceCELoss
from torch import nn

from scaling_app.imaging.network_table import NETWORKS
from scaling_app.imaging.networks import memory_format, parameter_count
from scaling_app.imaging.randomness import seeded
from scaling_app.strategies.base import Batch, Strategy, StrategyContext
from scaling_app.strategies.making import make_strategy
from scaling_app.trials.cases import CaseList, Pool, PreparedCases
from scaling_app.trials.checkpoint import Keeper, identity_of, kept_in, kept_of, place_in, taken_up
from scaling_app.trials.failures import NoMemoryError, TrainingError, too_short
from scaling_app.trials.inference import reduced_precision, uses_bfloat16
from scaling_app.trials.model import (
    Report,
    TrainedModel,
    default_device,
    new_network,
    predictor_from,
    take_weights,
)
from scaling_app.trials.optimising import Descent
from scaling_app.trials.pace import Pace
from scaling_app.trials.run_settings import RunSettings
from scaling_app.trials.sampling import PatchSampler, Prefetcher, drawing_threads, in_turn, step_seed
from scaling_app.trials.step_report import OnStep, Phase, StepReport
from scaling_app.trials.two_trainings import TWO, as_one, in_two, telling_coarse, telling_fine

logger = logging.getLogger(__name__)

_BAD_STEPS = 20
_CHECKPOINT_SECONDS = 30.0


def train(
    cases: PreparedCases,
    train_ids: Sequence[str],
    settings: RunSettings,
    *,
    pool_ids: Sequence[str] = (),
    checkpoint: Path | None = None,
    warm_start: Path | None = None,
    fresh_weights: bool = False,
    guide: Path | None = None,
    on_step: OnStep | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> TrainedModel:
    """Trains a network on some of the cases, and on nothing else.

    Args:
        train_ids: labelled cases.
        pool_ids: cases whose images, without labels, the strategy may look at.
        checkpoint: resumed from when it holds this very run, and kept up to date.
        warm_start: a model whose weights to start from, when its network is the same, and whose strategy's
            state to take up, when its strategy is.
        fresh_weights: take up the strategy's state alone.
        guide: a model whose predictions the strategy may use to find its way in unlabelled images.
        on_step: told of every step.
        should_stop: asked at every step; True ends the training with what there is
            (`report["ended"]` says "asked").

    Raises:
        ValueError: no training cases, unlabelled ones, unknown strategy or network, bad settings.
        TrainingError: the loss stays undefined; the minutes are over before the first step.
    """
    cases.require_labelled(train_ids)
    previous = TrainedModel.load(warm_start, default_device()) if warm_start is not None else None
    ids, stop = tuple(train_ids), should_stop or (lambda: False)
    all_steps = settings.steps_on(len(ids))
    if cases.plan.fine is None or all_steps < TWO:
        run = _Run(cases, ids, tuple(pool_ids), settings, checkpoint, previous, fresh_weights, guide)
        return run.through(on_step, stop)
    first, second = in_two(settings, len(ids))
    one = _Run(cases, ids, tuple(pool_ids), first, checkpoint, previous, fresh_weights, guide)
    coarse = one.kept_coarse()
    if coarse is None:
        coarse = one.through(telling_coarse(on_step, second, all_steps), stop)
    if coarse.report["ended"] == "asked":
        return coarse
    two = _Run(
        cases.at(cases.plan.fine),
        ids,
        (),
        second,
        checkpoint,
        previous and previous.fine,
        fresh_weights,
        None,
        (one.identity(), coarse),
    )
    fine = two.through(telling_fine(on_step, second, all_steps, coarse), stop)
    return as_one(coarse, fine)


class _Run:
    """The state of one training."""

    def __init__(
        self,
        cases: PreparedCases,
        train_ids: tuple[str, ...],
        pool_ids: tuple[str, ...],
        settings: RunSettings,
        checkpoint: Path | None,
        previous: TrainedModel | None,
        fresh_weights: bool,
        guide: Path | None,
        after: tuple[str, TrainedModel] | None = None,
    ) -> None:
        self.cases, self.train_ids, self.pool_ids = cases, train_ids, pool_ids
        self.pool = Pool(cases, pool_ids)
        self.pool_seen_before: tuple[str, ...] = ()
        self.settings, self.plan = settings, cases.plan
        self.steps = settings.steps_on(len(train_ids))
        self.pace = Pace(self.steps, settings.max_minutes)
        self.checkpoint, self.previous, self.guide, self.after = checkpoint, previous, guide, after
        self.keeper = None if checkpoint is None else Keeper(checkpoint)
        self.device, self.fresh_weights = default_device(), fresh_weights
        self.begin()

    def begin(self) -> None:
        """The state before the first step."""
        settings = self.settings
        self.strategy: Strategy = make_strategy(settings.strategy)
        self.network = self._network(None if self.fresh_weights else self.previous)
        suited = NETWORKS[self.plan.network]
        decay = suited.average if settings.average is None else settings.average
        self.descent = Descent(self.network, settings.learning_rate or suited.peak_rate, decay, self.device)
        self.criterion = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)
        self.step = 0
        self.held: int | None = None
        self.seconds_before = 0.0
        self.ended = "finished"
        self.loader_cpu = self.loader_waited = self.loop_cpu = 0.0
        self.prepare_seconds = 0.0

    def through(self, on_step: OnStep | None, should_stop: Callable[[], bool]) -> TrainedModel:
        """From the preparation to the model."""
        self.tell(on_step, 0, None, "preparing")
        self.prepare()
        self.resume()
        self.loop(on_step, should_stop)
        self.tell(on_step, self.step, self.descent.last_loss, "done")
        return self.model()

    def _network(self, previous: TrainedModel | None) -> nn.Module:
        with seeded(self.settings.seed, self.device):
            network = new_network(self.plan)
        if previous is not None:
            take_weights(network, previous.network)
        layout = memory_format(self.plan.spatial_dims)
        return network.to(self.device, memory_format=layout)  # type: ignore[call-overload]  # torch's stub forgets it

    def prepare(self) -> None:
        """Brings the training cases to the plan's grid, and lets the strategy learn from them."""
        began = time.perf_counter()
        for unit in self.cases.units(self.train_ids):
            self.cases.foreground(unit)
            self.cases[unit]
        context = StrategyContext(
            spatial_dims=self.plan.spatial_dims,
            spacing=self.plan.believed_spacing,
            patch=self.plan.patch,
            structures=self.plan.classes,
            seed=self.settings.seed,
            steps=self.steps,
            device=self.device,
            pool=self.pool,
            predict=predictor_from(self.guide, self.plan, self.device) if self.guide is not None else None,
            cache_dir=self.cases.cache_dir / "strategies",
            max_minutes=self.settings.max_minutes,
            options=self.settings.options,
            of_slices=self.plan.slice_axis is not None,
            mirrored=self.plan.mirrored,
        )
        self.strategy.prepare(CaseList(self.cases, self.train_ids), context)
        if self.previous is not None and self.previous.report.get("strategy") == self.settings.strategy:
            self.strategy.load_state_dict(self.previous.strategy_state)
        self.prepare_seconds = time.perf_counter() - began

    def loop(self, on_step: OnStep | None, should_stop: Callable[[], bool]) -> None:
        """Trains to the last step, the time limit, or until asked to stop."""
        sampler = PatchSampler(self.cases, self.train_ids, self.strategy, self.settings.seed)
        self.strategy.begin(self.step)
        began = saved = time.perf_counter()
        cpu_began = time.thread_time()
        self.network.train()
        threads, on_gpu = drawing_threads(self.device), self.device.type == "cuda"
        room = self.cases.memory_bytes if on_gpu else None  # the half that a step takes on a processor
        with (
            torch.backends.cudnn.flags(enabled=True, benchmark=on_gpu),  # patches are of one shape
            Prefetcher(sampler, self.step, self.steps, threads=threads, room=room, pinned=on_gpu) as batches,
        ):
            for batch in batches:
                elapsed = self.seconds_before + time.perf_counter() - began
                if self._is_over(elapsed, should_stop):
                    self._require_a_step(elapsed)
                    break
                self._one_step(batch, elapsed)
                self.step += 1
                now = time.perf_counter()
                if self.keeper is not None and now - saved > _CHECKPOINT_SECONDS:
                    self._save(self.keeper, self.seconds_before + now - began)
                    saved = now
                loss = self.descent.last_loss
                self.tell(on_step, self.step, loss, "training", self.seconds_before + now - began)
        self._settle()
        loop = time.perf_counter() - began
        self.loop_cpu = time.thread_time() - cpu_began
        self.loader_cpu, self.loader_waited = batches.cpu_seconds, batches.waited_seconds
        self.seconds_before += loop
        if self.keeper is not None:
            self._save(self.keeper, self.seconds_before)

    def _is_over(self, elapsed: float, should_stop: Callable[[], bool]) -> bool:
        if should_stop():
            self.ended = "asked"
        elif self.pace.is_out_of_time(elapsed):
            self.ended = "time"
        return self.ended != "finished"

    def _require_a_step(self, elapsed: float) -> None:
        """Nobody wants a model that its minutes left as random as it began."""
        minutes = self.settings.max_minutes
        if self.step == 0 and self.ended == "time" and minutes is not None:
            raise too_short(elapsed, minutes)

    def _one_step(self, batch: Batch, elapsed: float) -> None:
        try:
            loss = self._gradient(batch)
            self.descent.step(loss, self.pace.share_of_peak(self.step, elapsed))
        except torch.OutOfMemoryError as error:
            self._take_less(batch, error)
            return
        self._require_defined()

    def _gradient(self, batch: Batch) -> torch.Tensor:
        """The loss of as many of a batch's patches as the device holds, its gradient left in the weights."""
        batch, layout = in_turn(batch, self.held, self.step), memory_format(self.plan.spatial_dims)
        image = batch.image.to(self.device, memory_format=layout, non_blocking=True)
        label = batch.label.to(self.device, non_blocking=True)
        batch = Batch(image, label, batch.case_ids)
        self.descent.forget_gradient()
        dropout = seeded(step_seed(self.settings.seed, self.step), self.device)
        with dropout, reduced_precision(self.device, self.plan):
            loss = self.strategy.loss(self.network, self._loss, batch, self.step)
        self.descent.backward(loss)
        return loss

    def _take_less(self, batch: Batch, error: Exception) -> None:
        """Half as many patches from now on; this step is left out."""
        held = len(batch.image[: self.held])
        if held == 1:
            raise NoMemoryError(
                f"one patch of {'x'.join(map(str, self.plan.patch))} does not fit the device's memory: serve with "
                "--conf capacity small, or end what else uses it"
            ) from error
        self.descent.skip()
        torch.cuda.empty_cache()
        self.held = held // 2
        logger.warning("out of memory with %d patches a step: %d from now on", held, self.held)

    def _loss(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.device.type, enabled=False):
            return self.criterion(logits.float(), label)

    def _settle(self) -> None:
        try:
            self.descent.settle()
        except torch.OutOfMemoryError:  # between two steps nothing else can give way
            self.descent.forget_gradient()
            torch.cuda.empty_cache()
            self.descent.settle()
        self._require_defined()

    def _require_defined(self) -> None:
        if self.descent.bad_in_a_row >= _BAD_STEPS:
            raise TrainingError(
                f"the loss was undefined in {_BAD_STEPS} steps in a row, up to step {self.step}; "
                "look at the images of the training cases, or lower the learning rate"
            )

    def tell(
        self,
        on_step: OnStep | None,
        step: int,
        loss: float | None,
        phase: Phase,
        seconds: float = 0.0,
    ) -> None:
        """Reports progress to whoever listens."""
        if on_step is None:
            return
        eta = self.pace.seconds_left(step, seconds) if step and seconds else None
        on_step(StepReport(step, self.steps, loss, seconds or self.seconds_before, eta, phase))

    def identity(self) -> str:
        """Identifies the run that a checkpoint belongs to."""
        parts = [asdict(self.settings), self.plan.to_json(), self.train_ids, self.pool_ids]
        return identity_of(parts if self.after is None else [*parts, self.after[0]])

    def _save(self, keeper: Keeper, seconds: float) -> None:
        self._settle()
        content = {
            "identity": self.identity(),
            "step": self.step,
            "held": self.held,
            "seconds": seconds,
            "weights": self.network.state_dict(),
            **self.descent.state_dict(),
            "strategy": self.strategy.state_dict(),
            "pool_ids": list(self._pool_seen()),
        }
        if self.after is not None:
            content["after"], content["coarse"] = self.after[0], self.after[1].content()
        keeper.keep(content)

    def kept_coarse(self) -> TrainedModel | None:
        """What this run gave, where the checkpoint is of the one after it."""
        content = kept_in(self.checkpoint) or {}
        if content.get("after") != self.identity():
            return None
        return taken_up(lambda: TrainedModel.of_content(content["coarse"], self.device))

    def resume(self) -> None:
        """Takes up the checkpoint if there is one of this run; any other is left for a fresh start."""
        before = None if self.after is None else self.after[0]
        if (content := kept_of(self.checkpoint, self.identity(), before)) is None:
            return
        if not taken_up(lambda: self._take_up(content)):  # part of it may have been
            self.begin()
            self.prepare()
            return
        if self.keeper is not None:
            self.keeper.kept = self.seconds_before
        logger.info("resumed at step %d of %d", self.step, self.steps)

    def _take_up(self, content: Mapping[str, Any]) -> bool:
        step, held, seconds = place_in(content, self.steps)
        self.network.load_state_dict(content["weights"])
        self.descent.load_state_dict(content)
        self.strategy.load_state_dict(content["strategy"])
        self.pool_seen_before = tuple(content.get("pool_ids", ()))
        self.step, self.held, self.seconds_before = step, held, seconds
        return True

    def _pool_seen(self) -> tuple[str, ...]:
        """Of the pool, before an interruption too: a time limit may let a strategy get further once than again."""
        return tuple(dict.fromkeys([*self.pool_seen_before, *self.pool.seen]))

    def model(self) -> TrainedModel:
        """The trained model with its record.

        `loader_share` is the processor time of drawing samples over that of the training thread, since
        the last resumption: other processes on the machine do not change it.
        """
        report: Report = {
            "strategy": self.settings.strategy,
            "network": self.plan.network,
            "parameters": parameter_count(self.network),
            "precision": "bfloat16" if uses_bfloat16(self.device, self.plan) else "float32",
            "n": len(self.train_ids),
            "seed": self.settings.seed,
            "steps": self.step,
            "skipped_steps": self.descent.skipped,
            "batch": self.held or self.plan.batch,
            "ended": self.ended,
            "prepare_seconds": round(self.prepare_seconds, 3),
            "seconds": round(self.seconds_before, 3),
            "needed_seconds": round(self.seconds_before, 3),
            "step_cpu_seconds": round(self.loop_cpu, 3),
            "loader_cpu_seconds": round(self.loader_cpu, 3),
            "loader_waited_seconds": round(self.loader_waited, 3),
            "loader_share": round(self.loader_cpu / max(self.loop_cpu, 1e-9), 4),
        }
        if self.descent.last_loss is not None:
            report["loss"] = self.descent.last_loss
        report |= {f"strategy_{key}": value for key, value in self.strategy.report().items()}
        average = self.descent.average
        network = (self.network if average is None else average.module).eval()
        state = self.strategy.state_dict()
        return TrainedModel(
            self.plan, network, self.train_ids, report, self.device, state, pool_ids=self._pool_seen()
        )
