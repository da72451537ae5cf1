"""Promises about intervals, checked on sessions whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from scaling_app.forecast.forecaster import make_forecaster
from scaling_app.forecast.means import mean_over_patients
from scaling_app.forecast.simulation import PowerLawTruth, random_spread, random_truth, simulate_session
from scaling_app.studies.next_case import RANDOM_SHARE, picked_weight

SESSIONS = 200


def broad_truth(rng: np.random.Generator) -> PowerLawTruth:
    """A curve from the law of the prior's weak component, with the scatter of a random task."""
    parameters = rng.normal([-2.3, np.log(0.45), np.log(0.5), 0.0], [1.0, 0.5, 0.6, 1.0])
    return PowerLawTruth(parameters, random_spread(rng))


@pytest.mark.slow_statistics
@pytest.mark.parametrize("n_cases", [8, 16])
def test_the_80_and_95_percent_intervals_cover_what_they_say(n_cases: int) -> None:
    rng = np.random.default_rng(11)
    sizes = [n_cases, n_cases + 5, 2 * n_cases]
    inside = np.zeros((2, 3))
    gain_inside = 0
    for _ in range(SESSIONS):
        truth = broad_truth(rng)
        forecaster = make_forecaster("bayes").fit(simulate_session(truth, n_cases, rng), n_cases)
        actual = truth.dice(sizes)
        predictions = forecaster.predict(sizes)
        inside[0] += [p.lo80 <= a <= p.hi80 for p, a in zip(predictions, actual, strict=True)]
        inside[1] += [p.lo95 <= a <= p.hi95 for p, a in zip(predictions, actual, strict=True)]
        gain_inside += predictions[-1].gain_lo80 <= actual[-1] - actual[0] <= predictions[-1].gain_hi80
    assert ((inside[0] / SESSIONS >= 0.70) & (inside[0] / SESSIONS <= 0.90)).all(), inside[0] / SESSIONS
    assert (inside[1] >= binom.ppf(0.001, SESSIONS, 0.95)).all(), inside[1] / SESSIONS
    assert gain_inside / SESSIONS >= 0.70


@pytest.mark.slow_statistics
def test_intervals_cover_when_patients_have_several_images() -> None:
    rng = np.random.default_rng(21)
    inside = {"told": 0, "not told": 0}
    for _ in range(100):
        truth = random_truth(rng)
        of_patient = np.repeat(rng.normal(0, np.sqrt(0.9) * truth.spread.case, 6), 4)
        difficulty = of_patient + rng.normal(0, np.sqrt(0.1) * truth.spread.case, 24)
        images = simulate_session(truth, 24, rng, case_effects=difficulty)
        patients = [replace(o, patient=f"p{int(o.case.split('_')[-1]) // 4}") for o in images]
        (actual,) = truth.dice([24])
        for name, observations in (("told", patients), ("not told", images)):
            (p,) = make_forecaster("bayes").fit(observations, 24).predict([24])
            inside[name] += p.lo80 <= actual <= p.hi80
    print(inside)
    assert inside["told"] >= 72
    assert inside["told"] > inside["not told"]


def picked_by_coverage(n_cases: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Standard difficulties and sampling weights of cases of a pool of 150, the odd ones first, three times in four."""
    pool = rng.normal(0, 1, 150)
    left = list(rng.permutation(150))  # the oddest last
    picks, weights = [], []
    for _ in range(n_cases):
        at = len(left) - 1 if rng.random() >= RANDOM_SHARE else int(rng.integers(len(left)))
        weights.append(picked_weight(len(left), worst=at == len(left) - 1))
        picks.append(left.pop(at))
    return (pool - pool.mean())[picks] / pool.std(), np.array(weights)


@pytest.mark.parametrize("n_cases", [8, 16])
def test_intervals_cover_where_most_cases_were_picked_for_being_odd(n_cases: int) -> None:
    rng = np.random.default_rng(31)
    of_level, of_point = [], []
    for _ in range(50):
        truth = random_truth(rng)
        difficulty, weights = picked_by_coverage(n_cases, rng)
        effects = truth.spread.case * difficulty
        observations = [
            replace(o, weight=weights[int(o.case.split("_")[-1])])
            for o in simulate_session(truth, n_cases, rng, case_effects=effects)
        ]
        (p,) = make_forecaster("bayes").fit(observations, n_cases).predict([n_cases])
        of_level.append(p.lo80 <= truth.dice([n_cases])[0] <= p.hi80)
        point = mean_over_patients(0.8 + 0.08 * difficulty, weights, np.arange(n_cases))
        low, high = point.edges(0.8) or (0.0, 1.0)
        of_point.append(low <= 0.8 <= high)
    assert np.mean(of_level) >= 0.7, np.mean(of_level)
    assert np.mean(of_point) >= 0.7, np.mean(of_point)


@pytest.mark.parametrize("n_cases", [32])
def test_a_known_curve_is_recovered(n_cases: int) -> None:
    rng = np.random.default_rng(5)
    errors, gain_errors = [], []
    for _ in range(30):
        truth = random_truth(rng)
        forecaster = make_forecaster("bayes").fit(simulate_session(truth, n_cases, rng), n_cases)
        _, double = forecaster.predict([n_cases, 2 * n_cases])
        actual = truth.dice([n_cases, 2 * n_cases])
        errors.append(abs(double.mean - actual[1]))
        gain_errors.append(abs(double.gain_mean - (actual[1] - actual[0])))
    assert np.mean(errors) < 0.02
    assert np.mean(gain_errors) < 0.007


def test_shuffled_sizes_promise_no_gain() -> None:
    rng = np.random.default_rng(6)
    gains = []
    for _ in range(20):
        observations = simulate_session(random_truth(rng), 24, rng)
        sizes = rng.permutation([o.n for o in observations])
        shuffled = [
            type(o)(**{**vars(o), "n": int(n), "run": f"{o.run}/{i}"})
            for i, (o, n) in enumerate(zip(observations, sizes, strict=True))
        ]
        (p,) = make_forecaster("bayes").fit(shuffled, 24).predict([48])
        gains.append(p.gain_mean)
    assert abs(np.mean(gains)) < 0.015
