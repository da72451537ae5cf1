"""Which case comes next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_app.studies.next_case import CoverageCase, FirstCase, RandomCase, is_blind_at
from scaling_app.studies.splits import random_order


def serve(desk, strategy, reader="anna"):
    """What the server asks of a strategy."""
    return strategy({"reader": reader, "client_id": reader})


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
    def first(seed: str, reader: str) -> str:
        desk = desk_of(8, size=8, seed=seed)
        image = serve(desk, RandomCase(desk.studies), reader)["id"]
        desk.studies.leases.end(image, reader)
        return image

    assert first("0", "anna") == first("0", "ben")
    assert len({first(str(seed), f"reader {seed}") for seed in range(6)}) > 1


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
    assert strategy(desk.studies)({}) == {}


def test_first_goes_by_name_and_makes_nothing_blind(desk_of):
    desk = desk_of(3, size=8)
    assert serve(desk, FirstCase(desk.studies))["id"] == "synthetic_000"
    desk.submit("synthetic_000")
    assert serve(desk, FirstCase(desk.studies))["id"] == "synthetic_001"
    assert desk.studies.ledger.is_blind("synthetic_001") is None


@pytest.mark.parametrize("strategy", [RandomCase, FirstCase, CoverageCase])
def test_two_annotators_are_never_handed_the_same_case_within_its_hour(desk_of, strategy):
    desk = desk_of(4, size=8)
    rule = strategy(desk.studies)
    handed = [serve(desk, rule, reader)["id"] for reader in ("anna", "ben", "carl", "dora")]
    assert sorted(handed) == sorted(desk.labels)
    assert serve(desk, rule, "emil") == {}, "all are in somebody's hands"
    assert serve(desk, rule, "ben")["id"] == handed[1]
    desk.studies.leases.end(handed[2], "carl")
    assert serve(desk, rule, "emil")["id"] == handed[2]


@pytest.mark.parametrize("strategy", [RandomCase, FirstCase, CoverageCase])
def test_a_case_given_back_goes_to_others_first(desk_of, strategy):
    desk = desk_of(3, size=8)
    rule = strategy(desk.studies)
    first = serve(desk, rule)["id"]
    desk.studies.leases.end(first, "anna")
    assert serve(desk, rule)["id"] != first
    assert serve(desk, rule, "ben")["id"] == first


def test_leases_outlive_the_server(desk_of):
    desk = desk_of(2, size=8)
    taken = serve(desk, RandomCase(desk.studies))["id"]
    again = desk_of(2, size=8)
    assert serve(again, RandomCase(again.studies), "ben")["id"] != taken


def test_the_next_random_case_asks_only_about_those_that_stand_before_it(desk_of, monkeypatch) -> None:
    desk, asked = desk_of(8, blind_fraction="0"), []
    ordered = random_order(desk.studies.datastore.list_images(), desk.studies.conf.seed)
    desk.submit(*ordered[:2])
    real = desk.studies.has_label
    monkeypatch.setattr(
        desk.studies, "has_label", lambda image, *tag: (asked.append(image), real(image, *tag))[1]
    )
    assert RandomCase(desk.studies)({"reader": "anna"})["id"] == ordered[2]
    assert asked == list(ordered[:3])
