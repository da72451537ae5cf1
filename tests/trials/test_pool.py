"""Images without labels: opened when asked for, left out when they cannot be used, remembered when looked at."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scaling_app.imaging.synthetic import STRUCTURES
from scaling_app.imaging.untrusted import ImageError
from scaling_app.strategies import catalogue
from scaling_app.strategies.base import PreparedCase, Strategy, StrategyContext
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.cases import Pool, PreparedCases
from scaling_app.trials.model import TrainedModel, predictor_from
from scaling_app.trials.plan import Plan, make_plan
from scaling_app.trials.run_settings import RunSettings
from scaling_app.trials.training import train

STEPS = 2


@pytest.fixture
def mixed(volumes: list[CaseFiles], tmp_path: Path) -> list[CaseFiles]:
    """Three labelled cases, and three without a label of which the second has two channels."""
    loaded = nib.load(volumes[4].image)
    two = np.stack([np.asanyarray(loaded.dataobj)] * 2, axis=-1)
    nib.save(nib.Nifti1Image(two, loaded.affine), tmp_path / "two.nii.gz")
    pool = [replace(case, label=None) for case in volumes[3:]]
    return [*volumes[:3], pool[0], replace(pool[1], case_id="odd", image=tmp_path / "two.nii.gz"), pool[2]]


def cases_for(mixed: list[CaseFiles], folder: Path, spatial_dims: int) -> PreparedCases:
    plan = make_plan(mixed[:3], STRUCTURES, spatial_dims=spatial_dims, capacity=4)
    return PreparedCases(plan, mixed, folder / "cache", 2**28)


def prepared_on_disk(cases: PreparedCases) -> int:
    return len(list(cases.cache_dir.glob("*.json")))


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("strategy", ["none", "baseline"])
def test_a_training_that_needs_no_pool_opens_none_of_it(mixed, tmp_path, spatial_dims, strategy) -> None:
    cases = cases_for(mixed, tmp_path, spatial_dims)
    settings = RunSettings(strategy=strategy, steps=STEPS)
    model = train(cases, cases.labelled, settings, pool_ids=cases.pool)
    assert prepared_on_disk(cases) == len(cases.labelled) and model.pool_ids == ()


def test_a_training_on_slices_prepares_no_volume_of_the_pool_to_carry_labels_to(mixed, tmp_path) -> None:
    cases = cases_for(mixed, tmp_path, 2)
    settings = RunSettings(strategy="regda+pool", steps=STEPS)
    model = train(cases, cases.labelled, settings, pool_ids=cases.pool)
    assert prepared_on_disk(cases) == len(cases.labelled) and model.pool_ids == ()
    assert "slices" in model.report["strategy_pool_left_alone"]


def test_in_three_dimensions_the_pool_is_counted_unopened_and_read_one_by_one(mixed, tmp_path) -> None:
    cases = cases_for(mixed, tmp_path, 3)
    pool = Pool(cases, cases.pool)
    assert len(pool) == 3 and prepared_on_disk(cases) == 0 and pool.seen == ()
    assert pool[2].case_id == mixed[5].case_id
    assert prepared_on_disk(cases) == 1 and pool.seen == (mixed[5].case_id,)


def test_an_image_that_cannot_be_used_is_named_and_passed_over(mixed, tmp_path, caplog) -> None:
    cases = cases_for(mixed, tmp_path, 3)
    pool = Pool(cases, cases.pool)
    with pytest.raises(ImageError, match=r"odd.*channel"):
        pool[1]
    with caplog.at_level(logging.WARNING):
        assert [case.case_id for case in pool] == [mixed[3].case_id, mixed[5].case_id]
    assert "odd" in caplog.text
    gone = replace(mixed[3], case_id="gone", image=tmp_path / "gone.nii.gz")
    cases = PreparedCases(cases.plan, [*mixed, gone], tmp_path / "cache", 2**28)
    with pytest.raises(ImageError, match="gone"):
        Pool(cases, ["gone"])[0]


def test_slices_of_an_unusable_volume_are_left_out_and_those_looked_at_are_named_by_their_volume(
    mixed, tmp_path, caplog
) -> None:
    cases = cases_for(mixed, tmp_path, 2)
    pool = Pool(cases, cases.pool)
    with caplog.at_level(logging.WARNING):
        slices = [case.case_id for case in pool]
    assert "odd" in caplog.text
    assert {unit.partition("@")[0] for unit in slices} == {mixed[3].case_id, mixed[5].case_id}
    assert pool.seen == (mixed[3].case_id, mixed[5].case_id)


class Looking(Strategy):
    """Looks at one image of the pool, another in every run of its."""

    name: ClassVar[str] = "looking"
    turn: ClassVar[int] = 0

    def prepare(self, cases: Sequence[PreparedCase], context: StrategyContext) -> None:
        assert context.pool[2 * Looking.turn].label is None
        Looking.turn += 1


def test_the_model_says_which_images_were_looked_at_before_an_interruption_too(
    mixed, tmp_path, monkeypatch
) -> None:
    monkeypatch.setitem(catalogue._ADDED, "looking", Looking)
    monkeypatch.setattr(Looking, "turn", 0)
    cases = cases_for(mixed, tmp_path, 3)
    settings = RunSettings(strategy="looking", steps=STEPS)
    more = {"pool_ids": cases.pool, "checkpoint": tmp_path / "run.pt"}
    asked = iter([False, True])
    first = train(cases, cases.labelled, settings, should_stop=lambda: next(asked), **more)
    assert first.pool_ids == (mixed[3].case_id,)
    second = train(cases, cases.labelled, settings, **more)
    assert second.pool_ids == (mixed[3].case_id, mixed[5].case_id)
    assert TrainedModel.load(second.save(tmp_path / "m.pt"), "cpu").pool_ids == second.pool_ids


class Bright(nn.Module):
    """Class 1 where the normalised image is above 0, class 2 above 1."""

    def forward(self, image: Tensor) -> Tensor:
        x = image[:, :1]
        return 20 * torch.cat([torch.zeros_like(x), x, 2 * x - 1], dim=1)


def model_of(plan: Plan) -> TrainedModel:
    return TrainedModel(plan, Bright(), (), {}, torch.device("cpu"))


def test_a_model_predicts_on_the_grid_of_another_plan(prepared: PreparedCases, volume_plan: Plan) -> None:
    image = prepared[prepared.labelled[0]].image
    same = model_of(volume_plan).predictor_for(volume_plan)(image)
    assert torch.equal(same, model_of(volume_plan).predict(image))
    coarser = replace(volume_plan, spacing=tuple(1.3 * s for s in volume_plan.spacing))
    other = model_of(coarser).predictor_for(volume_plan)(image)
    assert other.shape == same.shape
    assert float((other.argmax(0) == same.argmax(0)).float().mean()) > 0.8
    renamed = replace(volume_plan, structures={f"new {k}": v for k, v in STRUCTURES.items()})
    assert model_of(volume_plan).predictor_for(renamed) is not None


def test_a_model_of_slices_predicts_a_slice(mixed, tmp_path) -> None:
    cases = cases_for(mixed, tmp_path, 2)
    unit = cases[cases.units(cases.labelled)[0]]
    assert model_of(cases.plan).predictor_for(cases.plan)(unit.image).shape == (3, *unit.image.shape[1:])


def test_predictions_of_a_model_of_another_kind_are_not_used(volume_plan: Plan, tmp_path: Path) -> None:
    model = model_of(volume_plan)
    for other in (
        replace(volume_plan, structures={"organ": 1}),
        replace(volume_plan, channels=2),
        replace(volume_plan, spatial_dims=2, slice_axis=2),
        replace(volume_plan, intensity=replace(volume_plan.intensity, kind="ct")),
    ):
        assert model.predictor_for(other) is None
    assert predictor_from(tmp_path / "nowhere.pt", volume_plan, torch.device("cpu")) is None
