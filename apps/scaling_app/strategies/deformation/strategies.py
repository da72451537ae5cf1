"""RED, RegDA and GenDA as training strategies: each draws a certified deformation per sample.

All three keep the shared affine map and the baseline's intensity changes underneath, so that a comparison
with the baseline shows what the deformation alone brings. What they do depends on the number of registered
shapes M, labelled cases and images of the pool together:

| M | RegDA | GenDA |
|---|---|---|
| 1 | as RED | as RED |
| 2-3 | samples between the shapes | half RED, half RegDA |
| 4-14 | the same | shrinkage Gaussian on the geodesic subspace, with a random residual field |
| >= 15 | the same | the same, or the adversarial generator where it describes held-out shapes better |

A case that is not registered (beyond the `MOST_LABELLED` evenly chosen ones, or without any structure where others
have some) is deformed as by RED. Where the cases are slices of volumes the pool is left alone: its slices may hold no
structure, and a label would be carried to them all the same.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from scaling_app.imaging.extents import image_size_mm
from scaling_app.strategies.base import PreparedCase, Strategy, StrategyContext
from scaling_app.strategies.baseline import vary_intensity
from scaling_app.strategies.catalogue import entry_of
from scaling_app.strategies.deformation.budget import Budget
from scaling_app.strategies.deformation.carrying import CHECKED, carry_labels, left_out_dice
from scaling_app.strategies.deformation.folds import cell_determinants, voxel_grid
from scaling_app.strategies.deformation.generator import FEWEST_FOR_GAUSSIAN, check_kind
from scaling_app.strategies.deformation.group import Group, gather
from scaling_app.strategies.deformation.random_field import Strength, random_velocity, tempered
from scaling_app.strategies.deformation.running_bounds import RunningBounds
from scaling_app.strategies.deformation.sampling import SubspaceSampler, between_shapes
from scaling_app.strategies.deformation.velocity import Deformation, Flow, Lattice, unit_nodes

logger = logging.getLogger(__name__)

NODES_PER_SIZE = 18
"""Lattice nodes over the image size: two nodes within the narrowest width of the random fields."""

RED_STRENGTH = "3%"
STRONGEST_LEARNED = 3.39
"""Learned fields of a larger rho are scaled down: five certified factors."""
_CARRIED_SHARE = {"never": 0.0, "first": 0.5, "always": 1.0}
"""Share of the run, by steps or by the time it may take, in which carried labels are trained on."""
LEAST_CARRIED_DICE = 0.5
"""Where labels carried to left-out cases agree less with their own, nothing is carried."""
_LEAST_DETERMINANT = 0.3
"""Margin of the check on the coarser lattice: of adversarial fields 2 in 12,000 folded a grid of voxels with 0.2, none in
18,000 with 0.3."""
_SURELY_UNFOLDED = 2
"""So few factors never folded a sampled grid."""
_ROD = 3.0
"""Where two sides of a voxel are so many times longer than the third, its simplices are flat, and RED's bound is too
high for them: there its fields are checked on the voxels themselves. Thick slices alone never sampled a fold."""
_LEAST_ON_VOXELS = 0.05
"""Margin of that check."""


class _Deforming(Strategy):
    """What the three share: the baseline's intensity changes, and the record of what was drawn.

    Option `deformed_share`, in (0, 1]: the share of samples that are deformed at all (default: all).
    """

    name = "deforming"

    def __init__(self) -> None:
        self._spacing: tuple[float, ...] = ()
        self._strength = Strength.parse(RED_STRENGTH)
        self._share = 1.0
        self._drawn = RunningBounds()
        self._notes: dict[str, float | int | str | bool] = {}

    def prepare(self, cases: Sequence[PreparedCase], context: StrategyContext) -> None:
        """Takes the spacing, the strength and the share of samples to deform.

        Raises:
            ValueError: a strength or a share that cannot be.
        """
        self._spacing = tuple(context.spacing)
        self._strength = Strength.parse(context.options.get("red_strength", RED_STRENGTH))
        self._share = share_of(context.options.get("deformed_share", "1"))

    def deformation(self, case: PreparedCase, generator: torch.Generator) -> Deformation | None:
        """A fresh flow, or None for a sample that keeps its shape."""
        if self._share < 1:
            drawn = float(torch.rand((), generator=generator, device=generator.device))
            if drawn >= self._share:
                return None
        return self._deformation(case, generator)

    def _deformation(self, case: PreparedCase, generator: torch.Generator) -> Deformation:
        """A fresh flow."""
        raise NotImplementedError

    def appearance(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The baseline's intensity changes."""
        return vary_intensity(image, generator)

    def report(self) -> dict[str, float | int | str | bool]:
        """How many fields were drawn, how strong they were, and what they were learned from."""
        return self._drawn.report() | self._notes

    def begin(self, step: int) -> None:
        """Counts what is drawn from here on."""
        self._drawn.begin(step)

    def state_dict(self) -> dict[str, Any]:
        """What was drawn."""
        return {"drawn": self._drawn.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Counts on."""
        self._drawn.load_state_dict(state.get("drawn", {}))

    def _random(self, case: PreparedCase, generator: torch.Generator) -> Deformation:
        """As RED: a flow over the case's own box."""
        flow = random_flow(case.image.shape[1:], self._spacing, self._strength, generator)
        self._drawn.add(flow)
        return Deformation.in_voxels([flow], self._spacing)


class Red(_Deforming):
    """Random elastic deformation: the flow of a random smooth velocity field, never a fold.

    Option `red_strength`, "3%" of the image size or "5 mm": the standard deviation of the displacement, at
    most; each sample draws its own between zero and that.
    """

    name = "red"

    def _deformation(self, case: PreparedCase, generator: torch.Generator) -> Deformation:
        """A fresh flow over the case's own box."""
        return self._random(case, generator)


class _Subspace(_Deforming):
    """What RegDA and GenDA share: the registered group, and a way back to RED.

    Option `carry_labels`: whether half of the samples are drawn from images of the pool, under labels that
    their registration carries over from the labelled cases: `never` (the default of `regda` and `genda`),
    `first`, in the first half of the run, so that real labels have the last word, or `always`.
    """

    targets_option = ""
    carries = "never"
    carries_up_to = math.inf
    """Labelled patients, beyond which nothing is carried unless it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._group: Group | None = None
        self._carried: list[PreparedCase] = []
        self._carried_share = 0.0
        self._budget = Budget(1)

    @property
    def group(self) -> Group | None:
        """The registered shapes; None where there are none to learn from."""
        return self._group

    def prepare(self, cases: Sequence[PreparedCase], context: StrategyContext) -> None:
        """Registers the fold; what goes wrong there costs the subspace, not the training.

        Raises:
            ValueError: an option has a value that does not exist.
        """
        super().prepare(cases, context)
        wanted = context.options.get(self.targets_option, "pool")
        if wanted not in ("pool", "labelled"):
            raise ValueError(f"{self.targets_option} is pool or labelled, got {wanted!r}")
        patients = {case.patient for case in cases if case.label is not None}
        usual = self.carries if len(patients) <= self.carries_up_to else "never"
        carry = context.options.get("carry_labels", usual)
        if carry not in _CARRIED_SHARE:
            raise ValueError(f"carry_labels is {', '.join(_CARRIED_SHARE)}; got {carry!r}")
        self._carried_share = 0.0 if context.of_slices else _CARRIED_SHARE[carry]
        self._budget = Budget(context.steps, context.max_minutes)
        if context.of_slices:
            self._notes["pool_left_alone"] = (
                "the cases are slices of volumes, and slices of the pool may hold no structure"
            )
        carries = bool(self._carried_share and context.pool)
        try:
            with_pool = wanted == "pool" and not context.of_slices
            self._group = gather(cases, context, with_pool=with_pool, checked=CHECKED if carries else 0)
        except (ValueError, ArithmeticError, RuntimeError) as error:
            logger.warning("%s deforms as red: %s", self.name, error)
            self._notes |= {"shapes": 0, "fallback": str(error)}
            return
        if carries:
            try:
                self._carry(self._group, cases, context)
            except (ValueError, ArithmeticError, RuntimeError) as error:
                logger.warning("%s trains without carried labels: %s", self.name, error)
                self._notes["carried"] = 0
        shapes = len(self._group.velocities)
        self._notes |= {"shapes": shapes, "shapes_unlabelled": len(self._group.unlabelled)}
        if self._group.without_structure:
            self._notes["cases_without_structure"] = self._group.without_structure

    def _carry(self, group: Group, cases: Sequence[PreparedCase], context: StrategyContext) -> None:
        """Carries labels to the pool's images, unless the labelled cases show that this goes wrong."""
        values = sorted(context.structures.values())
        agreement = left_out_dice(group, cases, values)
        if agreement is not None:
            self._notes["carried_dice"] = round(agreement, 4)
        if agreement is None or agreement >= LEAST_CARRIED_DICE:
            self._carried = carry_labels(group, cases, context.pool, values)
        else:
            logger.warning("%s: labels carried to left-out cases have a Dice of %.2f", self.name, agreement)
        self._notes["carried"] = len(self._carried)

    def added_cases(self) -> Sequence[PreparedCase]:
        """Images of the pool under carried labels, where they were asked for."""
        return self._carried

    def begin(self, step: int) -> None:
        """Counts, and starts the clock: of several threads any may draw first."""
        super().begin(step)
        self._budget.progress(step)

    def draws_added(self, step: int) -> bool:
        """Until the share of the run that `carry_labels` says."""
        return self._budget.progress(step) < self._carried_share

    def state_dict(self) -> dict[str, Any]:
        """What was drawn, and the time used, where it decides when carried labels end."""
        return super().state_dict() | self._budget.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from both."""
        super().load_state_dict(state)
        self._budget.load_state_dict(state)

    def _deformation(self, case: PreparedCase, generator: torch.Generator) -> Deformation:
        """A fresh flow in the frame of the group, or of the case's own box where it has no place there."""
        group = self._group
        if group is None or case.case_id not in group.labelled:
            return self._random(case, generator)
        velocity = self._velocity(group, case.case_id, generator)
        if velocity is None:
            return self._random(case, generator)
        flow = sampled_unfolded(velocity, group.frame.nodes)
        self._drawn.add(flow)
        return group.deform(case.case_id, flow)

    def _velocity(self, group: Group, case_id: str, generator: torch.Generator) -> torch.Tensor | None:
        """A velocity on the group's nodes, or None to deform as RED."""
        raise NotImplementedError


class RegDA(_Subspace):
    """Samples on the way from a case to 1-3 other registered shapes, convexly mixed, mildly extrapolated.

    Option `regda_targets`: `pool` (labelled cases and images of the pool, the default) or `labelled`.
    """

    name = "regda"
    targets_option = "regda_targets"

    def _velocity(self, group: Group, case_id: str, generator: torch.Generator) -> torch.Tensor | None:
        return between_shapes(group, case_id, generator)


class RegDAPool(RegDA):
    """RegDA that takes half of its samples from images of the pool, under carried labels."""

    name = "regda+pool"
    carries = "always"


class GenDA(_Subspace):
    """Deformations generated from the geodesic subspace, conditional on the case.

    Options: `genda_generator` = `auto` (default), `gaussian` or `adversarial`; `genda_shapes` = `pool`
    (default) or `labelled`.
    """

    name = "genda"
    targets_option = "genda_shapes"

    def __init__(self) -> None:
        super().__init__()
        self._sampler: SubspaceSampler | None = None

    def prepare(self, cases: Sequence[PreparedCase], context: StrategyContext) -> None:
        """Registers the fold, finds the subspace, and chooses the generator."""
        super().prepare(cases, context)
        wanted = context.options.get("genda_generator", "auto")
        check_kind(wanted)
        if self._group is None or len(self._group.velocities) < FEWEST_FOR_GAUSSIAN:
            self._notes["generator"] = "none: too few shapes"
            return
        largest = self._strength.in_mm(self._group.frame.size_mm)
        self._sampler = SubspaceSampler(self._group, wanted, context.seed, largest)
        self._notes |= self._sampler.notes

    def _velocity(self, group: Group, case_id: str, generator: torch.Generator) -> torch.Tensor | None:
        if self._sampler is not None:
            return self._sampler.velocity(case_id, generator)
        if float(torch.rand((), generator=generator, device=generator.device)) < 0.5:
            return None
        return between_shapes(group, case_id, generator)


class GenDAPool(GenDA):
    """GenDA that begins, where few patients are labelled, on images of the pool under carried labels.

    What `genda+genseg` builds on. With sixteen labelled cases carried labels brought nothing any more
    (`benchmarks/deformation`).
    """

    name = "genda+pool"
    carries = "first"
    carries_up_to = entry_of(name).patients_with_pool or 0


def share_of(text: str) -> float:
    """A share above 0 and up to 1.

    Raises:
        ValueError: anything else.
    """
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise ValueError(f"deformed_share must be a number above 0 and up to 1, got {text!r}")
    return share


def sampled_unfolded(velocity: torch.Tensor, nodes: Lattice) -> Flow:
    """The flow of a learned velocity, ended before its samples fold either.

    A certified map has no fold. Sampled on a grid, a very strong one may still turn a simplex over. So only as many of its
    factors are applied as leave a margin on a lattice twice as coarse as the images: what passes on it passes on them.
    """
    flow = Flow.of(tempered(velocity, nodes, STRONGEST_LEARNED), nodes)
    if flow.repeats <= _SURELY_UNFOLDED:
        return flow
    reader, points = flow.reader(velocity), unit_nodes(nodes.shape, velocity)
    on_the_way = [points := flow.move(points, reader, 1) for _ in range(flow.repeats)]
    while len(on_the_way) > _SURELY_UNFOLDED:
        if float(cell_determinants(nodes.in_steps(on_the_way[-1])).min()) > _LEAST_DETERMINANT:
            break
        on_the_way.pop()
    return replace(flow, repeats=len(on_the_way))


def random_flow(
    shape: Sequence[int], spacing_mm: Sequence[float], strength: Strength, generator: torch.Generator
) -> Flow:
    """A random certified flow over an image of `shape` voxels, of at most that strength."""
    extents = [n * s for n, s in zip(shape, spacing_mm, strict=True)]
    size = image_size_mm(extents)
    lattice = Lattice.over_voxels(shape, spacing_mm, size / NODES_PER_SIZE)
    share = float(torch.rand((), generator=generator, device=generator.device))
    velocity = tempered(random_velocity(lattice, share * strength.in_mm(size), size, generator), lattice)
    flow = Flow.of(velocity, lattice)
    if sum(voxel >= _ROD * min(spacing_mm) for voxel in spacing_mm) < 2 or min(shape) < 2:
        return flow
    voxels = voxel_grid(tuple(shape))
    while True:
        moved = Deformation.in_voxels([flow], spacing_mm)(voxels)
        if float(cell_determinants(moved).min()) > _LEAST_ON_VOXELS:
            return flow
        velocity = 0.8 * velocity
        flow = Flow.of(velocity, lattice)
