"""The fast elimination of random effects equals the plain multivariate normal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import multivariate_normal

from scaling_app.forecast.evidence import (
    ASSIST_SD,
    KIND_SD,
    PATIENT_SHARE,
    SET_SHARE,
    Elimination,
    Spread,
    StructureData,
    population_dice,
    structure_data,
)
from scaling_app.forecast.posterior import CurvePosterior
from scaling_app.forecast.prior import shipped_prior
from scaling_app.forecast.scores import Score
from scaling_app.forecast.simulation import random_truth, simulate_session

SPREAD = Spread(case=0.6, run=0.5, residual=0.25)


def dense_covariance(data, spread: Spread, rows: np.ndarray) -> np.ndarray:
    patient = data.patient[data.case]
    shares = (PATIENT_SHARE, 1 - PATIENT_SHARE) if len(set(data.patient)) < data.n_cases else (0.0, 1.0)
    same_case = shares[0] * (patient[:, None] == patient[None]) + shares[1] * (
        data.case[:, None] == data.case[None]
    )
    same_case = same_case / data.case_weight[data.case][:, None]
    training_set = data.run_set[data.run]
    same_run = SET_SHARE * (training_set[:, None] == training_set) + (1 - SET_SHARE) * (
        data.run[:, None] == data.run
    )
    same_run = same_run / data.run_sizes[data.run][:, None]
    offsets = (data.offsets * data.offset_sd**2) @ data.offsets.T
    return (
        spread.case**2 * same_case + spread.run**2 * same_run + offsets + np.diag(spread.residual**2 / rows)
    )


def made_again(observations: list[Score], rng: np.random.Generator) -> list[Score]:
    """Every third training twice and one of them three times, on the same cases with other seeds."""
    runs = list(dict.fromkeys(o.run for o in observations))
    times = {run: 3 if k == 0 else 2 for k, run in enumerate(runs[::3])}
    more = [
        replace(o, seed=seed, dice=float(np.clip((o.dice or 0.0) + rng.normal(0, 0.02), 0.05, 0.99)))
        for o in observations
        for seed in range(1, times.get(o.run, 1))
    ]
    return [*observations, *more]


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_level_likelihood_equals_the_dense_one(weighted: bool, again: bool) -> None:
    rng = np.random.default_rng(1)
    observations = simulate_session(random_truth(rng), 9, rng, assisted_share=0.5)
    if again:
        observations = made_again(observations, rng)
    if weighted:
        observations = [Score(**{**vars(o), "weight": 1.0 + int(o.case[-1]) % 3}) for o in observations]
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


@pytest.mark.parametrize("named", [False, True])
def test_level_likelihood_of_averages_equals_the_dense_one(named: bool) -> None:
    """Each average has luck of its own; those of a named run, which differ in their seed, share most of it."""
    rng = np.random.default_rng(3)
    scores = [
        Score(n, float(rng.uniform(0.6, 0.9)), run=f"draw{draw}" * named, seed=seed, weight=1.0 + draw)
        for n in (4, 8, 16)
        for draw in range(2)
        for seed in range(1 + 2 * draw)
    ]
    data = structure_data(scores)
    elimination = Elimination(data, np.ones(len(scores)), np.array([0.4, 0.3, 0.2]))
    spread = Spread(0.0, 0.5, 0.02)
    same = np.array([[(a.n, a.run) == (b.n, b.run) and (named or a is b) for b in scores] for a in scores])
    luck = (SET_SHARE * same + (1 - SET_SHARE) * np.eye(len(scores))) / data.sizes[data.level]
    covariance = spread.run**2 * luck + np.diag(spread.residual**2 / elimination.weight)
    evidence = elimination.evidence(spread)
    for _ in range(3):
        levels = rng.normal(-1.5, 1.0, 3)
        t = np.append(levels, -1.0)
        fast = evidence.constant - 0.5 * t @ evidence.form @ t
        exact = multivariate_normal.logpdf(elimination.y, levels[data.level], covariance)
        assert fast == pytest.approx(exact, abs=1e-6)


def of_patients(observations: list[Score], images: int) -> list[Score]:
    return [replace(o, patient=f"p{int(o.case.split('_')[-1]) // images}") for o in observations]


def test_level_likelihood_with_several_images_of_a_patient_equals_the_dense_one() -> None:
    rng = np.random.default_rng(4)
    data = structure_data(of_patients(simulate_session(random_truth(rng), 12, rng), 3))
    evidence = Elimination(data, np.ones(len(data.y))).evidence(SPREAD)
    covariance = dense_covariance(data, SPREAD, np.ones(len(data.y)))
    for _ in range(3):
        levels = rng.normal(-1.5, 1.0, len(data.sizes))
        t = np.append(levels, -1.0)
        fast = evidence.constant - 0.5 * t @ evidence.form @ t
        assert fast == pytest.approx(
            multivariate_normal.logpdf(data.y, levels[data.level], covariance), abs=1e-6
        )


def test_residuals_with_several_images_of_a_patient_are_those_of_the_best_prediction() -> None:
    rng = np.random.default_rng(5)
    data = structure_data(of_patients(made_again(simulate_session(random_truth(rng), 12, rng), rng), 3))
    assert len(set(data.run_set)) < len(data.run_sizes)
    levels = np.full(len(data.sizes), -1.2)
    found = Elimination(data, np.ones(len(data.y))).residuals(SPREAD, levels)
    covariance = dense_covariance(data, SPREAD, np.ones(len(data.y)))
    expected = SPREAD.residual**2 * np.linalg.solve(covariance, data.y - levels[data.level])
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_one_image_for_each_patient_is_as_if_patients_were_not_told() -> None:
    rng = np.random.default_rng(6)
    told, untold = (
        Elimination(data, np.ones(len(data.y))).evidence(SPREAD)
        for data in (lambda plain: (structure_data(of_patients(plain, 1)), structure_data(plain)))(
            simulate_session(random_truth(rng), 10, rng, kinds=["prequential", "fold"])
        )
    )
    np.testing.assert_array_equal(told.form, untold.form)


def test_offsets_are_as_unsure_as_in_the_dense_model_of_unknown_levels() -> None:
    rng = np.random.default_rng(7)
    data = structure_data(simulate_session(random_truth(rng), 9, rng, assisted_share=0.5))
    k, q = len(data.sizes), data.offsets.shape[1]
    root = 0.3 * rng.standard_normal((k, k))
    prior_mean, prior_covariance = np.full(k, -1.5), root @ root.T + 0.1 * np.eye(k)
    bare = (
        dense_covariance(data, SPREAD, np.ones(len(data.y)))
        - (data.offsets * data.offset_sd**2) @ data.offsets.T
    )
    design = np.column_stack([np.eye(k)[data.level], data.offsets])
    precision = np.zeros((k + q, k + q))
    precision[:k, :k], precision[k:, k:] = np.linalg.inv(prior_covariance), np.diag(data.offset_sd**-2.0)
    covariance = np.linalg.inv(precision + design.T @ np.linalg.solve(bare, design))
    mean = covariance @ (
        precision @ np.concatenate([prior_mean, np.zeros(q)]) + design.T @ np.linalg.solve(bare, data.y)
    )
    offsets, sd = Elimination(data, np.ones(len(data.y))).offset_posterior(
        SPREAD, mean[:k], covariance[:k, :k]
    )
    np.testing.assert_allclose(offsets, mean[k:], atol=1e-8)
    np.testing.assert_allclose(sd, np.sqrt(np.diag(covariance)[k:]), atol=1e-8)


def test_of_labels_all_drawn_on_a_prediction_nobody_knows_what_that_did() -> None:
    rng = np.random.default_rng(0)
    observations = simulate_session(random_truth(rng), 16, rng, assisted_share=1.0)
    _, sd = CurvePosterior(observations, shipped_prior()).offsets()
    assert sd[-1] == pytest.approx(ASSIST_SD, rel=0.1)


def test_offsets_cover_each_kind_and_assistance() -> None:
    rng = np.random.default_rng(2)
    data = structure_data(simulate_session(random_truth(rng), 8, rng, assisted_share=0.5))
    assert list(data.offset_sd) == [KIND_SD] * 3 + [ASSIST_SD]


def test_residuals_of_noise_free_scores_vanish() -> None:
    observations = [
        Score(n, float(expit(np.array(1.0 + 0.3 * n + u))), case=f"c{i}", run=f"r{n}")
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


def test_weights_that_differ_leave_fewer_cases() -> None:
    def data(weights: tuple[float, ...]) -> StructureData:
        return structure_data(
            [Score(8, 0.7 + 0.01 * i, case=f"c{i}", run="r", weight=w) for i, w in enumerate(weights)]
        )

    assert data((4.0,) * 6).case_weight == pytest.approx(np.ones(6)) and not data((4.0,) * 6).weighted
    few = data((4.0, 4.0, 0.01, 0.01, 0.01, 0.01))
    assert few.weighted and few.case_weight.sum() == pytest.approx(2.0, abs=0.05)
    assert few.unweighted().case_weight == pytest.approx(np.ones(6))


def test_cases_of_little_weight_do_not_make_the_others_look_alike() -> None:
    rng = np.random.default_rng(0)
    scores = [
        Score(n, float(d), case=f"c{i}", run=f"r{n}", weight=4.0 if i % 4 == 0 else 0.02)
        for n in (4, 8)
        for i, d in enumerate(np.clip(rng.normal(0.8, 0.08, 16), 0.3, 0.97))
    ]
    alike = CurvePosterior([replace(o, weight=1.0) for o in scores], shipped_prior()).mode
    assert CurvePosterior(scores, shipped_prior()).mode == alike
