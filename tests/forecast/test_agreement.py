"""What two readers agree to: no number without enough patients, and the stop rule that knows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scaling_app.forecast.agreement import MIN_READ_TWICE, TwoReadings, p_at_agreement, readers_of
from scaling_app.forecast.scores import OVERALL
from scaling_app.forecast.stopping import StopEvidence, advise

RISING = StopEvidence(n_now=20, cases=5, delta=0.01, p_gain=0.9, gain=0.02, n_blind=20, level=0.87)


def readings(n: int, *, dice: float = 0.88, spread: float = 0.03, patients: int | None = None) -> list:
    random = np.random.default_rng(1)
    return [
        TwoReadings(f"c{k}", f"p{k % (patients or n)}", name, float(value), 0.9)
        for k in range(n)
        for name, value in zip(("a", "b"), dice + spread * random.standard_normal(2), strict=True)
    ]


def test_below_enough_patients_there_is_a_count_and_no_number() -> None:
    assert readers_of([], 0, 2.0) is None
    few = readers_of(readings(MIN_READ_TWICE - 1), 2, 2.0)
    many_cases = readers_of(readings(3 * MIN_READ_TWICE, patients=MIN_READ_TWICE - 1), 2, 2.0)
    for readers in (few, many_cases):
        sent = readers.payload(None)
        assert sent["overall"] is None and sent["structures"] == [] and sent["n_cases"] > 0
        assert sent["n_needed"] == MIN_READ_TWICE
    assert p_at_agreement({"a": np.ones(9)}, few, 0.01) is None


def test_from_enough_patients_every_number_has_its_n_and_interval() -> None:
    sent = readers_of(readings(8), 3, 2.0).payload(0.4)
    assert sent["n_readers"] == 3 and sent["nsd_tolerance_mm"] == 2.0 and sent["p_reached"] == 0.4
    for found in (sent["overall"], *sent["structures"]):
        dice = found["dice"]
        assert 0 <= dice["lo95"] < dice["lo80"] < dice["mean"] < dice["hi80"] < dice["hi95"] <= 1
        assert found["n_cases"] == found["n_patients"] == 8
        assert found["nsd"]["mean"] == pytest.approx(0.9)


def test_several_others_of_one_case_count_as_their_mean() -> None:
    twice = [*readings(8), *(replace(one, dice=one.dice - 0.1) for one in readings(8))]
    one, both = readers_of(readings(8), 2, 2.0), readers_of(twice, 3, 2.0)
    assert both.overall.n_cases == 8
    assert both.overall.dice.mean == pytest.approx(one.overall.dice.mean - 0.05)
    assert both.overall.dice.error == pytest.approx(one.overall.dice.error)


def test_a_structure_drawn_by_one_alone_is_counted_and_scored_as_a_model_would_be() -> None:
    found = readings(8)
    found[0] = replace(found[0], dice=0.0, one_only=True)
    found[2] = replace(found[2], dice=None, nsd=None, one_only=True)
    readers = readers_of(found, 2, 2.0)
    assert readers.known["a"].one_only == 2 and readers.known["a"].n_cases == 7
    assert readers.known["a"].dice.mean < 0.8 and readers.known["b"].n_cases == 8
    assert readers.overall.n_cases == 8


def test_a_model_surely_as_far_as_two_readers_agree_stops_and_says_why() -> None:
    readers = readers_of(readings(8), 2, 2.0)
    advice = advise(replace(RISING, readers=readers, p_agreement=0.93))
    assert (advice.action, advice.cases, advice.probability) == ("stop", 0, 0.93)
    assert "two readers agree: 88 points (n = 8 cases, 80 % range 8" in advice.sentence
    assert "other scanners" in advice.sentence and "two readers agree" in advice.reason
    assert advise(replace(RISING, readers=readers, p_agreement=0.89)).action == "continue"
    assert advise(replace(RISING, readers=readers, p_agreement=None)).action == "continue"


@pytest.mark.parametrize("change", [{"n_now": 7}, {"n_blind": 3}, {"alarms": ("the scores dropped",)}])
def test_its_guards_are_those_of_every_stop(change: dict) -> None:
    readers = readers_of(readings(8), 2, 2.0)
    assert advise(replace(RISING, readers=readers, p_agreement=0.95, **change)).action == "wait"


def test_longer_training_need_not_be_tried_once_a_model_is_as_right_as_the_readers() -> None:
    longer = {"mean": 0.04, "lo80": 0.01, "hi80": 0.07}
    readers = readers_of(readings(8), 2, 2.0)
    assert advise(replace(RISING, readers=readers, p_agreement=0.95, longer=longer)).action == "stop"


def test_a_target_beyond_what_readers_agree_to_is_named() -> None:
    readers = readers_of(readings(8), 2, 2.0)
    advice = advise(replace(RISING, readers=readers, target=0.97, p_target=0.01))
    assert "97 points lies beyond what two readers agree to, 88 points (n = 8 cases" in advice.reason
    assert "beyond what" not in advise(replace(RISING, readers=readers, target=0.85, p_target=0.2)).reason


def test_near_is_judged_in_every_structure_and_knows_how_little_few_cases_say() -> None:
    few, many = readers_of(readings(6, spread=0.1), 2, 2.0), readers_of(readings(60, spread=0.1), 2, 2.0)
    levels = {name: np.full(4000, 0.90) for name in ("a", "b")}
    p_few, p_many = (p_at_agreement(levels, readers, 0.01) for readers in (few, many))
    assert p_few is not None and p_many is not None and p_few < p_many
    assert p_at_agreement({**levels, "b": np.full(4000, 0.7)}, many, 0.01) < 0.01
    assert p_at_agreement({**levels, "c": np.full(4000, 0.99)}, many, 0.01) is None
    assert OVERALL not in levels


@pytest.mark.parametrize("same", [0.0, 1.0])
def test_readings_that_all_agree_alike_tell_no_interval_and_stop_nobody(same: float) -> None:
    readers = readers_of([replace(one, dice=same) for one in readings(6)], 2, 2.0)
    sent = readers.payload(None)["overall"]["dice"]
    assert sent["mean"] == same and sent["lo80"] is None and sent["hi95"] is None
    assert p_at_agreement({name: np.full(9, 0.4) for name in ("a", "b")}, readers, 0.01) is None
