"""The strategies `genseg`, `genseg+fields` and `genda+genseg`: real pairs, generated pairs, and a generator they steer.

The run's own optimiser trains the segmenter; the strategy takes part through `loss`. Real pairs are
augmented by another strategy (the baseline, or GenDA), which this one wraps.

References:
    L. Zhang et al., "Generative AI enables medical image segmentation in ultra low-data regimes",
    Nature Communications 16:6486 (2025), https://arxiv.org/abs/2408.17421
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from scaling_app.strategies.base import Batch, Loss, PointMap, PreparedCase, Strategy, StrategyContext
from scaling_app.strategies.baseline import Baseline
from scaling_app.strategies.generative.coupling import FEWEST_PAIRS, Coupling, Rotation
from scaling_app.strategies.generative.hypergradient import Pairs, pair_losses
from scaling_app.strategies.generative.masks import MaskAugmentation, PatchSource
from scaling_app.strategies.generative.proof import Proof, patience_for
from scaling_app.strategies.generative.schedule import Phase, Schedule
from scaling_app.strategies.generative.settings import GenSegSettings
from scaling_app.strategies.generative.stages import GeneratorTask, GeneratorTrainer, full_precision

logger = logging.getLogger(__name__)

_STAGE_ONE_EVERY = 4
_LOG_EVERY = 8
_SHORT_WARM_UP = 0.05


class GenSeg(Strategy):
    """Adds generated pairs to training, from a generator tuned by the segmenter's validation loss.

    Args:
        real: how real pairs are augmented; default the baseline.
    """

    name: ClassVar[str] = "genseg"
    learns: ClassVar[bool] = True
    defaults: ClassVar[GenSegSettings] = GenSegSettings()

    def __init__(self, real: Strategy | None = None) -> None:
        self.real = real or Baseline()
        self.affine = self.real.affine
        self.settings = self.defaults
        self.coupling: Coupling | None = None
        self._off = "not prepared"
        self._schedule = Schedule(steps=1)
        self._train_ids: tuple[str, ...] = ()
        self._pool: PatchSource | None = None
        self._skipped = 0
        self._last_step = -1
        self._loaded_step: int | None = None
        self._loaded_seconds = 0.0
        self._loaded_warm_up = self._schedule.warm_up

    def prepare(self, cases: Sequence[PreparedCase], context: StrategyContext) -> None:
        """Builds the generator; it is trained in the run's first steps, so that it can be interrupted.

        With one patient there is nothing to validate on: the run goes on without synthesis and says so.
        """
        self.real.prepare(cases, context)
        self.settings = self.defaults.changed(context.options)
        # looked at in turn and not kept: there may be more than may be open at once
        patients = {case.case_id: case.patient for case in cases if case.label is not None}
        self._train_ids = tuple(sorted(patients))
        self._schedule = Schedule(context.steps, context.max_minutes)
        if len(set(patients.values())) < 2:
            self._off = "one patient only: no case is left to validate on, so nothing is generated"
            logger.warning("genseg: %s", self._off)
            return
        self._off = ""
        classes = 1 + max(context.structures.values(), default=1)
        channels = cases[0].image.shape[0]
        task = GeneratorTask(classes, channels, tuple(context.patch), tuple(context.spacing))
        self.coupling = Coupling(
            GeneratorTrainer(task, self.settings, context.seed, context.device),
            Proof(
                self.settings.proof and self.settings.couple,
                patience=patience_for(self._schedule.searching(self.settings.interval)),
            ),
            PatchSource(cases, context.patch, classes),
            self._masks(context),
            Rotation(patients, context.seed),
            torch.Generator().manual_seed(context.seed),
        )
        if self.settings.pool and context.pool:
            self._pool = PatchSource([_unlabelled(case) for case in context.pool], context.patch, classes)

    def added_cases(self) -> Sequence[PreparedCase]:
        """Those of the wrapped strategy: the segmenter and the generator learn from them as from labelled ones."""
        return self.real.added_cases()

    def begin(self, step: int) -> None:
        """Tells the wrapped strategy."""
        self.real.begin(step)

    def draws_added(self, step: int) -> bool:
        """When the wrapped strategy does."""
        return self.real.draws_added(step)

    def deformation(self, case: PreparedCase, generator: torch.Generator) -> PointMap | None:
        """That of the wrapped strategy."""
        return self.real.deformation(case, generator)

    def appearance(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """That of the wrapped strategy."""
        return self.real.appearance(image, generator)

    def loss(self, network: nn.Module, loss: Loss, batch: Batch, step: int) -> Tensor:
        """Real pairs, plus generated pairs as far as they are trusted; every `interval` steps an outer step.

        A generator's loss that is not finite costs its own step and never the segmenter's.
        """
        self._take_over(step)
        self._last_step = step
        progress = self._schedule.progress(step)
        coupling = self.coupling
        if coupling is None or not coupling.proof.on:
            return self._real_loss(network, loss, batch, step)
        phase = self._schedule.phase(progress)
        if phase in (Phase.SETTLE, Phase.FADE):  # a step may be longer than the time to settle
            self._discretise()
        if phase in (Phase.WARM_UP, Phase.SETTLE):
            self._stage_one(batch)
        if phase not in (Phase.SEARCH, Phase.FADE):
            return self._real_loss(network, loss, batch, step)
        if phase is Phase.SEARCH and self.settings.couple and step % self.settings.interval == 0:
            return self._outer(network, loss, batch, step)
        if phase is Phase.SEARCH and step % _STAGE_ONE_EVERY == 0:
            self._stage_one(batch)
        real = self._real_loss(network, loss, batch, step)
        return real + self._schedule.synthesis(progress) * self._synthetic_loss(network, loss, batch)

    def report(self) -> dict[str, float | int | str | bool]:
        """What the generator did: plain words and finite numbers."""
        report = {f"real_{key}": value for key, value in self.real.report().items()}
        report["synthesis"] = self._off or "on"
        if self.coupling is None:
            return report
        trainer, proof = self.coupling.trainer, self.coupling.proof
        report |= {
            "synthesis": proof.state,
            "outer_steps": self.coupling.outer_steps,
            "skipped_steps": self._skipped,
            "omega": round(proof.omega, 4),
            "evidence": round(proof.evidence, 3),
            "alignment_consistency": round(proof.consistency, 4),
            "alignment_mean": proof.mean,
        }
        if self.settings.network:
            report |= {
                "generator_steps": trainer.steps,
                "architecture": ", ".join(trainer.generator.genotype()),
                "architecture_entropy": round(_entropy(trainer), 5),
                "architecture_max_change": round(trainer.max_change(), 6),
            }
        if self.settings.fields:
            report |= {f"field_{kind}": round(s, 3) for kind, s in trainer.fields.strengths().items()}
        report |= {f"mask_{kind}": round(s, 3) for kind, s in self.coupling.masks.strengths().items()}
        for key, value in (
            ("discriminator_accuracy", trainer.discriminator_accuracy),
            ("diversity", proof.diversity),
            ("outer_gradient_norm", self.coupling.gradient_norm),
            ("outer_validation_loss", self.coupling.validation_loss),
        ):
            if value is not None:
                report[key] = value
        return report

    def state_dict(self) -> dict[str, Any]:
        """Generator, discriminator, search, guard and random state."""
        state: dict[str, Any] = {
            "real": self.real.state_dict(),
            "seconds": self._schedule.budget.seconds(),
            "step": self._last_step,
            "warm_up": self._schedule.warm_up,
            "skipped": self._skipped,
        }
        if self.coupling is not None:
            state["coupling"] = self.coupling.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up a state, of this run or of an earlier one on other labels.

        Which of the two shows at the next step: it is this run's if that step follows the state's. Else
        the generator is taken over, its search begins anew and the warm-up is short.
        """
        if not state:
            return
        self.real.load_state_dict(state.get("real", {}))
        self._last_step = self._loaded_step = int(state["step"])
        self._loaded_seconds, self._loaded_warm_up = float(state["seconds"]), float(state["warm_up"])
        if self.coupling is None or "coupling" not in state:
            return
        try:
            self.coupling.load_state_dict(state["coupling"])
            self._skipped = int(state.get("skipped", 0))
        except ValueError as error:
            self._loaded_step = None
            logger.warning("genseg: the earlier generator is not used: %s", error)

    def _take_over(self, step: int) -> None:
        """At the first step after a state was loaded: goes on with the run, or starts warm."""
        if self._loaded_step is None:
            return
        if step == self._loaded_step + 1:
            self._schedule.budget.seconds_before = self._loaded_seconds
            self._schedule.warm_up = self._loaded_warm_up
        else:
            self._skipped = 0
            if self.coupling is not None and self.coupling.trainer.steps:
                self._schedule.warm_up = _SHORT_WARM_UP
                self.coupling.start_anew()
        self._loaded_step = None

    @property
    def _coupled(self) -> Coupling:
        """The coupling of a run that generates."""
        if self.coupling is None:
            raise ValueError(f"nothing is generated: {self._off}")
        return self.coupling

    def _real_loss(self, network: nn.Module, loss: Loss, batch: Batch, step: int) -> Tensor:
        if self.coupling is not None:
            batch = self.coupling.seen_through_fields(batch)
        return self.real.loss(network, loss, batch, step)

    def _masks(self, context: StrategyContext) -> MaskAugmentation:
        return MaskAugmentation(context.patch, context.spacing, mirrored=self._mirrored(context))

    def _mirrored(self, context: StrategyContext) -> tuple[int, ...]:
        """The axes along which masks may be mirrored: real pairs are along those of the context."""
        return tuple(range(context.spatial_dims)) if self.settings.flips else context.mirrored

    def _count(self, batch: Batch) -> int:
        """Generated pairs per step: half as many as real ones, two at least."""
        return max(FEWEST_PAIRS, len(batch.case_ids) // 2)

    def _stage_one(self, batch: Batch, feedback: list[Tensor] | None = None) -> None:
        if not self.settings.network:
            return
        coupling = self._coupled
        count = max(FEWEST_PAIRS, len(batch.case_ids) // 4)
        pairs, known = Pairs(batch.image[:count], batch.label[:count]), True
        if self._pool is not None and coupling.trainer.steps % 2:
            drawn = self._pool.draw(count, coupling.generator, among=self._pool.case_ids)
            pairs, known = Pairs(drawn.image, drawn.label), False
        with full_precision(batch.image.device):
            noise = coupling.trainer.noise_like(pairs.image, coupling.generator)
            done = coupling.trainer.stage_one(pairs, noise, known=known, feedback=feedback)
        coupling.proof.observe_step("the generator", done)
        self._skipped += not done

    def _discretise(self) -> None:
        """Keeps the likeliest candidates; once, then the generator may settle."""
        generator = self._coupled.trainer.generator
        if self.settings.network and not bool(generator.chosen.any()) and generator.architecture.numel():
            logger.info("genseg: architecture %s", ", ".join(generator.discretise()))

    def _synthetic_loss(self, network: nn.Module, loss: Loss, batch: Batch) -> Tensor:
        coupling = self._coupled
        weight = coupling.proof.omega if self.settings.couple else 1.0
        if weight <= 0:
            return batch.image.new_zeros(())
        with full_precision(batch.image.device):
            synthetic = coupling.synthesise(self._count(batch), self._train_ids, self.real.appearance)
        weights = None
        if self.settings.couple:
            weights = coupling.proof.pair_weights(synthetic.patches.case_ids)
        return self._weighted(network, loss, synthetic.pairs, weights)

    def _weighted(self, network: nn.Module, loss: Loss, pairs: Pairs, weights: Tensor | None) -> Tensor:
        losses = pair_losses(loss, network(pairs.image), pairs.label)
        finite = bool(torch.isfinite(losses).all())
        self._coupled.proof.observe_step("generated pairs", finite)
        if not finite:
            self._skipped += 1
            return losses.new_zeros(())
        return losses.mean() if weights is None else (weights.to(losses) * losses).mean()

    def _outer(self, network: nn.Module, loss: Loss, batch: Batch, step: int) -> Tensor:
        coupling = self._coupled
        patient, others = coupling.rotation.next(batch.case_ids)
        trusted = coupling.proof.trusted
        with full_precision(batch.image.device):
            kept = coupling.restricted(batch, others)
            synthetic = coupling.synthesise(self._count(kept), others, self.real.appearance, graph=True)
            seen = coupling.seen_through_fields(kept, graph=True)
            found = coupling.outer_step(network, loss, seen, synthetic, patient)
        if trusted:
            real = self.real.loss(network, loss, replace(seen, image=seen.image.detach()), step)
        else:  # the outer step only looked ahead: the segmenter's own is as it would be without synthesis
            real = self._real_loss(network, loss, batch, step)
        if found is None:
            self._skipped += 1
            return real
        gradient, feedback = found
        self._stage_one(kept, feedback or None)
        if coupling.outer_steps % _LOG_EVERY == 0:
            self._log(step)
        if not coupling.proof.on:
            logger.warning("genseg: synthesis is off: %s", coupling.proof.reason)
        if not (trusted and coupling.proof.trusted):
            return real
        weights = coupling.proof.pair_weights(synthetic.patches.case_ids, gradient.alignment.cpu())
        pairs = Pairs(synthetic.pairs.image.detach(), synthetic.pairs.label)
        return real + self._weighted(network, loss, pairs, weights)

    def _log(self, step: int) -> None:
        coupling = self._coupled
        logger.info(
            "genseg: step %d, entropy %.4f, max change %.4f, consistency %.2f, omega %.2f",
            step,
            coupling.trainer.generator.entropy(),
            coupling.trainer.max_change(),
            coupling.proof.consistency,
            coupling.proof.omega,
        )


class GenSegFields(GenSeg):
    """GenSeg whose generator deforms and changes intensities instead of painting: for images of other scanners.

    Nothing is painted, so nothing has to be shown before generated pairs count.
    """

    name: ClassVar[str] = "genseg+fields"
    defaults: ClassVar[GenSegSettings] = GenSegSettings(network=False, fields=True, proof=False)


class GenDAGenSeg(GenSeg):
    """GenSeg on top of GenDA: learned deformations move the real pairs and half of the masks.

    Where few patients are labelled, images of the pool under carried labels count as real pairs at first.
    """

    name: ClassVar[str] = "genda+genseg"

    def __init__(self) -> None:
        from scaling_app.strategies.deformation import GenDAPool  # genseg alone does without it

        super().__init__(GenDAPool())

    def _masks(self, context: StrategyContext) -> MaskAugmentation:
        return MaskAugmentation(
            context.patch,
            context.spacing,
            mirrored=self._mirrored(context),
            deformation=self.real.deformation,
        )


def _entropy(trainer: GeneratorTrainer) -> float:
    """Of the searched distribution, also after one candidate of each cell was chosen."""
    p = trainer.generator.architecture.detach().softmax(-1).clamp_min(1e-12)
    if not p.numel():
        return 0.0
    return float(-(p * p.log()).sum(-1).mean() / torch.log(torch.tensor(float(p.shape[1]))))


def _unlabelled(case: PreparedCase) -> PreparedCase:
    """A pool case with an all-background label, so that patches of it can be drawn."""
    label = torch.zeros((1, 1, 1, 1)[: case.image.dim()], dtype=torch.uint8).expand(1, *case.image.shape[1:])
    return PreparedCase(case.case_id, case.patient, case.image, label)
