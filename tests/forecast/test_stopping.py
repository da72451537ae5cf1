"""The stop rule, its guards and its words."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from scaling_app.forecast.forecaster import answer_question
from scaling_app.forecast.scores import Score
from scaling_app.forecast.stopping import StopEvidence, advise, check_size, confirming_size

FLAT = StopEvidence(n_now=20, cases=5, delta=0.01, p_gain=0.1, gain=0.003, low_gain_before=True, n_blind=20)


def test_the_check_looks_five_cases_or_a_quarter_ahead() -> None:
    assert [check_size(n) for n in (4, 20, 21, 40, 100)] == [5, 5, 6, 10, 25]


def test_little_to_gain_at_two_updates_stops() -> None:
    advice = advise(FLAT)
    assert advice.action == "stop"
    assert advice.probability == pytest.approx(0.9)


def test_two_opinions_lie_three_cases_or_an_eighth_apart() -> None:
    assert [n - confirming_size(n) for n in (4, 12, 24, 25, 40, 41)] == [3, 3, 3, 4, 5, 6]
    checkpoints = (8, 12, 16, 24, 32, 48, 64)
    assert all(before <= confirming_size(n) for before, n in pairwise(checkpoints))


def test_little_to_gain_once_only_does_not_stop() -> None:
    advice = advise(replace(FLAT, low_gain_before=False))
    assert advice.action == "continue"
    assert "an update some cases later" in advice.sentence


def test_as_many_as_there_are_are_left() -> None:
    said = [advise(replace(FLAT, p_gain=0.9, n_pool=left)).sentence for left in (1, 2, 5)]
    assert ["(1 is left)" in said[0], "(2 are left)" in said[1], "left" in said[2]] == [True, True, False]


def test_a_structure_still_rising_keeps_the_session_going() -> None:
    assert advise(replace(FLAT, p_gain_by_structure={"a": 0.05, "b": 0.7})).action == "continue"


def test_a_target_reached_stops() -> None:
    advice = advise(replace(FLAT, p_gain=0.9, target=0.85, p_target=0.93))
    assert (advice.action, advice.probability) == ("stop", 0.93)
    assert "target of 85 points" in advice.sentence
    longer = {"mean": 0.04, "lo80": 0.01, "hi80": 0.07}
    assert advise(replace(FLAT, target=0.85, p_target=0.93, longer=longer)).action == "stop"


def test_no_net_value_in_minutes_stops() -> None:
    assert advise(replace(FLAT, p_gain=0.6, net_value={1: -4.0, 5: -11.0})).action == "stop"
    assert advise(replace(FLAT, p_gain=0.6, net_value={1: -4.0, 5: 11.0})).action == "continue"


@pytest.mark.parametrize(
    ("change", "because"),
    [
        ({"n_now": 7}, "fewer than 8"),
        ({"n_blind": 3}, "3 of at least 6 cases"),
        ({"prior_dominated": True}, "no model of at least half"),
        ({"alarms": ("the scores dropped",)}, "the scores dropped"),
        ({"longer": {"mean": 0.04, "lo80": 0.01, "hi80": 0.07}}, "+4.0 points on the same cases"),
    ],
)
def test_guards_turn_a_stop_into_a_wait(change: dict, because: str) -> None:
    advice = advise(replace(FLAT, **change))
    assert advice.action == "wait"
    assert because in advice.sentence


@pytest.mark.parametrize(
    ("longer", "says"),
    [
        (None, "or about longer trainings"),
        ({"mean": 0.03, "lo80": -0.01, "hi80": 0.07}, "or about longer trainings"),
        ({"mean": 0.001, "lo80": -0.004, "hi80": 0.006}, "change the Dice by +0.1 points on the same cases"),
        ({"mean": 0.004, "lo80": 0.001, "hi80": 0.007}, "change the Dice by +0.4 points on the same cases"),
    ],
)
def test_a_stop_says_what_is_known_of_longer_trainings(longer: dict | None, says: str) -> None:
    advice = advise(replace(FLAT, longer=longer))
    assert advice.action == "stop"
    assert says in advice.sentence


def test_while_labelling_goes_on_longer_trainings_that_gain_more_are_named() -> None:
    rising = replace(FLAT, p_gain=0.9, gain=0.02, longer={"mean": 0.04, "lo80": 0.01, "hi80": 0.07})
    advice = advise(rising)
    assert advice.action == "continue" and "(80 %: +1.0 to +7.0)" in advice.reason
    assert advice.sentence.endswith("training 4 times as long gains 4.0 points without them.")
    flat = advise(replace(rising, p_gain=0.1, low_gain_before=False))
    assert "probably add little" in flat.sentence and "gains 4.0 points without them" in flat.sentence
    assert "as long" not in advise(replace(rising, gain=0.05)).sentence
    unsure = advise(replace(rising, longer={"mean": 0.04, "lo80": -0.01, "hi80": 0.09}))
    assert "as long" not in unsure.sentence and "80 %:" not in unsure.reason


def test_a_flat_curve_whose_longer_trainings_gain_does_not_stop() -> None:
    noise = np.random.default_rng(0).normal(scale=0.005, size=(5, 16))
    flat = [
        Score(n, 0.88 + 0.004 * i + noise[row, i], case=f"c{i}", run=f"r{n}")
        for row, n in enumerate((4, 6, 9, 13, 16))
        for i in range(16)
    ]
    longer = [
        replace(o, dice=o.dice + 0.03, kind="arm", strategy="baseline+longer", run="l") for o in flat[-16:]
    ]
    first = answer_question(flat, n_now=16)
    before = replace(first, n_now=12, low_gain=True, evidence="of 12 cases")
    held = answer_question([*flat, *longer], n_now=16, history=[before])
    assert first.low_gain and answer_question(flat, n_now=16, history=[before]).advice.action == "stop"
    assert held.advice.action == "wait" and "train longer first" in held.advice.sentence


def test_averaged_curves_need_no_blind_cases() -> None:
    assert advise(replace(FLAT, n_blind=None)).action == "stop"


def test_an_empty_pool_has_nothing_to_advise() -> None:
    assert advise(replace(FLAT, n_pool=0)).sentence == "Every case has a label."
    reached = advise(replace(FLAT, n_pool=0, target=0.85, p_target=0.93))
    assert (reached.action, reached.because) == ("stop", "target")


@pytest.mark.parametrize(
    ("change", "because", "begins"),
    [
        ({}, "gain", "It looks as if more cases of this kind would add little"),
        ({"target": 0.85, "p_target": 0.93}, "target", "The target seems to be reached"),
        ({"p_agreement": 0.95}, "agreement", "The model seems to be about as right as two readers agree"),
        (
            {"net_value": {1: -4.0}, "low_gain_before": False},
            "minutes",
            "More cases of this kind seem to cost more",
        ),
    ],
)
def test_a_stop_and_one_held_back_say_what_speaks_for_it(change: dict, because: str, begins: str) -> None:
    likely = replace(FLAT, p_gain=0.1 if because == "gain" else 0.9, **change)
    assert (advise(likely).action, advise(likely).because) == ("stop", because)
    held = advise(replace(likely, n_blind=1))
    assert (held.action, held.because) == ("wait", because)
    assert held.sentence.startswith(begins) and "only 1 of at least 6 cases was labelled" in held.sentence


@pytest.mark.parametrize("p", [0.0, 0.4, 0.95, 1.0])
def test_every_sentence_speaks_of_cases_of_this_kind_and_never_of_sufficiency(p: float) -> None:
    for before in (True, False):
        for target in (None, 0.8):
            e = replace(FLAT, p_gain=p, low_gain_before=before, target=target, p_target=p, minutes=30.0)
            sentence = advise(e).sentence
            assert "of this kind" in sentence
            assert "sufficien" not in sentence.lower()
            assert sentence.count(".") - sentence.count("0.") == 1


@pytest.mark.parametrize("p", [0.05, 0.5, 0.95])
def test_a_dice_is_told_in_points_and_a_chance_in_words_as_everywhere_else(p: float) -> None:
    for before in (True, False):
        for target in (None, 0.85):
            behind = {"a": 0.2, "b": p}
            e = replace(FLAT, p_gain=p, low_gain_before=before, target=target, p_target=p)
            advice = advise(replace(e, p_target_by_structure=behind))
            said = advice.sentence + advice.reason
            assert not re.search(r"\b0\.\d\d|P\(", said), said
            assert "target" not in said or "85 points" in said


def test_advice_to_stop_for_want_of_gain_says_that_longer_trainings_are_another_matter() -> None:
    assert "longer trainings" in advise(FLAT).sentence
    assert "longer trainings" not in advise(replace(FLAT, target=0.8, p_target=1.0)).sentence


def test_minutes_are_told_where_known() -> None:
    assert "30 minutes" in advise(replace(FLAT, p_gain=0.7, minutes=30.0)).sentence
    assert "2.5 hours" in advise(replace(FLAT, p_gain=0.7, minutes=150.0)).sentence


def plateau(n_now: int) -> list[Score]:
    return [
        Score(n, 0.85 + 0.001 * seed, seed=seed)
        for n in (2, 4, 8, 16, 32, 64)
        if n <= n_now
        for seed in range(3)
    ]


def with_one_more(n_now: int) -> list[Score]:
    return [*plateau(n_now), Score(max(2, n_now // 2), 0.8505, seed=9)]


def test_a_flat_session_stops_at_its_second_opinion_and_not_at_the_same_one() -> None:
    first = answer_question(plateau(32), n_now=32)
    assert first.advice.action == "continue"
    assert first.low_gain
    same = answer_question(plateau(32), n_now=32, history=[first])
    assert same.advice.action == "continue"
    for earlier in (first, first.payload()):
        assert answer_question(plateau(64), n_now=40, history=[earlier]).advice.action == "stop"


def test_an_update_of_hardly_fewer_cases_is_no_second_opinion() -> None:
    first = answer_question(plateau(24), n_now=24)
    near = replace(first, n_now=28, evidence="of 28 cases")
    assert first.low_gain
    for past in (near, {**near.payload(), "overall": {"forecast": [{"n": 29, "extra": 1}]}}):
        assert answer_question(with_one_more(24), n_now=30, history=[past]).advice.action == "continue"
        assert answer_question(with_one_more(24), n_now=30, history=[first, past]).advice.action == "stop"


def test_a_label_without_a_new_test_is_no_second_opinion() -> None:
    first = answer_question(plateau(16), n_now=16)
    assert first.low_gain
    assert answer_question(plateau(16), n_now=20, history=[first]).advice.action == "continue"
    assert answer_question(plateau(16), n_now=20, history=[first.payload()]).advice.action == "continue"


@pytest.mark.parametrize(("n_now", "later_n"), [(16, 19), (24, 28), (44, 51)])
def test_a_payload_keeps_whether_there_was_little_to_gain(n_now: int, later_n: int) -> None:
    first = answer_question(plateau(n_now), n_now=n_now)
    later = [
        answer_question(with_one_more(n_now), n_now=later_n, history=[past]).advice.action
        for past in (first, first.payload())
    ]
    assert first.low_gain
    assert later == ["stop", "stop"]


def test_models_of_few_of_the_cases_do_not_stop_a_session() -> None:
    small = [o for o in plateau(24) if o.n <= 6]
    first = answer_question(small, n_now=39)
    second = answer_question([*small, replace(small[-1], run="later")], n_now=40, history=[first])
    assert first.status == second.status == "prior_dominated"
    assert "stop" not in (first.advice.action, second.advice.action)


def test_history_without_a_forecast_is_no_opinion() -> None:
    unknown = answer_question([], n_now=2)
    assert answer_question(plateau(64), n_now=40, history=[unknown.payload()]).advice.action == "continue"
