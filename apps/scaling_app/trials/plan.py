"""The plan of a task: the common grid, the patch, the batch and the intensities, read off the cases.

As in nnU-Net (Isensee et al., Nat Methods 18:203, 2021) everything follows from a few properties of the
training cases and the memory at hand. Two things differ: a patch on a CPU is bounded by the work of a
step and not by memory alone, and where a patch would cover little of a case the grid is made coarser, as
long as the thinnest structure stays a few voxels thick. A plan is made from training cases only.

Where the structures fill little of a case, the plan is of a coarse look that finds them, and holds a `fine` one of
the boxes about them; see `coarse_to_fine`.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import torch

from scaling_app.imaging.extents import thickened
from scaling_app.imaging.network_table import DEFAULT_NETWORK, NETWORKS
from scaling_app.imaging.networks import (
    Strides,
    padded_shape,
    patch_multiples,
    planned_weights,
    strides_for,
    width_of,
)
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.fingerprint import Fingerprint, Intensity, found_structures, take_fingerprints
from scaling_app.trials.memory import NoRoomError, ram_of_step, step_bytes

logger = logging.getLogger(__name__)

ANISOTROPIC = 3.0
"""Ratio of voxel sizes or patch sides from which the random affine map stays within the slices."""

# Of a batch of the cheap network; others take so many less as they are slower.
_CPU_VOXELS = {2: 294_912, 3: 368_640}
_BATCH = {2: 8, 3: 4}
_FEW_CLASSES, _CLASS_BYTES = 8, 24  # a voxel and class beyond these: 20 measured, at 30 to 300 classes
_WEIGHT_BYTES, _SMALL_WEIGHTS = 20, 16 * 2**20
"""A weight, its gradient, AdamW's two means and that of the weights; up to so many bytes of them are in what a voxel takes."""
_COVERED = 1 / 4
_THINNEST_VOXELS = 2.0
_WELL_SEEN_VOXELS, _MOST_COARSER, _SMALLEST_PICTURE = 5.0, 2.0, 64
_THICK = 32
_DEEPEST, _COARSEST = 6, 8
_LITTLE = 1 / 8
_FOUND_VOXELS = 0.5
_FINER = 1.5
_MARGIN_VOXELS = 5
_UNBOUNDED_MB = 2**40


@dataclass(frozen=True)
class Plan:
    """How cases are prepared and networks built for one task.

    Attributes:
        spacing: mm per voxel of the common grid, canonical axis order; in a 2D plan of volumes, of the
            two axes within a slice.
        structures: name to label value in the files. Inside, classes are 0 (background), 1, 2, ... in the
            order of the values: `class_values`.
        slice_axis: the canonical axis across the slices when a 2D plan works on volumes, else None.
        memory_mb: bound on the memory of a training step, images in RAM not counted.
        fine: the plan of a second network, for the boxes about the structures that this plan's network finds.
        margin_mm: on each side of such a box, in the plan of the second network; None: whole cases.
        mirrored: axes of the grid along which training cases are mirrored at random, and a prediction is the mean
            over both sides; see `sides`.
    """

    spatial_dims: Literal[2, 3]
    spacing: tuple[float, ...]
    patch: tuple[int, ...]
    batch: int
    channels: int
    structures: dict[str, int]
    intensity: Intensity
    median_shape: tuple[int, ...]
    network: str = DEFAULT_NETWORK
    capacity: str | int = "small"
    memory_mb: int = 2048
    slice_axis: int | None = None
    fine: Plan | None = None
    margin_mm: float | None = None
    mirrored: tuple[int, ...] = ()
    version: int = 1

    @property
    def class_values(self) -> tuple[int, ...]:
        """The label value of each class, background first."""
        return (0, *sorted(self.structures.values()))

    @property
    def classes(self) -> dict[str, int]:
        """Structure name to class index 1, 2, ..."""
        return {name: self.class_values.index(value) for name, value in self.structures.items()}

    @property
    def strides(self) -> Strides:
        """Strides between the network's levels."""
        return _strides(self.network, self.patch, self.spacing)

    @property
    def coarse_axis(self) -> int | None:
        """The axis across thick slices, along which the random affine map moves nothing; None if there is none."""
        if self.spatial_dims == 2:
            return None
        by_spacing = max(range(3), key=lambda axis: self.spacing[axis])
        if self.spacing[by_spacing] >= ANISOTROPIC * min(self.spacing):
            return by_spacing
        shortest = min(range(3), key=lambda axis: self.patch[axis])
        return shortest if max(self.patch) >= ANISOTROPIC * self.patch[shortest] else None

    @property
    def believed_spacing(self) -> tuple[float, ...]:
        """`spacing` for what moves points: files of few slices often say 1 mm where 10 lie between two."""
        flat = self.coarse_axis is not None and max(self.spacing) < ANISOTROPIC * min(self.spacing)
        sides = [n * size for n, size in zip(self.median_shape, self.spacing, strict=True)]
        return thickened(self.spacing, sides) if flat else self.spacing

    def reach(self, spacing: Sequence[float]) -> tuple[list[int], list[int]]:
        """The margin of a box, and a patch, in voxels of a grid of this spacing."""
        sides = [n * size for n, size in zip(self.patch, self.spacing, strict=True)]
        margin, patch = (
            [math.ceil(mm / size) for mm, size in zip(wanted, spacing, strict=True)]
            for wanted in ([self.margin_mm or 0.0] * self.spatial_dims, sides)
        )
        return margin, patch

    def to_json(self) -> str:
        """The plan as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The plan that `to_json` wrote.

        Raises:
            ValueError: not a plan, or one of another version.
        """
        try:
            values = json.loads(text)
            if values.get("fine") is not None:
                values["fine"] = cls.from_json(json.dumps(values["fine"]))
            values["intensity"] = Intensity.from_json(values["intensity"])
            for key in ("spacing", "patch", "median_shape", "mirrored"):
                values[key] = tuple(values.get(key, ()))
            plan = cls(**values)
        except (TypeError, KeyError) as error:
            raise ValueError(f"this is not a plan of this version: {error}") from error
        if plan.version != cls.version:
            raise ValueError(
                f"the plan's version is {plan.version}, this program's {cls.version}; plan again"
            )
        return plan


