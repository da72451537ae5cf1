"""One outer step of GenSeg, with the three roles of cases kept apart.

At each outer step one patient's cases are the validation, the next in turn (cross-fitting: with few cases
no split is frozen). They are in neither training set of the step: not among its real pairs and not among
the cases whose masks and surroundings its synthetic pairs are made from. The look-ahead gives every pair
the same weight, so that the search tends those, too, that do not help yet.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scaling_app.strategies.base import Batch, Loss
from scaling_app.strategies.generative.hypergradient import (
    FrozenSegmenter,
    ImageHypergradient,
    Pairs,
    image_hypergradient,
    training_gradient,
)
from scaling_app.strategies.generative.masks import MaskAugmentation, Patches, PatchSource
from scaling_app.strategies.generative.networks import neighbourhood
from scaling_app.strategies.generative.proof import Proof, diversity
from scaling_app.strategies.generative.stages import GeneratorTrainer, full_precision

logger = logging.getLogger(__name__)

FEWEST_PAIRS = 2
"""At a time: for a single small volume torch takes a slow convolution on a processor, and one costs more than two."""
_MASK_RATE = 0.05
_DIVERSITY_EVERY = 5
_ELSEWHERE = 0.5  # of validation images


Appearance = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Synthetic:
    """Generated pairs: `pairs.image` may carry the generator's graph; `unpainted` is what it was painted on."""

    pairs: Pairs
    unpainted: Tensor
    patches: Patches


