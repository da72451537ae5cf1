"""Images of the pool in the deformation strategies: few are opened, and one that is unusable costs only itself."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
import torch

from scaling_app.imaging.untrusted import ImageError
from scaling_app.strategies.base import PreparedCase
from scaling_app.strategies.deformation import atlas_store, group
from scaling_app.strategies.making import make_strategy

pytestmark = pytest.mark.usefixtures("coarse_registrations")


class Opened(Sequence[PreparedCase]):
    """A pool that notes what is opened; some of its images cannot be."""

    def __init__(self, cases: Sequence[PreparedCase], unusable: Sequence[int] = ()) -> None:
        self.cases, self.unusable, self.opened = cases, unusable, set()

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> PreparedCase:
        if index in self.unusable:
            raise ImageError(f"the unlabelled image {self.cases[index].case_id} cannot be used")
        self.opened.add(index)
        return self.cases[index]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("registrations")


@pytest.mark.parametrize("name", ["regda", "regda+pool", "genda"])
def test_no_more_images_are_opened_than_are_registered(
    pictures, context, bare, cache, monkeypatch, name
) -> None:
    monkeypatch.setattr(group, "MOST_UNLABELLED", 2)
    pool = Opened([bare(case) for case in pictures[8:14]], unusable=[2])
    strategy = make_strategy(name)
    strategy.prepare(pictures[:4], context(2, cache_dir=cache, pool=pool))
    assert pool.opened == {0, 5} and strategy.report()["shapes_unlabelled"] == 2
    assert [case.case_id for case in strategy.added_cases()] == (
        ["case8", "case13"] if name == "regda+pool" else []
    )


@pytest.mark.parametrize("name", ["regda", "regda+pool", "genda"])
def test_an_unusable_image_is_left_out_and_named_and_the_others_are_learned_from(
    pictures, context, bare, cache, caplog, name
) -> None:
    pool = Opened([bare(case) for case in pictures[8:11]], unusable=[1])
    strategy = make_strategy(name)
    with caplog.at_level(logging.WARNING):
        strategy.prepare(pictures[:4], context(2, cache_dir=cache, pool=pool))
    report = strategy.report()
    assert "fallback" not in report and "case9" in caplog.text
    assert (report["shapes"], report["shapes_unlabelled"]) == (6, 2)
    assert report.get("carried", 2) == 2


@pytest.mark.parametrize("name", ["regda", "regda+pool", "genda"])
def test_where_cases_are_slices_of_volumes_nothing_is_carried_and_the_pool_not_even_counted(
    pictures, context, cache, name
) -> None:
    class Closed(Opened):
        def __len__(self) -> int:
            pytest.fail("the pool was counted")

    pool = Closed([])
    strategy = make_strategy(name)
    known = {"cache_dir": cache, "pool": pool, "options": {"carry_labels": "always"}, "of_slices": True}
    strategy.prepare(pictures[:4], context(2, **known))
    report = strategy.report()
    assert list(strategy.added_cases()) == [] and pool.opened == set()
    assert "slices of volumes" in report["pool_left_alone"]
    assert (report["shapes"], report["shapes_unlabelled"]) == (4, 0)


def test_an_image_that_cannot_be_registered_is_left_out(pictures, context, bare, caplog, monkeypatch) -> None:
    register = atlas_store.register_unlabelled

    def fails_on_one(atlas, case, *more):
        if case.case_id == "case9":
            raise RuntimeError("did not converge")
        return register(atlas, case, *more)

    monkeypatch.setattr(atlas_store, "register_unlabelled", fails_on_one)
    strategy = make_strategy("genda")
    with caplog.at_level(logging.WARNING):
        strategy.prepare(pictures[:2], context(2, pool=[bare(case) for case in pictures[8:11]]))
    assert strategy.report()["shapes_unlabelled"] == 2 and "case9" in caplog.text


def test_predictions_place_images_of_the_pool_but_not_the_cases_that_check_carried_labels(
    pictures, context, bare
) -> None:
    asked = []

    def predict(image: torch.Tensor) -> torch.Tensor:
        asked.append(image)
        label = pictures[9].label[0].long()
        return torch.nn.functional.one_hot(label, 3).movedim(-1, 0).float()

    strategy = make_strategy("regda+pool")
    strategy.prepare(pictures[:3], context(2, pool=[bare(pictures[9])], predict=predict))
    assert len(asked) == 1 and torch.equal(asked[0], pictures[9].image)
    assert "carried_dice" in strategy.report()