def make_plan(
    cases: Sequence[CaseFiles],
    structures: Mapping[str, int] | None = None,
    *,
    spatial_dims: Literal[2, 3] | None = None,
    network: str = DEFAULT_NETWORK,
    capacity: str | int | None = None,
    memory_bytes: int | None = None,
    coarse_to_fine: bool = True,
) -> Plan:
    """Plans a task from its training cases.

    Args:
        cases: the training cases; up to 24 of them, spread evenly, are opened.
        structures: name to label value; default all values found in the labels.
        spatial_dims: default 2 for pictures and single slices, else 3. A 2D plan of volumes works
            within the slices across their coarsest axis.
        capacity: default `large` on a GPU, else `small`.
        memory_bytes: bound for a training step; default `step_bytes()`.
        coarse_to_fine: plan two networks where the structures fill little of the cases.

    Raises:
        ValueError: no cases, no structures, cases of different dimensions or channels, unknown network.
        ImageError: an unreadable file.
    """
    if network not in NETWORKS:
        raise ValueError(f"unknown network {network!r}; there are: {', '.join(NETWORKS)}")
    if not cases:
        raise ValueError("a plan needs at least one labelled case")
    structures = dict(structures) if structures else found_structures(cases)
    if not structures or len(set(structures.values())) < len(structures) or min(structures.values()) < 1:
        raise ValueError(f"structures need different label values of at least 1, got {structures}")
    prints = take_fingerprints(cases, structures)
    dims, slice_axis = _dimensions(
        prints, 2 if NETWORKS[network].planar and spatial_dims is None else spatial_dims
    )
    capacity = capacity if capacity is not None else default_capacity()
    width_of(capacity)
    on_gpu = torch.cuda.is_available()
    memory = memory_bytes if memory_bytes is not None else step_bytes()
    axes = [axis for axis in range(len(prints.median_spacing)) if axis != slice_axis][:dims]
    draft = Plan(
        spatial_dims=dims,
        spacing=tuple(prints.target_spacing[axis] for axis in axes),
        patch=(8,) * dims,
        batch=_BATCH[dims],
        channels=prints.channels,
        structures=structures,
        intensity=prints.intensity,
        median_shape=(),
        network=network,
        capacity=capacity,
        memory_mb=memory // 2**20,
        slice_axis=slice_axis,
        mirrored=tuple(axes.index(axis) for axis in prints.mirrored if axis in axes),
    )
    extent_mm = [prints.median_extent_mm[axis] for axis in axes]
    draft = _at_spacing(draft, extent_mm, draft.spacing)
    plan = draft if on_gpu else _coarsened(draft, prints.thinnest_mm, extent_mm)
    plan = _with_patch(plan, on_gpu)
    if coarse_to_fine and not on_gpu and dims == 3:
        plan = _in_two_looks(draft, prints) or plan
    return plan


