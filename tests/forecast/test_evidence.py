"""The fast elimination of random effects equals the plain multivariate normal."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from scaling_app.forecast.evidence import (
    ASSIST_SD,
    KIND_SD,
    Elimination,
    Spread,
    population_dice,
    structure_data,
)
from scaling_app.forecast.families import expit
from scaling_app.forecast.observations import Observation
from scaling_app.forecast.simulation import random_truth, simulate_session

SPREAD = Spread(case=0.6, run=0.5, residual=0.25)


def dense_covariance(data, spread: Spread, rows: np.ndarray) -> np.ndarray:
    same_case = (data.case[:, None] == data.case[None]) / data.case_weight[data.case][:, None]
    same_run = (data.run[:, None] == data.run[None]) / data.run_sizes[data.run][:, None]
    offsets = (data.offsets * data.offset_sd**2) @ data.offsets.T
    return (
        spread.case**2 * same_case + spread.run**2 * same_run + offsets + np.diag(spread.residual**2 / rows)
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_level_likelihood_equals_the_dense_one(weighted: bool) -> None:
    rng = np.random.default_rng(1)
    observations = simulate_session(random_truth(rng), 9, rng, assisted_share=0.5)
    if weighted:
        observations = [Observation(**{**vars(o), "weight": 1.0 + int(o.case[-1]) % 3}) for o in observations]
    data = structure_data(observations)
    robust = rng.uniform(0.5, 1.5, len(data.y)) if weighted else np.ones(len(data.y))
    evidence = Elimination(data, robust).evidence(SPREAD)
    covariance = dense_covariance(data, SPREAD, robust * data.case_weight[data.case])
    for _ in range(3):
        levels = rng.normal(-1.5, 1.0, len(data.sizes))
        t = np.append(levels, -1.0)
        fast = evidence.constant - 0.5 * t @ evidence.form @ t
        exact = multivariate_normal.logpdf(data.y, levels[data.level], covariance)
        assert fast == pytest.approx(exact, abs=1e-6)


def test_offsets_cover_each_kind_and_assistance() -> None:
    rng = np.random.default_rng(2)
    data = structure_data(simulate_session(random_truth(rng), 8, rng, assisted_share=0.5))
    assert list(data.offset_sd) == [KIND_SD] * 3 + [ASSIST_SD]


def test_residuals_of_noise_free_scores_vanish() -> None:
    observations = [
        Observation(n, float(expit(np.array(1.0 + 0.3 * n + u))), case=f"c{i}", run=f"r{n}")
        for n in (2, 4)
        for i, u in enumerate((-0.5, 0.0, 0.5))
    ]
    data = structure_data(observations)
    residuals = Elimination(data, np.ones(len(data.y))).residuals(
        Spread(1.0, 0.1, 1e-4), -1.0 - 0.3 * data.sizes
    )
    np.testing.assert_allclose(residuals, 0.0, atol=1e-4)


def test_population_mean_integrates_over_cases() -> None:
    eta, sd = np.array([-1.5]), 0.8
    sampled = (1 - expit(eta + np.random.default_rng(0).normal(0, sd, 400_000))).mean()
    assert population_dice(eta, np.array([sd**2]))[0] == pytest.approx(sampled, abs=1e-3)
    assert population_dice(eta, np.array([0.0]))[0] == pytest.approx(1 - expit(eta)[0])
