"""Samples are what the maps say, the same for the same seed and step, and ready before they are needed."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

from scaling_app.strategies import catalogue
from scaling_app.strategies.base import Batch, PreparedCase, Strategy, StrategyContext
from scaling_app.strategies.deformation.budget import Budget
from scaling_app.strategies.making import make_strategy
from scaling_app.trials import training
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.cases import CaseList, PreparedCases
from scaling_app.trials.plan import Plan, make_plan
from scaling_app.trials.run_settings import RunSettings
from scaling_app.trials.sampling import (
    AffineRange,
    PatchSampler,
    Prefetcher,
    box_of,
    crop,
    drawing_threads,
    grid_points,
    in_turn,
    most_ahead,
    read_at,
)
from scaling_app.trials.training import train


class Shifted(Strategy):
    """Reads two voxels further along the first axis, and doubles intensities."""

    name: ClassVar[str] = "shifted"
    affine: ClassVar[bool] = False

    def deformation(self, case: PreparedCase, generator: torch.Generator):
        return lambda points: points + torch.tensor([2.0] + [0.0] * (points.shape[-1] - 1))

    def appearance(self, image: Tensor, generator: torch.Generator) -> Tensor:
        return image * 2


@pytest.mark.parametrize("shape", [(12, 15), (11, 12, 7)])
def test_reading_equals_scipy_with_zeros_outside(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    image, label = rng.normal(size=shape).astype(np.float32), rng.integers(0, 3, shape).astype(np.uint8)
    case = PreparedCase("a", "a", torch.from_numpy(image)[None], torch.from_numpy(label)[None])
    points = torch.from_numpy(
        rng.uniform(1, np.array(shape) - 2, (*(4, 5, 3)[: len(shape)], len(shape)))
    ).float()
    found, classes = read_at(case, points, box_of(points))
    expected = map_coordinates(image, points.reshape(-1, len(shape)).numpy().T, order=1)
    assert np.allclose(found.flatten().numpy(), expected, atol=1e-4)
    nearest = label[tuple(np.rint(points.reshape(-1, len(shape)).numpy()).astype(int).T)]
    assert (classes.flatten().numpy() == nearest).all()
    outside = points + 100
    assert not read_at(case, outside, box_of(outside))[0].any()


def test_an_unmoved_grid_reads_what_a_crop_cuts_out(prepared: PreparedCases) -> None:
    case = prepared[prepared.labelled[0]]
    centre = torch.tensor([3.5, 8.5, 5.5])
    points = grid_points((8, 6, 4), centre)
    cut = crop(case, centre, (8, 6, 4))
    read = read_at(case, points, box_of(points))
    assert torch.allclose(cut[0], read[0], atol=1e-4)
    assert torch.equal(cut[1], read[1])


def test_affine_grid_points_equal_the_matrix_product() -> None:
    matrix = torch.randn((3, 3), generator=torch.Generator().manual_seed(0))
    centre = torch.tensor([1.0, 2.0, 3.0])
    plain = grid_points((4, 5, 6), torch.zeros(3))
    assert torch.allclose(grid_points((4, 5, 6), centre, matrix), plain @ matrix.T + centre, atol=1e-5)


def test_affine_maps_are_rigid_up_to_scale_in_millimetres(volume_plan: Plan) -> None:
    plan = replace(volume_plan, spacing=(1.0, 1.0, 2.0), patch=(16, 16, 16), mirrored=())
    generator = torch.Generator().manual_seed(0)
    to_mm = torch.diag(torch.tensor(plan.spacing))
    for _ in range(50):
        matrix = to_mm @ AffineRange(plan).draw(generator) @ torch.linalg.inv(to_mm)
        sizes = torch.linalg.svdvals(matrix)
        assert float(sizes.min()) > 0.55
        assert float(sizes.max()) < 1.8
        assert float(torch.det(matrix)) > 0


def test_thick_slices_are_turned_only_within(volume_plan: Plan) -> None:
    plan = replace(volume_plan, spacing=(1.0, 1.0, 8.0), mirrored=())
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        matrix = AffineRange(plan).draw(generator)
        assert matrix[2].tolist() == [0.0, 0.0, 1.0]
        assert matrix[:2, 2].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("strategy", ["none", "baseline"])
def test_batches_depend_on_seed_and_step_alone(prepared: PreparedCases, strategy: str) -> None:
    first, second = (
        PatchSampler(prepared, prepared.labelled[:3], make_strategy(strategy), seed=7) for _ in range(2)
    )
    first.batch(0)
    assert torch.equal(first.batch(5).image, second.batch(5).image)
    assert not torch.equal(first.batch(5).image, first.batch(6).image)
    other = PatchSampler(prepared, prepared.labelled[:3], make_strategy(strategy), seed=8)
    assert not torch.equal(first.batch(5).image, other.batch(5).image)


def test_every_case_comes_once_before_any_comes_twice(prepared: PreparedCases) -> None:
    sampler = PatchSampler(prepared, prepared.labelled, make_strategy("none"), seed=0)
    size = prepared.plan.batch
    drawn = [case_id for step in range(3) for case_id in sampler.batch(step).case_ids]
    for start in range(0, 3 * size - len(prepared.labelled), len(prepared.labelled)):
        assert sorted(drawn[start : start + len(prepared.labelled)]) == sorted(prepared.labelled)


def test_a_strategy_says_where_to_look_and_how_it_looks(prepared: PreparedCases) -> None:
    case_id = prepared.labelled[0]
    plain = PatchSampler(prepared, [case_id], make_strategy("none"), seed=0).batch(0)
    moved = PatchSampler(prepared, [case_id], Shifted(), seed=0).batch(0)
    inside = plain.image.shape[2] // 2
    assert torch.allclose(moved.image[:, :, : inside - 2], 2 * plain.image[:, :, 2:inside], atol=1e-3)
    assert torch.equal(moved.label[:, :, : inside - 2], plain.label[:, :, 2:inside])


def test_every_second_sample_is_of_a_case_that_the_strategy_added(prepared: PreparedCases) -> None:
    class Adding(Shifted):
        def added_cases(self):
            case = prepared[prepared.labelled[0]]
            return [replace(case, case_id=name, image=torch.full_like(case.image, 7.0)) for name in "ab"]

        def draws_added(self, step: int) -> bool:
            return step < 8

    sampler = PatchSampler(prepared, prepared.labelled[1:3], Adding(), seed=0)
    ids = [i for step in range(8) for i in sampler.batch(step).case_ids]
    assert all((i in "ab") == bool(position % 2) for position, i in enumerate(ids))
    assert len({*ids}) == 4 and not {*sampler.batch(8).case_ids} & {"a", "b"}
    batch = sampler.batch(0)
    assert batch.image[1].max() == 14.0 and batch.image[0].max() != 14.0


def test_half_of_the_patches_of_a_large_case_show_its_small_structure(volume_plan: Plan) -> None:
    plan = replace(volume_plan, patch=(8, 8, 8), batch=4)
    label = torch.zeros((1, 64, 64, 64), dtype=torch.uint8)
    label[0, 40:44, 40:44, 40:44] = 2
    case = PreparedCase("a", "a", torch.zeros((1, 64, 64, 64)), label)
    points = torch.nonzero(label[0]).numpy()

    class OneCase:
        def __init__(self) -> None:
            self.plan = plan

        def units(self, ids: list[str]) -> list[str]:
            return ids

        def __getitem__(self, case_id: str) -> PreparedCase:
            return case

        def foreground(self, case_id: str) -> list[np.ndarray]:
            return [np.zeros((0, 3), dtype=int), points]

    sampler = PatchSampler(OneCase(), ["a"], make_strategy("none"), seed=0)
    shown = [bool(sample.any()) for step in range(50) for sample in sampler.batch(step).label]
    assert 0.35 < sum(shown) / len(shown) < 0.7


class Slow:
    """A sampler that takes its time, or fails at a step."""

    def __init__(self, seconds: float, fails_at: int | None = None) -> None:
        self.seconds, self.fails_at = seconds, fails_at

    def batch(self, step: int) -> Batch:
        if step == self.fails_at:
            raise RuntimeError("no such patch")
        time.sleep(self.seconds)
        return Batch(torch.full((1,), float(step)), torch.zeros(1), (str(step),))


def test_batches_come_in_order_without_waiting_when_steps_take_longer() -> None:
    with Prefetcher(Slow(0.01), 3, 9) as batches:
        steps = []
        for batch in batches:
            time.sleep(0.03)
            steps.append(int(batch.image))
    assert steps == [3, 4, 5, 6, 7, 8]
    assert batches.waited_seconds < 0.05
    assert math.isfinite(batches.cpu_seconds)


def test_a_failure_while_drawing_reaches_the_training_loop() -> None:
    with Prefetcher(Slow(0, fails_at=2), 0, 5) as batches, pytest.raises(RuntimeError, match="no such patch"):
        list(batches)


def test_leaving_early_ends_the_threads() -> None:
    with Prefetcher(Slow(0.001), 0, 10_000, threads=2) as batches:
        next(iter(batches))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sampler")]


def test_several_threads_draw_at_a_time_and_keep_the_order() -> None:
    began = time.perf_counter()
    with Prefetcher(Slow(0.1), 0, 12, threads=4) as batches:
        assert [int(batch.image) for batch in batches] == list(range(12))
    assert time.perf_counter() - began < 0.8  # one after the other: 1.2 s


@pytest.mark.parametrize("name", ["baseline", "red"])
def test_batches_are_the_same_however_many_threads_draw(prepared: PreparedCases, name: str) -> None:
    plan, drawn = prepared.plan, []
    for threads in (1, 4):
        strategy = make_strategy(name)
        context = StrategyContext(plan.spatial_dims, plan.spacing, plan.patch, plan.classes, seed=0, steps=6)
        strategy.prepare(CaseList(prepared, prepared.labelled), context)
        sampler = PatchSampler(prepared, prepared.labelled, strategy, 0)
        with Prefetcher(sampler, 0, 6, threads=threads) as batches:
            drawn.append(torch.stack([batch.image for batch in batches]))
    assert torch.equal(*drawn)


class OnTheClock(Strategy):
    """Adds a case in the first half of the minutes, as `regda+pool` adds carried ones."""

    name: ClassVar[str] = "on the clock"
    affine: ClassVar[bool] = False
    batches: ClassVar[list[tuple[str, ...]]] = []

    def prepare(self, cases, context: StrategyContext) -> None:
        self.budget = Budget(context.steps, context.max_minutes)
        self.added = [replace(cases[0], case_id="added")]

    def added_cases(self):
        return self.added

    def begin(self, step: int) -> None:
        self.budget.progress(step)

    def draws_added(self, step: int) -> bool:
        return self.budget.progress(step) < 0.5

    def loss(self, network, loss, batch: Batch, step: int) -> Tensor:
        self.batches.append(batch.case_ids)
        return super().loss(network, loss, batch, step)

    def state_dict(self) -> dict[str, object]:
        return self.budget.state_dict()

    def load_state_dict(self, state) -> None:
        self.budget.load_state_dict(state)


def test_a_strategys_minutes_begin_anew_whichever_thread_draws_first(
    prepared: PreparedCases, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(catalogue._ADDED, OnTheClock.name, OnTheClock)
    settings = RunSettings(strategy=OnTheClock.name, steps=4, max_minutes=20.0)
    earlier = train(prepared, prepared.labelled[:2], settings)
    earlier = replace(earlier, strategy_state={"seconds": 3600.0}).save(tmp_path / "earlier.pt")
    third, real = threading.Event(), PatchSampler.batch

    def batch(sampler: PatchSampler, step: int) -> Batch:
        if step < 3:
            third.wait(10)
        drawn = real(sampler, step)
        third.set()
        return drawn

    monkeypatch.setattr(PatchSampler, "batch", batch)
    monkeypatch.setattr(training, "drawing_threads", lambda device: 4)
    OnTheClock.batches.clear()
    train(prepared, prepared.labelled[:2], settings, warm_start=earlier, fresh_weights=True)
    assert ["added" in ids for ids in OnTheClock.batches] == [True, True, False, False]


def write_stack(folder: Path, shape: tuple[int, ...], spacing: tuple[float, ...]) -> list[CaseFiles]:
    """Two noisy stacks of slices with a block in each."""
    found = []
    for name in ("a", "b"):
        label = np.zeros(shape, dtype=np.uint8)
        label[shape[0] // 4 : shape[0] // 2, shape[1] // 4 : shape[1] // 2] = 1
        noise = np.random.default_rng(len(found)).normal(size=shape)
        paths = [folder / f"{name}_{kind}.nii.gz" for kind in ("image", "label")]
        for path, array in zip(paths, ((3 * label + noise).astype(np.float32), label), strict=True):
            nib.save(nib.Nifti1Image(array, np.diag([*spacing, 1.0])), path)
        found.append(CaseFiles(name, name, *paths))
    return found


class Told(Strategy):
    """Keeps what it was told."""

    name: ClassVar[str] = "told"
    contexts: ClassVar[list[StrategyContext]] = []

    def prepare(self, cases, context: StrategyContext) -> None:
        self.contexts.append(context)


def test_points_move_little_across_few_slices_that_are_said_to_be_thin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_stack(tmp_path, (64, 64, 8), (2.0, 2.0, 1.0))
    cases = PreparedCases(make_plan(files), files, tmp_path / "cache", 2**28)
    monkeypatch.setitem(catalogue._ADDED, Told.name, Told)
    train(cases, cases.labelled, RunSettings(strategy=Told.name, steps=1))
    red = make_strategy("red")
    red.prepare(CaseList(cases, cases.labelled), Told.contexts.pop())
    case, generator = cases[cases.labelled[0]], torch.Generator().manual_seed(0)
    axes = [torch.arange(n).float() for n in case.image.shape[1:]]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    moved = torch.stack([(red.deformation(case, generator)(points) - points).abs() for _ in range(20)])
    within, across = moved[..., :2].mean(), moved[..., 2].mean()
    assert float(across) < 0.3 < float(within)


def test_beside_a_gpu_batches_wait_in_pinned_memory_and_several_threads_draw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: -tensor)
    with Prefetcher(Slow(0), 1, 3, pinned=True) as batches:
        assert [int(batch.image) for batch in batches] == [-1, -2]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    assert (drawing_threads(torch.device("cpu")), drawing_threads(torch.device("cuda"))) == (1, 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert drawing_threads(torch.device("cuda")) == 1


@pytest.mark.parametrize("size", [2, 4, 5, 8])
def test_where_less_than_a_batch_is_held_each_of_its_places_has_its_turn(size: int) -> None:
    batch = Batch(torch.arange(size), torch.arange(size), tuple(map(str, range(size))))
    assert in_turn(batch, None, 3) is batch
    for count in range(1, size):
        turns = -(-size // count)
        taken = [in_turn(batch, count, step) for step in range(7 * turns, 8 * turns)]
        assert all(part.case_ids == tuple(map(str, part.image.tolist())) for part in taken)
        assert all(len(part.case_ids) == count and torch.equal(part.image, part.label) for part in taken)
        assert {case for part in taken for case in part.case_ids} == set(batch.case_ids)


def test_batches_ahead_keep_to_the_ram_there_is_and_one_may_always_be_drawn(volume_plan: Plan) -> None:
    plan = replace(volume_plan, patch=(10, 10, 10), batch=2, channels=3)
    assert most_ahead(plan, 0) == 1
    assert [most_ahead(plan, n * 2 * 1000 * (3 * 4 + 2)) for n in (1, 7)] == [1, 7]
    begun: list[int] = []

    class Counting(Slow):
        def batch(self, step: int) -> Batch:
            begun.append(step)
            return super().batch(step)

    sampler = Counting(0)
    sampler.plan = plan
    room = 2 * 2 * 1000 * (3 * 4 + 2)
    with Prefetcher(sampler, 0, 20, threads=8, room=room) as batches:
        for done, batch in enumerate(batches):
            time.sleep(0.01)
            assert int(batch.image) == done and len(begun) <= done + 1 + 2
    assert sorted(begun) == list(range(20))