def _with_patch(plan: Plan, on_gpu: bool) -> Plan:
    patch, batch = _patch_and_batch(plan, on_gpu)
    plan = replace(plan, patch=patch, batch=batch)
    _require_room(plan)
    logger.info("plan: spacing %s, patch %s, batch %d", plan.spacing, plan.patch, plan.batch)
    return plan


def _in_two_looks(draft: Plan, prints: Fingerprint) -> Plan | None:
    """A coarse look at whole cases, and a finer one into the boxes; None where that brings no finer voxels.

    Whether it does is asked without a bound on memory: nobody who allows more gets one look at coarser voxels for it.
    """
    whole = prints.median_extent_mm
    coarse, fine, box, _ = _two_looks(replace(draft, memory_mb=_UNBOUNDED_MB), prints)
    if math.prod(box) > _LITTLE * math.prod(whole) or min(coarse.spacing) < _FINER * min(fine.spacing):
        return None
    coarse, fine, _, margin = _two_looks(draft, prints)
    if min(fine.spacing) >= min(_coarsened(draft, prints.thinnest_mm, whole).spacing):
        return None
    fine = replace(_with_patch(fine, on_gpu=False), margin_mm=_rounded(margin))
    return replace(_with_patch(coarse, on_gpu=False), fine=fine)


def _two_looks(draft: Plan, prints: Fingerprint) -> tuple[Plan, Plan, list[float], float]:
    """The grids of a coarse and a fine look, the median box of the fine one, and how wide its margin is, in mm.

    The coarse voxels may be so large that the thinnest structure is just seen: it has to be found there, no more.
    """
    whole = prints.median_extent_mm
    seen = prints.thinnest_mm * _THINNEST_VOXELS / _FOUND_VOXELS
    coarse = _coarsened(draft, seen, whole)
    margin = _MARGIN_VOXELS * min(coarse.spacing)
    box = [min(mm, inside + 2 * margin) for mm, inside in zip(whole, prints.median_box_mm, strict=True)]
    fine = _coarsened(_at_spacing(draft, box, draft.spacing), prints.thinnest_mm, box)
    return coarse, fine, box, margin


def _dimensions(prints: Fingerprint, wanted: int | None) -> tuple[Literal[2, 3], int | None]:
    volumes = len(prints.median_spacing) == 3
    if not volumes:
        if wanted == 3:
            raise ValueError("the images are pictures; dimension 3 needs volumes, use dimension 2")
        return 2, None
    coarsest = max(range(3), key=lambda axis: (prints.median_spacing[axis], -prints.median_shape[axis]))
    single = [axis for axis in range(3) if prints.median_shape[axis] == 1]
    if single and wanted != 3:
        return 2, single[0]
    return (2, coarsest) if wanted == 2 else (3, None)


def default_capacity() -> str:
    """What suits the device: a GPU does in a step what a processor does in a minute."""
    return "large" if torch.cuda.is_available() else "small"


def _at_spacing(plan: Plan, extent_mm: Sequence[float], spacing: Sequence[float]) -> Plan:
    shape = tuple(max(1, round(mm / size)) for mm, size in zip(extent_mm, spacing, strict=True))
    return replace(plan, spacing=tuple(_rounded(size) for size in spacing), median_shape=shape)


def _rounded(mm: float) -> float:
    return round(mm, 4) if mm >= 1e-3 else float(f"{mm:.4g}")


def _coarsened(plan: Plan, thinnest_mm: float, extent_mm: Sequence[float]) -> Plan:
    """Enlarges the finest voxels until a patch covers a quarter of the median case, within reason.

    Measured by the patch of the small network: whoever asks for a larger or smaller one does not ask for another grid.
    Pixels grow on while all structures are well seen: from few pictures a network learns where a structure is sooner than
    how its texture differs (`benchmarks/engine`).
    """
    native = min(plan.spacing)
    for _ in range(64):
        finest = min(plan.spacing)
        coarser = [size * 1.1 if size < 1.5 * finest else size for size in plan.spacing]
        if thinnest_mm < _kept_voxels(plan, native) * min(coarser):
            return plan
        plan = _at_spacing(plan, extent_mm, coarser)
    return plan


def _kept_voxels(plan: Plan, native: float) -> float:
    """How many voxels the thinnest structure has to keep if those of a plan are to grow; infinite where they are not."""
    patch, _ = _patch_and_batch(replace(plan, capacity="small"), on_gpu=False)
    if math.prod(patch) < _COVERED * math.prod(plan.median_shape):
        return _THINNEST_VOXELS
    is_fine = 1.1 * min(plan.spacing) <= _MOST_COARSER * native
    may_grow = plan.spatial_dims == 2 and is_fine and min(plan.median_shape) >= 1.1 * _SMALLEST_PICTURE
    return _WELL_SEEN_VOXELS if may_grow else math.inf


