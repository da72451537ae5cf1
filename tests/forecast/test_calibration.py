"""Conformal factors cover, by tasks, what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scaling_app.forecast.bayes import BayesForecaster
from scaling_app.forecast.calibration import (
    UNCALIBRATED,
    Calibration,
    Factor,
    conformal_factor,
    conformal_quantile,
    edges,
    score,
    shipped_calibration,
    widened,
    write_calibration,
)
from scaling_app.forecast.simulation import random_truth, simulate_session


def test_the_quantile_covers_new_tasks_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        difficulty = np.exp(rng.normal(0, 0.5, 40))
        scores = np.abs(rng.normal(size=(40, 3))) * difficulty[:, None]
        quantile = conformal_quantile(scores.ravel(), np.repeat(np.arange(40), 3), 0.8)
        covered.append(abs(rng.normal()) * np.exp(rng.normal(0, 0.5)) <= quantile)
    assert 0.75 <= np.mean(covered) <= 0.87


def test_too_few_tasks_have_no_95_percent_quantile() -> None:
    scores = np.linspace(0, 1, 18)
    assert conformal_quantile(scores, np.arange(18), 0.95) == float("inf")
    assert np.isfinite(conformal_quantile(np.linspace(0, 1, 19), np.arange(19), 0.95))


def test_a_task_with_many_curves_counts_once() -> None:
    scores = np.concatenate([np.full(100, 5.0), np.arange(9) / 10])
    tasks = np.concatenate([np.zeros(100, dtype=int), np.arange(1, 10)])
    assert conformal_quantile(scores, tasks, 0.5) < 1.0


def test_a_kind_of_task_weighs_what_it_is_given_however_many_tasks_it_has() -> None:
    scores = np.concatenate([np.linspace(0, 1, 90), np.linspace(2, 3, 10)])
    tasks, kinds = np.arange(100), np.repeat(["many", "few"], [90, 10])
    alike = conformal_quantile(scores, tasks, 0.5, kinds)
    assert 0.9 <= alike <= 2.2
    assert conformal_quantile(scores, tasks, 0.75, kinds) == pytest.approx(2.5, abs=0.12)
    assert conformal_quantile(scores, tasks, 0.75) < 0.9
    mostly_few = {"few": 0.75, "many": 0.25}
    assert conformal_quantile(scores, tasks, 0.5, kinds, mostly_few) == pytest.approx(2.33, abs=0.12)
    assert conformal_quantile(scores[90:], tasks[90:], 0.5, kinds[90:], mostly_few) == pytest.approx(
        2.5, abs=0.12
    )


def test_normal_draws_score_one_at_their_own_edges() -> None:
    draws = np.random.default_rng(1).normal(size=100_000)
    assert score(1.2816, draws)[0] == pytest.approx(1.0, abs=0.02)
    assert score(-1.96, draws)[1] == pytest.approx(1.0, abs=0.02)


def test_factors_widen_about_the_median_and_keep_intervals_nested() -> None:
    draws = np.random.default_rng(1).normal(size=10_000)
    plain = edges(draws)
    wide = edges(draws, Factor("level", "cases", 8, 2, 2.0, 1.0, 50))
    assert wide[1] - wide[0] == pytest.approx(2 * (plain[1] - plain[0]))
    assert wide[2] <= wide[0]
    assert wide[3] >= wide[1]
    assert np.std(widened(draws, Factor("gain", "cases", 8, 2, 2.0, 1.0, 50))) == pytest.approx(
        2 * draws.std()
    )


def test_lookup_takes_the_nearest_band_and_interpolates_the_horizon(tmp_path: Path) -> None:
    factors = [
        Factor("level", "cases", n, ratio, n / 10 + ratio, 2.0, 30)
        for n in (8.0, 32.0)
        for ratio in (1.0, 4.0)
    ]
    calibration = Calibration(factors)
    assert calibration("level", "cases", 10, 2.0).f80 == pytest.approx(0.8 + 2.5)
    assert calibration("level", "cases", 40, 9.0).f80 == pytest.approx(3.2 + 4.0)
    assert calibration("level", "cases", 40, float("inf")).f80 == pytest.approx(3.2 + 4.0)
    assert calibration("gain", "cases", 8, 2.0) == UNCALIBRATED
    write_calibration(factors, tmp_path / "c.json")
    assert (tmp_path / "c.json").read_text().count("f80") == 4


def test_factors_are_kept_within_limits() -> None:
    tiny = conformal_factor("level", "cases", 8, 2, np.full((50, 2), 1e-3), np.arange(50))
    assert (tiny.f80, tiny.f95) == (0.6, 0.6)


def test_the_shipped_factors_rest_on_enough_tasks_and_are_told() -> None:
    factors = shipped_calibration().factors
    assert {(f.quantity, f.regime) for f in factors} == {
        (q, r) for q in ("level", "gain") for r in ("cases", "averages")
    }
    assert min(f.n_tasks for f in factors) >= 19
    rng = np.random.default_rng(0)
    forecaster = BayesForecaster().fit(simulate_session(random_truth(rng), 12, rng), 12)
    n_tasks = shipped_calibration()("level", "cases", 12, 2).n_tasks
    assert any(f"calibrated on {n_tasks} tasks" in note for note in forecaster.notes())
