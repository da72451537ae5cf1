"""Training samples: one resampling of the prepared case per sample, drawn ahead in threads.

A patch's grid of points goes through the shared random affine map, then through the strategy's
deformation; image and label are read there once. What is drawn depends on the seed and the step alone, so
that a resumed run sees the batches it would have seen.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scaling_app.strategies.base import Batch, PreparedCase, Strategy
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.plan import Plan
from scaling_app.trials.preparation import foreground_points

_FOREGROUND_SHARE = 0.5
_AHEAD = 4
_MOST_THREADS = 8
_IMAGE_BYTES, _LABEL_BYTES = 4, 2


class AffineRange:
    """The shared random affine map, in mm about the patch's centre; each part is drawn with a probability.

    nnU-Net's ranges, drawn more often: few cases need it more. Mirrored only along the axes whose sides do not matter,
    and in pictures with 30 degrees instead of 180: organs mostly lie the same way up. Along thick slices nothing moves.
    """

    rotation = math.radians(30)
    log_scale = math.log(1.3)
    stretch = 0.1
    shear = 0.1
    probability = 0.7

    def __init__(self, plan: Plan) -> None:
        self.dims = plan.spatial_dims
        self.spacing = torch.tensor(plan.spacing)
        self.coarse_axis = plan.coarse_axis
        self.mirrored = plan.mirrored

    def draw(self, generator: torch.Generator) -> Tensor:
        """A `(D, D)` matrix that maps offsets in voxels from the centre to offsets to read at."""
        free = [axis for axis in range(self.dims) if axis != self.coarse_axis]
        matrix = torch.eye(self.dims)
        if _chance(generator, self.probability):
            for first, second in [(a, b) for a in free for b in free if a < b]:
                matrix = _rotation(self.dims, first, second, _uniform(generator, self.rotation)) @ matrix
        if _chance(generator, self.probability):
            common = _uniform(generator, self.log_scale)
            sizes = torch.ones(self.dims)
            for axis in free:
                sizes[axis] = math.exp(common + _uniform(generator, self.stretch))
            matrix = matrix @ torch.diag(sizes)
        if _chance(generator, self.probability / 2):
            shear = torch.eye(self.dims)
            for first, second in [(a, b) for a in free for b in free if a != b]:
                shear[first, second] = _uniform(generator, self.shear)
            matrix = matrix @ shear
        for axis in self.mirrored:
            if _chance(generator, 0.5):
                matrix[:, axis] *= -1
        return matrix * self.spacing[None, :] / self.spacing[:, None]


class PatchSampler:
    """Draws the batches of a training run.

    Args:
        cases: the prepared cases.
        train_ids: the cases to draw from, in turn: each once before any twice.
        strategy: prepared already.
    """

    def __init__(
        self,
        cases: PreparedCases,
        train_ids: Sequence[str],
        strategy: Strategy,
        seed: int,
    ) -> None:
        self.plan = cases.plan
        self._cases = cases
        self._units = cases.units(train_ids)
        self._strategy = strategy
        self._seed = seed
        self._affine = AffineRange(cases.plan) if strategy.affine else None
        self._added = {case.case_id: case for case in strategy.added_cases()}
        classes = len(cases.plan.class_values)
        self._added_points = {
            i: foreground_points(case.known_label, classes) for i, case in self._added.items()
        }

    def batch(self, step: int) -> Batch:
        """The batch of one step; the same for the same seed and step."""
        generator = torch.Generator().manual_seed(step_seed(self._seed, step))
        added = bool(self._added) and self._strategy.draws_added(step)
        ids = [self._unit(step * self.plan.batch + i, added) for i in range(self.plan.batch)]
        samples = [self._sample(unit, generator) for unit in ids]
        image = torch.stack([image for image, _ in samples])
        label = torch.stack([label for _, label in samples])
        image = self._strategy.appearance(image, generator)
        return Batch(image.contiguous(), label, tuple(ids))

    def _unit(self, position: int, with_added: bool) -> str:
        """In turn; every second one is of the strategy's added cases where they are drawn from."""
        units = self._units
        if with_added:
            position, added = divmod(position, 2)
            units = list(self._added) if added else units
        turn, index = divmod(position, len(units))
        order = np.random.default_rng([self._seed, turn]).permutation(len(units))
        return units[int(order[index])]

    def _sample(self, unit: str, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        case = self._added[unit] if unit in self._added else self._cases[unit]
        centre = self._centre(unit, case, generator)
        matrix = self._affine.draw(generator) if self._affine else None
        deform = self._strategy.deformation(case, generator)
        if matrix is None and deform is None:
            return crop(case, centre, self.plan.patch)
        points = grid_points(self.plan.patch, centre, matrix)
        if deform is None:  # the box about the corners of an affine patch holds all of it
            return read_at(case, points, box_of(_corners(points)))
        points = deform(points)
        return read_at(case, points, box_of(points))

    def _centre(self, unit: str, case: PreparedCase, generator: torch.Generator) -> Tensor:
        """A foreground voxel in half of the draws, else anywhere; the patch stays inside where it can."""
        shape = case.image.shape[1:]
        low = torch.tensor(
            [min((p - 1) / 2, (n - 1) / 2) for n, p in zip(shape, self.plan.patch, strict=True)]
        )
        high = torch.tensor([float(n - 1) for n in shape]) - low
        centre = low + torch.rand(len(shape), generator=generator) * (high - low)
        if _chance(generator, _FOREGROUND_SHARE):
            found = self._added_points[unit] if unit in self._added else self._cases.foreground(unit)
            filled = [points for points in found if len(points)]
            if filled:
                points = filled[_below(generator, len(filled))]
                voxel = torch.from_numpy(points[_below(generator, len(points))]).float()
                jitter = (
                    (torch.rand(len(shape), generator=generator) - 0.5) * torch.tensor(self.plan.patch) / 2
                )
                centre = torch.minimum(torch.maximum(voxel + jitter, low), high)
        # whole voxels between the patch's points when nothing turns it: no blur without need
        return torch.floor(centre - low) + low


def drawing_threads(device: torch.device) -> int:
    """How many threads draw: one beside a training on the processor, most of the processor's cores beside a GPU."""
    if device.type != "cuda":
        return 1
    return max(1, min(_MOST_THREADS, torch.get_num_threads() - 1))


def most_ahead(plan: Plan, room: int) -> int:
    """How many batches may lie ahead in so many bytes; one at least."""
    samples = plan.batch * math.prod(plan.patch)
    return max(1, room // (samples * (_IMAGE_BYTES * plan.channels + _LABEL_BYTES)))


def in_turn(batch: Batch, count: int | None, step: int) -> Batch:
    """So many of a batch's samples, others at the next step: every place of a batch has its turn. None: all.

    A strategy's added cases have places of their own.
    """
    if count is None:
        return batch
    size = len(batch.case_ids)
    first = min(step % -(-size // count) * count, size - count)
    chosen = slice(first, first + count)  # no copy: what is pinned stays so
    return Batch(batch.image[chosen], batch.label[chosen], batch.case_ids[chosen])


class Prefetcher:
    """Batches `start..stop` in order, drawn ahead in threads; counts what that costs and how long is waited.

    Args:
        threads: how many draw at a time.
        room: bytes for the batches drawn and being drawn, beside the one at hand; None: no bound.
        pinned: leave batches in page-locked memory, from which a GPU copies while it computes.

    Attributes:
        cpu_seconds: processor time that drawing took.
        waited_seconds: how long the training loop stood still for it.
    """

    def __init__(
        self,
        sampler: PatchSampler,
        start: int,
        stop: int,
        *,
        threads: int = 1,
        room: int | None = None,
        pinned: bool = False,
    ) -> None:
        self.cpu_seconds = 0.0
        self.waited_seconds = 0.0
        self._sampler = sampler
        self._pinned = pinned
        self._steps = iter(range(start, stop))
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="sampler")
        self._ahead: deque[Future[tuple[Batch, float]]] = deque()
        depth = threads + _AHEAD - 1
        self._depth = depth if room is None else min(depth, most_ahead(sampler.plan, room))

    def __enter__(self) -> Prefetcher:
        for step in islice(self._steps, self._depth):
            self._ask_for(step)
        return self

    def __exit__(self, *_: object) -> None:
        self._workers.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[Batch]:
        first = True
        while self._ahead:
            began = time.perf_counter()
            batch, seconds = self._ahead.popleft().result()
            if not first:  # the first batch cannot be drawn ahead
                self.waited_seconds += time.perf_counter() - began
            first = False
            self.cpu_seconds += seconds
            for step in islice(self._steps, 1):
                self._ask_for(step)
            yield batch

    def _ask_for(self, step: int) -> None:
        self._ahead.append(self._workers.submit(self._draw, step))

    def _draw(self, step: int) -> tuple[Batch, float]:
        began = time.thread_time()
        batch = self._sampler.batch(step)
        if self._pinned:
            batch = replace(batch, image=batch.image.pin_memory(), label=batch.label.pin_memory())
        return batch, time.thread_time() - began


def grid_points(patch: Sequence[int], centre: Tensor, matrix: Tensor | None = None) -> Tensor:
    """The points `(*P, D)` of a patch about `centre`, in voxels, its offsets mapped by `matrix`."""
    dims = len(patch)
    matrix = torch.eye(dims) if matrix is None else matrix
    points = centre.float().expand(*patch, dims)
    for axis, size in enumerate(patch):
        # one axis at a time: sums of broadcast rows are several times faster than a matrix product
        row = (torch.arange(size, dtype=torch.float32) - (size - 1) / 2)[:, None] * matrix[:, axis]
        points = points + row.view(*(size if other == axis else 1 for other in range(dims)), dims)
    return points


def box_of(points: Tensor) -> tuple[Tensor, Tensor]:
    """The lowest and highest coordinates `(D,)` of points `(*P, D)`."""
    extremes = [torch.aminmax(column) for column in points.reshape(-1, points.shape[-1]).unbind(-1)]
    return torch.stack([e.min for e in extremes]), torch.stack([e.max for e in extremes])


def read_at(case: PreparedCase, points: Tensor, box: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Reads image (linear) and label (nearest) at `points (*P, D)`; 0 outside the case.

    Only the `box` that holds the points is read from a memory-mapped case.
    """
    shape = torch.tensor(case.image.shape[1:])
    low = torch.minimum(box[0].floor().long().clamp_min(0), shape - 1)
    high = torch.maximum(torch.minimum(box[1].ceil().long(), shape - 1), low)
    inside = (slice(None), *(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True)))
    sizes = (high - low + 1).to(points.dtype)
    # grid_sample's convention for align_corners=False, last array axis first
    grid = torch.addcmul((1 - 2 * low) / sizes - 1, points, 2 / sizes).flip(-1)[None]
    image = case.image[inside].float()[None]
    label = case.known_label[inside].float()[None]
    read = F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0]
    classes = F.grid_sample(label, grid, mode="nearest", padding_mode="zeros", align_corners=False)[0]
    return read, classes.to(case.known_label.dtype)


def crop(case: PreparedCase, centre: Tensor, patch: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The patch of whole voxels about `centre`, 0 outside the case."""
    start = torch.round(centre - (torch.tensor(patch) - 1) / 2).long().tolist()
    shape = case.image.shape[1:]
    inside = tuple(slice(max(0, s), min(n, s + p)) for s, p, n in zip(start, patch, shape, strict=True))
    target = tuple(slice(i.start - s, i.stop - s) for i, s in zip(inside, start, strict=True))
    image = torch.zeros((case.image.shape[0], *patch))
    label = torch.zeros((1, *patch), dtype=case.known_label.dtype)
    whole, part = (slice(None), *inside), (slice(None), *target)
    image[part] = case.image[whole]
    label[part] = case.known_label[whole]
    return image, label


def _corners(points: Tensor) -> Tensor:
    for axis in range(points.ndim - 1):
        points = points[(slice(None),) * axis + (slice(None, None, max(1, points.shape[axis] - 1)),)]
    return points


def _rotation(dims: int, first: int, second: int, angle: float) -> Tensor:
    matrix = torch.eye(dims)
    matrix[first, first] = matrix[second, second] = math.cos(angle)
    matrix[first, second], matrix[second, first] = -math.sin(angle), math.sin(angle)
    return matrix


def step_seed(seed: int, step: int) -> int:
    """The seed of one step's draws."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, dtype=np.uint64)[0]) >> 1


def _uniform(generator: torch.Generator, bound: float) -> float:
    return float((torch.rand((), generator=generator) * 2 - 1) * bound)


def _chance(generator: torch.Generator, probability: float) -> bool:
    return bool(torch.rand((), generator=generator) < probability)


def _below(generator: torch.Generator, count: int) -> int:
    return int(torch.randint(count, (), generator=generator))