class Rotation:
    """Which patient is the validation next: each once before any twice.

    Args:
        patients: of the cases of the training fold, by their ids.
        seed: of the order.
    """

    def __init__(self, patients: Mapping[str, str], seed: int) -> None:
        self.cases_of: dict[str, list[str]] = {}
        for case_id, patient in patients.items():
            self.cases_of.setdefault(patient, []).append(case_id)
        named = sorted(self.cases_of)
        order = torch.randperm(len(named), generator=torch.Generator().manual_seed(seed)).tolist()
        self._order = [named[i] for i in order]
        self._waiting = list(self._order)

    def __len__(self) -> int:
        return len(self.cases_of)

    def next(self, busy: Sequence[str]) -> tuple[str, list[str]]:
        """The validation patient and the ids of all other patients' cases.

        Args:
            busy: cases in the training batch; a patient without any of them is preferred.
        """
        engaged = {p for p, ids in self.cases_of.items() if set(ids) & set(busy)}
        self._waiting = self._waiting or list(self._order)
        chosen = next((p for p in self._waiting if p not in engaged), self._waiting[0])
        self._waiting.remove(chosen)
        others = [i for p, ids in self.cases_of.items() if p != chosen for i in ids]
        return chosen, others

    def state_dict(self) -> dict[str, Any]:
        """Who has had a turn in this round."""
        return {"served": [p for p in self._order if p not in self._waiting]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on with the round; patients that have joined since are in it."""
        self._waiting = [p for p in self._order if p not in state.get("served", ())]


class Coupling:
    """Makes synthetic pairs and carries the validation loss back to what made them."""

    def __init__(
        self,
        trainer: GeneratorTrainer,
        proof: Proof,
        source: PatchSource,
        masks: MaskAugmentation,
        rotation: Rotation,
        generator: torch.Generator,
    ) -> None:
        self.trainer, self.proof, self.source = trainer, proof, source
        self.masks, self.rotation, self.generator = masks, rotation, generator
        self.outer_steps = 0
        self.gradient_norm: float | None = None
        self.validation_loss: float | None = None

    def synthesise(
        self, count: int, among: Sequence[str], appearance: Appearance, *, graph: bool = False
    ) -> Synthetic:
        """`count` generated pairs from the masks and surroundings of the cases `among`.

        Args:
            graph: whether the images carry the generator's graph, for an outer step. Then no mask is deformed as
                was learned from all cases, the patient left out among them.
        """
        warp = self.masks.draw_unlearned if graph else self.masks.draw
        patches = self.source.draw(count, self.generator, among=among, warp=warp)
        surroundings = appearance(patches.image, self.generator)
        pairs = Pairs(surroundings, patches.label)
        noise = self.trainer.noise_like(surroundings, self.generator)
        with torch.set_grad_enabled(graph):
            image = self.trainer.generate(pairs, noise)
            unpainted = self.trainer.seen_through(surroundings.to(image.device), noise).detach()
        return Synthetic(Pairs(image, patches.label.to(image.device)), unpainted, patches)

    def seen_through_fields(self, batch: Batch, *, graph: bool = False) -> Batch:
        """The batch as other scanners might give it, where there are intensity fields; with their graph if wanted."""
        if not self.trainer.settings.fields:
            return batch
        with torch.set_grad_enabled(graph):
            return Batch(self._elsewhere(batch.image), batch.label, batch.case_ids)

    def restricted(self, batch: Batch, others: Sequence[str]) -> Batch:
        """The batch's samples of the labelled cases `others`, and fresh ones of these where too few are left.

        So none of the patient left out, and none under a carried label, which that patient's may have shaped.
        """
        keep = [i for i, case_id in enumerate(batch.case_ids) if case_id in others]
        if len(keep) == len(batch.case_ids):
            return batch
        kept = Batch(batch.image[keep], batch.label[keep], tuple(batch.case_ids[i] for i in keep))
        missing = min(FEWEST_PAIRS, len(batch.case_ids)) - len(keep)
        if missing <= 0:
            return kept
        drawn = self.source.draw(missing, self.generator, among=others, warp=self.masks.draw_unlearned)
        return Batch(
            torch.cat([kept.image, drawn.image.to(batch.image)]),
            torch.cat([kept.label, drawn.label.to(batch.label)]),
            kept.case_ids + drawn.case_ids,
        )

    def outer_step(
        self, network: nn.Module, loss: Loss, real: Batch, synthetic: Synthetic, patient: str
    ) -> tuple[ImageHypergradient, list[Tensor]] | None:
        """Stage III: updates the architecture and the mask strengths, and takes in the alignments.

        Returns:
            The gradient and what stage I should feel of it; None when something was not finite.
        """
        device = synthetic.pairs.image.device
        held_out = self.source.draw(
            len(synthetic.patches.case_ids), self.generator, among=self.rotation.cases_of[patient]
        )
        validation = Pairs(self._sometimes_elsewhere(held_out.image).to(device), held_out.label.to(device))
        with full_precision(device):
            gradient = self._hypergradient(
                network, loss, Pairs(real.image, real.label), synthetic, validation
            )
        self.proof.observe_step("the outer step", gradient.finite)
        if not gradient.finite:
            return None
        self.outer_steps += 1
        self.gradient_norm = float(gradient.image.norm())
        self.validation_loss = gradient.validation_loss
        feedback = self.trainer.outer_step(synthetic.pairs.image, real.image, gradient)
        alignment = gradient.alignment.cpu()
        self.proof.observe(alignment, synthetic.patches.case_ids, gradient.unpainted.cpu())
        if self.trainer.settings.masks and self.proof.magnitude > 0:
            reward = (alignment / self.proof.magnitude).clamp(-2, 2)
            self.masks.learn(reward, synthetic.patches.draws, _MASK_RATE)
        if self.outer_steps % _DIVERSITY_EVERY == 1:
            self._check_diversity()
        return gradient, feedback

    def _hypergradient(
        self, network: nn.Module, loss: Loss, real: Pairs, synthetic: Synthetic, validation: Pairs
    ) -> ImageHypergradient:
        frozen = FrozenSegmenter(network, seed=self.outer_steps)
        detached = Pairs(synthetic.pairs.image.detach(), synthetic.pairs.label)
        real = Pairs(real.image.detach(), real.label)
        count = detached.image.shape[0]
        weights = torch.full((count,), 1 / count, device=detached.image.device)
        return image_hypergradient(
            frozen,
            loss,
            real,
            detached,
            validation,
            unpainted=synthetic.unpainted,
            weights=weights,
            step_gradient=training_gradient(frozen, loss, real, detached, weights),
            step_size=self.trainer.settings.step_size,
            radius=self.trainer.settings.radius,
            through_real=self.trainer.settings.fields,
        )

    def _sometimes_elsewhere(self, image: Tensor) -> Tensor:
        """Every other image as another scanner might give it, so that what helps there counts as help."""
        if not self.trainer.settings.fields:
            return image
        with torch.no_grad():
            other = self._elsewhere(image).cpu()
        elsewhere = torch.rand(len(image), generator=self.generator) < _ELSEWHERE
        return torch.where(elsewhere.reshape(-1, *[1] * (image.dim() - 1)), other, image)

    def _elsewhere(self, image: Tensor) -> Tensor:
        return self.trainer.seen_through(image, self.trainer.noise_like(image, self.generator))

    def _check_diversity(self, count: int = 4) -> None:
        """Compares generated images of `count` masks with the warped real ones they were made from."""
        everyone = [i for ids in self.rotation.cases_of.values() for i in ids]
        patches = self.source.draw(count, self.generator, among=everyone, warp=self.masks.draw)
        pairs = Pairs(patches.image, patches.label)
        with torch.no_grad():
            image = self.trainer.paint(pairs, self.trainer.noise_like(patches.image, self.generator)).cpu()
        where = neighbourhood(self.trainer.one_hot(patches.label), self.trainer.task.radii).cpu()
        self.proof.observe_diversity(diversity(image, where), diversity(patches.image, where))

    def start_anew(self) -> None:
        """Keeps what the generator has learned and searches again, trusting nothing yet: new labels."""
        self.trainer.restart_search()
        self.proof = Proof(self.proof.asked, patience=self.proof.patience)
        self.outer_steps = 0

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return {
            "trainer": self.trainer.state_dict(),
            "guard": self.proof.state_dict(),
            "masks": self.masks.state_dict(),
            "rotation": self.rotation.state_dict(),
            "random": self.generator.get_state(),
            "outer_steps": self.outer_steps,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up `state_dict`'s content.

        Raises:
            ValueError: it belongs to another task or version; then nothing has changed.
        """
        self.trainer.load_state_dict(state["trainer"])
        self.proof.load_state_dict(state["guard"])
        self.masks.load_state_dict(state["masks"])
        self.rotation.load_state_dict(state["rotation"])
        self.generator.set_state(state["random"].cpu())
        self.outer_steps = int(state["outer_steps"])
