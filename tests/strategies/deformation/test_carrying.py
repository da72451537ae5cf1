"""Labels carried to images that have none: near the truth, within the label set, and only when asked for."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from scaling_app.imaging.synthetic import STRUCTURES
from scaling_app.strategies.base import PreparedCase, Strategy
from scaling_app.strategies.catalogue import same_as
from scaling_app.strategies.deformation import budget
from scaling_app.strategies.deformation.atlas import without_patient
from scaling_app.strategies.deformation.carrying import left_out_dice
from scaling_app.strategies.deformation.group import gather
from scaling_app.strategies.deformation.strategies import LEAST_CARRIED_DICE
from scaling_app.strategies.making import make_strategy


def dice(a: torch.Tensor, b: torch.Tensor) -> float:
    return 2 * float((a & b).sum()) / max(1.0, float(a.sum() + b.sum()))


@pytest.fixture(scope="module")
def carried(pictures, context, bare, tmp_path_factory) -> list[PreparedCase]:
    strategy = make_strategy("regda+pool")
    pool = [bare(case) for case in pictures[8:12]]
    strategy.prepare(pictures[:8], context(2, cache_dir=tmp_path_factory.mktemp("carried"), pool=pool))
    assert strategy.report()["carried"] == 4
    return list(strategy.added_cases())


def test_carried_labels_lie_nearer_to_the_truth_than_another_cases_label(carried, pictures) -> None:
    truth = {case.case_id: case.label for case in pictures}
    near = [dice(case.label > 0, truth[case.case_id] > 0) for case in carried]
    far = [dice(truth["case0"] > 0, truth[case.case_id] > 0) for case in carried]
    assert sum(near) / len(near) > max(0.5, sum(far) / len(far) + 0.1)


def test_carried_labels_keep_to_the_label_set_and_the_images_stay_as_they_are(carried, pictures) -> None:
    images = {case.case_id: case.image for case in pictures}
    assert [case.case_id for case in carried] == [f"case{i}" for i in range(8, 12)]
    for case in carried:
        assert torch.equal(case.image, images[case.case_id])
        assert case.label.dtype == torch.uint8 and case.label.shape[1:] == case.image.shape[1:]
        assert set(case.label.unique().tolist()) <= {0, *STRUCTURES.values()}


@pytest.mark.usefixtures("coarse_registrations")
def test_nothing_is_added_unless_asked_for_or_without_a_pool(pictures, context, bare, tmp_path) -> None:
    for options, pool in (({}, [bare(pictures[9])]), ({"carry_labels": "always"}, [])):
        strategy = make_strategy("genda")
        strategy.prepare(pictures[:4], context(2, cache_dir=tmp_path, pool=pool, options=options))
        assert list(strategy.added_cases()) == []
    first = make_strategy("regda")
    context_of_ten = context(
        2, cache_dir=tmp_path, pool=[bare(pictures[9])], options={"carry_labels": "first"}
    )
    first.prepare(pictures[:4], context_of_ten)
    assert [first.draws_added(step) for step in range(10)] == [True] * 5 + [False] * 5
    with pytest.raises(ValueError, match="carry_labels"):
        make_strategy("regda").prepare(pictures[:1], context(2, options={"carry_labels": "often"}))


def test_under_a_time_limit_carried_labels_end_with_their_share_of_the_time(
    pictures, context, monkeypatch
) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def first_half(**limit) -> Strategy:
        strategy = make_strategy("regda")
        strategy.prepare(pictures[:1], context(2, options={"carry_labels": "first"}, **limit))
        return strategy

    limited, unlimited = first_half(max_minutes=1.0), first_half()
    drawn = []
    for step, clock.now in enumerate((100.0, 120.0, 129.0, 131.0)):
        drawn.append((limited.draws_added(step), unlimited.draws_added(step)))
    assert drawn == [(True, True)] * 3 + [(False, True)]
    assert first_half(max_minutes=1.0).draws_added(5) is False
    assert "seconds" not in unlimited.state_dict()


def test_the_time_for_carried_labels_begins_with_the_run_whichever_step_is_drawn_first(
    pictures, context, monkeypatch
) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: clock.now))
    for name in ("regda", "genda+genseg"):
        strategy = make_strategy(name)
        strategy.prepare(pictures[:1], context(2, options={"carry_labels": "first"}, max_minutes=1.0))
        deforming = getattr(strategy, "real", strategy)
        deforming.load_state_dict({"seconds": 3600.0})
        strategy.begin(0)
        assert strategy.draws_added(3), "what was taken up is an earlier run's"


def test_the_time_for_carried_labels_goes_on_in_a_resumed_run_and_anew_in_the_next_one(
    pictures, context, monkeypatch
) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def from_state(state: dict[str, object]) -> Strategy:
        strategy = make_strategy("regda")
        strategy.prepare(pictures[:1], context(2, options={"carry_labels": "first"}, max_minutes=1.0))
        strategy.load_state_dict(state)
        return strategy

    killed = from_state({})
    assert killed.draws_added(0)
    clock.now = 20.0
    state = killed.state_dict()
    clock.now = 500.0
    resumed, later = from_state(state), from_state(state)
    assert resumed.draws_added(1) and later.draws_added(0)
    assert resumed.state_dict() == state
    clock.now = 511.0
    assert not resumed.draws_added(2) and later.draws_added(1)


def test_nothing_is_carried_where_left_out_cases_show_that_it_goes_wrong(pictures, context, bare) -> None:
    def astray(case: PreparedCase, shift: int) -> PreparedCase:
        label = torch.zeros_like(case.label)
        label[:, shift : shift + 4, 2 * shift : 2 * shift + 4] = next(iter(STRUCTURES.values()))
        return PreparedCase(case.case_id, case.patient, case.image, label)

    agreed = {}
    for name, cases in (
        ("right", pictures[:4]),
        ("wrong", [astray(c, 2 + 4 * i) for i, c in enumerate(pictures[:4])]),
    ):
        strategy = make_strategy("regda+pool")
        strategy.prepare(cases, context(2, pool=[bare(pictures[9])]))
        agreed[name] = strategy.report()["carried_dice"], len(strategy.added_cases())
    assert agreed["right"][0] > LEAST_CARRIED_DICE > agreed["wrong"][0]
    assert (agreed["right"][1], agreed["wrong"][1]) == (1, 0)


@pytest.mark.usefixtures("coarse_registrations")
def test_the_atlas_around_which_a_case_is_left_out_lies_amid_the_others_and_shows_them_alone(
    pictures, context
) -> None:
    left, *others = cases = pictures[:4]
    group = gather(cases, context(2), with_pool=False, checked=1)
    atlas, _ = group.left_out[left.case_id]
    assert set(atlas.members) == {case.case_id for case in others}
    velocities = torch.stack([found.velocity for found in atlas.members.values()])
    assert float(velocities.sum(dim=0).abs().max()) < 1e-4
    unlike = PreparedCase(left.case_id, left.patient, left.image.flip(1), left.label.flip(1))
    again = without_patient(group.atlas, [unlike, *others], (1.0, 1.0), group.labelled)(left.patient)
    assert torch.equal(again.template.image, atlas.template.image) and again.centre == atlas.centre


@pytest.mark.usefixtures("coarse_registrations")
def test_a_case_is_left_out_with_all_of_its_patients(pictures, context) -> None:
    values = sorted(STRUCTURES.values())
    twice = [*pictures[:3], *(replace(case, case_id=f"{case.case_id} again") for case in pictures[:3])]
    once, again = (
        left_out_dice(gather(cases, context(2), with_pool=False, checked=10), cases, values)
        for cases in (pictures[:3], twice)
    )
    assert again == pytest.approx(once, abs=1e-3)
    one_patient = [pictures[0], replace(pictures[1], patient=pictures[0].patient)]
    group = gather(one_patient, context(2), with_pool=False, checked=10)
    assert left_out_dice(group, one_patient, values) is None


@pytest.mark.usefixtures("coarse_registrations")
def test_one_labelled_case_cannot_be_left_out_and_is_carried_all_the_same(pictures, context, bare) -> None:
    strategy = make_strategy("regda+pool")
    strategy.prepare(pictures[:1], context(2, pool=[bare(pictures[9])]))
    assert "carried_dice" not in strategy.report() and strategy.report()["carried"] == 1


@pytest.mark.parametrize("name", ["regda+pool", "genda+pool"])
@pytest.mark.usefixtures("coarse_registrations")
def test_without_unlabelled_images_a_strategy_draws_what_the_catalogue_calls_the_same(
    name, pictures, context, tmp_path
) -> None:
    def drawn(strategy_name: str) -> list[torch.Tensor]:
        strategy = make_strategy(strategy_name)
        strategy.prepare(pictures[:4], context(2, cache_dir=tmp_path))
        generator = torch.Generator().manual_seed(3)
        points = torch.rand(20, 2, generator=torch.Generator().manual_seed(1)) * 20
        maps = [strategy.deformation(case, generator) for case in pictures[:4] for _ in range(3)]
        assert not strategy.added_cases()
        return [points if move is None else move(points) for move in maps]

    twin = same_as(name, 4, 0)
    assert twin != name
    for mine, its in zip(drawn(name), drawn(twin), strict=True):
        assert torch.equal(mine, its)
