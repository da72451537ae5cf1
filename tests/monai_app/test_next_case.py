"""Which case comes next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_app.monai_app.next_case import FirstCase, RandomCase, is_blind_at


def serve(desk, strategy, image=None):
    """What MONAI Label does around a strategy."""
    sample = strategy({}, desk.studies.datastore)
    if sample:
        served = {"strategy": {"random": {"ts": 2_000_000_000, "client_id": "x"}}}
        desk.studies.datastore.update_image_info(sample["id"], served)
    return sample


@given(st.integers(0, 50), st.floats(0.2, 0.25))
def test_between_a_fifth_and_a_quarter_of_the_cases_are_blind_from_the_start(seed, fraction):
    blind = [is_blind_at(rank, fraction, seed) for rank in range(200)]
    assert abs(sum(blind) / 200 - fraction) < 0.02
    for end in range(10, 200):
        assert abs(sum(blind[:end]) - fraction * end) <= 1.5


def test_no_blind_cases_without_a_share():
    assert not any(is_blind_at(rank, 0.0, 0) for rank in range(50))


def test_random_serves_every_image_once_before_it_repeats(desk_of):
    desk = desk_of(8, size=8)
    strategy = RandomCase(desk.studies)
    order = [serve(desk, strategy)["id"] for _ in range(8)]
    assert sorted(order) == sorted(desk.labels) and order != sorted(order)
    assert serve(desk, strategy)["id"] in order


def test_random_is_the_same_again_and_another_with_another_seed(desk_of):
    def first(seed: str) -> str:
        desk = desk_of(8, size=8, seed=seed)
        return RandomCase(desk.studies)({}, desk.studies.datastore)["id"]

    assert first("0") == first("0")
    assert len({first(str(seed)) for seed in range(6)}) > 1


def test_the_answer_says_whether_the_case_is_blind_and_keeps_to_it(desk_of):
    desk = desk_of(8, size=8)
    samples = [serve(desk, RandomCase(desk.studies)) for _ in range(8)]
    assert sum(s["blind"] for s in samples) in (1, 2)
    for sample in samples:
        assert ("without looking" in sample["message"]) == sample["blind"]
        assert desk.studies.ledger.is_blind(sample["id"]) is sample["blind"]
    (desk.studies.image_path("synthetic_000").parent / "datastore_v2.json").unlink()
    other_seed = desk_of(8, size=8, seed="5")
    again = {
        s["id"]: s["blind"] for s in (serve(other_seed, RandomCase(other_seed.studies)) for _ in range(8))
    }
    assert again == {s["id"]: s["blind"] for s in samples}


@pytest.mark.parametrize("strategy", [RandomCase, FirstCase])
def test_nothing_is_left_when_all_is_labelled(desk_of, strategy):
    desk = desk_of(2, size=8)
    desk.submit(*desk.labels)
    assert strategy(desk.studies)({}, desk.studies.datastore) == {}


def test_first_goes_by_name_and_makes_nothing_blind(desk_of):
    desk = desk_of(3, size=8)
    assert serve(desk, FirstCase(desk.studies))["id"] == "synthetic_000"
    desk.submit("synthetic_000")
    assert serve(desk, FirstCase(desk.studies))["id"] == "synthetic_001"
    assert desk.studies.ledger.is_blind("synthetic_001") is None


@pytest.mark.parametrize("strategy", ["x", 3, {"random": "x"}, {"random": {"ts": "soon"}}])
def test_what_a_client_wrote_about_an_image_stops_nobody_from_getting_the_next(desk_of, strategy):
    desk = desk_of(2, size=8)
    desk.studies.datastore.update_image_info("synthetic_000", {"strategy": strategy})
    assert RandomCase(desk.studies)({}, desk.studies.datastore)["id"] in desk.labels
