"""What may be mirrored is learned from the cases: cells may, a heart may not, and two cases tell nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scaling_app.strategies.base import StrategyContext
from scaling_app.strategies.baseline import Baseline
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.inference import predict
from scaling_app.trials.plan import Plan
from scaling_app.trials.run_settings import RunSettings
from scaling_app.trials.sampling import AffineRange
from scaling_app.trials.sides import leans, mirrored_axes
from scaling_app.trials.training import train

CPU = torch.device("cpu")


def picture(rng: np.random.Generator, *, ordered: bool = False, lit: bool = False) -> tuple:
    """Two discs somewhere in a 48 x 64 picture; `ordered`: the second lies right of the first; `lit` from the right."""
    rows, columns = np.mgrid[:48, :64]
    first, second = (
        np.hypot(rows - rng.uniform(10, 38), columns - x) < 6
        for x in (rng.choice([rng.uniform(10, 20), rng.uniform(44, 54)], 2, replace=False))
    )
    if ordered and np.argwhere(first)[:, 1].mean() > np.argwhere(second)[:, 1].mean():
        first, second = second, first
    label = first + 2 * (second & ~first)
    image = rng.normal(size=label.shape) + 3 * (label > 0) + (0.1 * columns if lit else 0)
    return leans(image.astype(np.float32), label.astype(np.uint8), [1, 2])


@pytest.mark.parametrize("count", [8, 24])
def test_what_lies_anywhere_may_be_mirrored_along_every_axis(count: int) -> None:
    found = [
        mirrored_axes([picture(rng) for _ in range(count)]) for rng in map(np.random.default_rng, range(20))
    ]
    assert sum(len(axes) for axes in found) >= 0.6 * 2 * 20
    assert count == 8 or sum(axes == (0, 1) for axes in found) >= 18


@pytest.mark.parametrize("how", ["ordered", "lit"])
@pytest.mark.parametrize("count", [4, 8, 24])
def test_structures_in_order_and_light_from_one_side_are_never_mirrored(how: str, count: int) -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        assert 1 not in mirrored_axes([picture(rng, **{how: True}) for _ in range(count)])


def of_pair(rng: np.random.Generator, alone: float, *, moved: bool = False) -> tuple:
    """One or both organs of a pair, the first left of the second; `alone`: how often one, then anywhere if `moved`."""
    rows, columns = np.mgrid[:48, :64]
    shown = [int(rng.integers(2))] if rng.random() < alone else [0, 1]
    label = np.zeros(rows.shape, np.uint8)
    for which in shown:
        middle = (16, 47)[which] + rng.uniform(-5, 5)
        if moved and len(shown) == 1:
            middle = rng.uniform(10, 54)
        label[np.hypot(rows - rng.uniform(14, 34), columns - middle) < rng.uniform(5, 8)] = which + 1
    return leans((rng.normal(size=label.shape) + 3 * (label > 0)).astype(np.float32), label, [1, 2])


@pytest.mark.parametrize(
    ("alone", "moved"),
    [(0, False), (0.3, True), (0.5, False), (0.5, True), (0.7, False), (0.9, False), (1, False)],
)
@pytest.mark.parametrize("count", [8, 24])
def test_organs_of_a_pair_are_never_mirrored_though_most_cases_show_one(
    alone: float, moved: bool, count: int
) -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        cases = [of_pair(rng, alone, moved=moved) for _ in range(count)]
        if moved:  # where all are alone and anywhere, nothing tells the sides
            cases[0] = of_pair(rng, 0)
        assert 1 not in mirrored_axes(cases)


def test_three_cases_or_a_structure_in_three_of_them_tell_nothing() -> None:
    rng = np.random.default_rng(0)
    empty = np.zeros((8, 8), np.uint8)
    even = [leans(rng.normal(size=(8, 8)).astype(np.float32), empty, [1]) for _ in range(24)]
    assert mirrored_axes(even) == (0, 1)
    assert mirrored_axes(even[:3]) == ()
    rare = [picture(rng) for _ in range(3)]
    assert mirrored_axes([*even, *rare]) == ()


def test_a_voxel_more_on_one_side_is_no_side() -> None:
    label = np.zeros((33, 100), np.uint8)
    label[10:23, 31:70] = 1  # half a voxel off the middle, in every case
    assert mirrored_axes([leans(label.astype(np.float32), label, [1])] * 8) == (0, 1)
    label[:, 80:] = 1
    assert mirrored_axes([leans(label.astype(np.float32), label, [1])] * 8) == (0,)


def test_an_image_of_one_value_and_a_large_scan_have_leans() -> None:
    assert leans(np.zeros((4, 4), np.float32), np.zeros((4, 4), np.uint8), [1])[0] == {"brightness": 0.0}
    label = np.zeros((300, 8, 8), np.uint8)
    label[210:] = 7
    lean = leans(np.ones(label.shape, np.float32), label, [7])[0]
    assert lean["structures"] == pytest.approx(0.35, abs=0.01)


def test_samples_are_mirrored_half_of_the_time_along_the_axes_that_the_plan_names(volume_plan: Plan) -> None:
    drawn = AffineRange(replace(volume_plan, mirrored=(1,)))
    generator = torch.Generator().manual_seed(0)
    signs = torch.stack([torch.diagonal(drawn.draw(generator)).sign() for _ in range(400)])
    assert (signs[:, [0, 2]] == 1).all()
    assert 160 <= int((signs[:, 1] == -1).sum()) <= 240


def test_a_strategy_is_told_along_which_axes_the_plan_mirrors(
    prepared: PreparedCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[StrategyContext] = []
    monkeypatch.setattr(Baseline, "prepare", lambda strategy, cases, context: told.append(context))
    cases = prepared.at(replace(prepared.plan, mirrored=(0, 2)))
    train(cases, cases.labelled, RunSettings(steps=1))
    assert [context.mirrored for context in told] == [(0, 2)]


class Leaning(nn.Module):
    """Says what it is told by the voxel before along the second axis: a network that knows one side."""

    def forward(self, image: Tensor) -> Tensor:
        said = torch.roll(image, 1, dims=3)
        return torch.cat([torch.zeros_like(said), said, torch.full_like(said, -9)], dim=1)


def test_a_prediction_of_a_picture_is_the_mean_over_both_sides(volume_plan: Plan) -> None:
    plan = replace(volume_plan, spatial_dims=2, spacing=(1.0, 1.0), patch=(8, 8), mirrored=(1,))
    image = torch.randn((1, 8, 8), generator=torch.Generator().manual_seed(0))

    def turned_and_back(plan: Plan) -> Tensor:
        return predict(Leaning(), plan, image.flip(2), CPU).flip(2)

    assert torch.allclose(predict(Leaning(), plan, image, CPU), turned_and_back(plan), atol=1e-3)
    one_side = replace(plan, mirrored=())
    assert not torch.allclose(predict(Leaning(), one_side, image, CPU), turned_and_back(one_side), atol=1e-3)


def test_a_volume_on_a_processor_is_not_worked_through_eight_times(volume_plan: Plan) -> None:
    passes = 0

    class Counting(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            nonlocal passes
            passes += 1
            return torch.cat([image] * 3, dim=1)

    plan = replace(volume_plan, patch=(8, 8, 8), mirrored=(0, 1, 2))
    predict(Counting(), plan, torch.zeros((1, 8, 8, 8)), CPU)
    assert passes == 1
