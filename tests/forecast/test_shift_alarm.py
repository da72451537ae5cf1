"""What the held-out patients' re-tests, one by every published model, do to the alarms: nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from scaling_app.forecast.bayes import BayesForecaster
from scaling_app.forecast.prior import shipped_prior
from scaling_app.forecast.scores import Score
from scaling_app.forecast.shift_alarm import find_shift, first_scores
from scaling_app.forecast.simulation import SPREAD, random_truth

HELD_OUT_FROM = 20


def published_stream(seed: int, shift: float, n_cases: int = 45, at: int = 26) -> list[Score]:
    """A model after every case tests the next one and, from 20 on, every fifth case so far once more."""
    rng = np.random.default_rng(seed)
    truth = random_truth(rng)
    difficulty = rng.normal(0, SPREAD.case, n_cases)
    difficulty[at:] += shift
    seen: list[Score] = []
    for n in range(2, n_cases):
        luck = truth.eta(np.array([float(n)]))[0] + rng.normal(0, SPREAD.run / np.sqrt(n))
        again = range(5, n, 5) if n >= HELD_OUT_FROM else ()
        for case in (*again, n):
            dice = float(expit(-(luck + difficulty[case] + rng.normal(0, SPREAD.residual))))
            seen.append(Score(n, dice, case=f"c{case:02d}", run=f"r{n}", kind="prequential"))
    return seen


def test_a_shift_is_found_although_held_out_patients_are_tested_again_and_again() -> None:
    alarms = [find_shift(published_stream(s, 2.0), shipped_prior(), SPREAD) for s in range(12)]
    caught = [a for a in alarms if a is not None]
    assert len(caught) >= 10
    assert all(a.lower for a in caught)
    assert np.median([int(a.case[1:]) for a in caught]) == pytest.approx(26, abs=3)


def test_tests_of_the_same_cases_again_change_no_alarm() -> None:
    seen = published_stream(0, 2.0)
    once = [o for o in seen if int(o.case[1:]) == o.n]
    assert first_scores(seen) == once
    assert find_shift(seen, shipped_prior(), SPREAD) == find_shift(once, shipped_prior(), SPREAD)


def test_scores_of_other_kinds_and_of_absent_structures_are_no_first_ones() -> None:
    fold = Score(8, 0.7, case="a", run="f", kind="fold")
    absent = Score(8, None, case="a", run="p", kind="prequential")
    first = replace(absent, dice=0.6, run="q")
    assert first_scores([fold, absent, first, replace(first, run="r")]) == [first]


def test_a_bad_case_stays_in_sight_while_held_out_patients_are_tested_again() -> None:
    seen = [o for o in published_stream(1, 0.0) if o.n < 24]
    held_out = [o for o in seen if o.n == 23 and o.case != "c23"]
    bad = replace(seen[-1], case="new", dice=0.05)
    again = [replace(o, n=24, run="r24") for o in held_out]
    good = [replace(o, dice=max(o.dice or 0.0, 0.8)) for o in [*seen, *again]]
    observations = [*good[: len(seen)], bad, *good[len(seen) :]]
    sentences = BayesForecaster().fit(observations, 25).alarms(observations)
    assert any("0.05 in the recent case new" in sentence for sentence in sentences)