def _patch_and_batch(plan: Plan, on_gpu: bool) -> tuple[tuple[int, ...], int]:
    """The median shape, rounded up to what the network takes, shrunk to the bound on a batch.

    One of a single patch only where two of the smallest would be larger than the bound.
    """
    voxels = max(0, plan.memory_mb * 2**20 - _weight_bytes(plan)) // _bytes_per_voxel(plan)
    if not on_gpu:
        voxels = min(voxels, int(_CPU_VOXELS[plan.spatial_dims] * NETWORKS[plan.network].speed))
    for batch in range(_BATCH[plan.spatial_dims], 1, -1):  # a larger patch is worth more than a larger batch
        patch = _fit(plan, plan.median_shape, voxels // batch)
        covers = all(side >= n for side, n in zip(patch, plan.median_shape, strict=True))
        step = batch * _voxels_seen(plan, patch)
        if covers and step <= voxels:  # the smallest patch may be larger
            break
    return (patch, batch) if step <= voxels else (_fit(plan, plan.median_shape, voxels), 1)


def _voxels_seen(plan: Plan, patch: Sequence[int]) -> int:
    """Those of a patch as its network takes it."""
    return math.prod(padded_shape(patch, _multiples(plan, patch)))


def _multiples(plan: Plan, patch: Sequence[int]) -> tuple[int, ...]:
    return patch_multiples(plan.network, plan.spatial_dims, _strides(plan.network, patch, plan.spacing))


def _bytes_per_voxel(plan: Plan) -> int:
    """Memory of a training step for each voxel of a batch: of the network, and of many classes' logits, loss and gradient."""
    of_network = NETWORKS[plan.network].bytes_per_voxel * width_of(plan.capacity)
    return of_network + _CLASS_BYTES * max(0, len(plan.class_values) - _FEW_CLASSES)


def _weight_bytes(plan: Plan) -> int:
    """Memory of the weights and all that goes with each, beyond those of a small network; of no fewer levels than the plan's."""
    strides = _strides(plan.network, plan.median_shape, plan.spacing)
    count = planned_weights(
        plan.network, plan.spatial_dims, plan.channels, len(plan.class_values), plan.capacity, strides
    )
    return max(0, _WEIGHT_BYTES * count - _SMALL_WEIGHTS)


def _require_room(plan: Plan) -> None:
    needed = plan.batch * _voxels_seen(plan, plan.patch) * _bytes_per_voxel(plan) + _weight_bytes(plan)
    if needed > plan.memory_mb * 2**20:
        mib, on_gpu = -(-needed // 2**20), torch.cuda.is_available()
        more = "take a GPU with more" if on_gpu else "allow more"
        raise NoRoomError(
            f"the smallest training step of {plan.network} ({plan.capacity}) takes {mib} MiB and {plan.memory_mb} MiB are "
            f"allowed: {more} memory, or take a smaller capacity",
            None if on_gpu else ram_of_step(mib * 2**20),
        )


def _fit(plan: Plan, shape: Sequence[int], voxels: int) -> tuple[int, ...]:
    """The largest patch of which the network sees at most `voxels`, and which divides well; longer sides give way first."""
    sides = [max(8, n) if n > 4 else n for n in shape]
    larger: tuple[int, ...] | None = None
    while True:
        multiples = _multiples(plan, sides)
        patch = tuple(-(-n // m) * m for n, m in zip(sides, multiples, strict=True))
        shrinkable = [axis for axis in range(len(sides)) if patch[axis] > multiples[axis]]
        seen = _voxels_seen(plan, patch)
        if seen <= voxels or not shrinkable:  # the smallest patch is filled up; a larger one may cost no more
            return larger if larger and _voxels_seen(plan, larger) == seen else patch
        larger = patch
        axis = max(shrinkable, key=lambda a: patch[a] * plan.spacing[a])
        sides[axis] = patch[axis] - multiples[axis]


def _strides(network: str, patch: Sequence[int], spacing: Sequence[float]) -> Strides:
    if NETWORKS[network].keeps_slices and len(patch) == 3 and max(patch) >= ANISOTROPIC * min(patch):
        thick = min(range(len(patch)), key=lambda axis: patch[axis])
        spacing = [
            max(size, _THICK * min(spacing)) if axis == thick else size for axis, size in enumerate(spacing)
        ]
    levels = 4 if len(patch) == 2 else 3
    if NETWORKS[network].deepens:
        levels = max(levels, min(_DEEPEST, int(math.log2(max(patch) / _COARSEST))))
    return strides_for(patch, spacing, levels)
