"""The closed-form posterior against brute force: the same model, written a second time without any algebra.

Curves, scatter and deviations are drawn from the prior by the hundred thousand and weighted by the dense
multivariate normal density of the scores. No elimination, no Laplace step, no shared code but the prior.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logit

from scaling_app.forecast.evidence import KIND_SD, population_dice
from scaling_app.forecast.posterior import SPREAD_MEAN, SPREAD_SD, CurvePosterior
from scaling_app.forecast.prior import CurvePrior, shipped_prior
from scaling_app.forecast.scores import Score
from scaling_app.forecast.simulation import random_truth, simulate_session

DRAWS = 120_000
CHUNK = 10_000
AHEAD = np.array([6.0, 12.0, 24.0])


def brute_force(observations: list[Score], prior: CurvePrior) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and standard deviation of the mean Dice at `AHEAD` and of the gain 6 -> 12, and the effective sample."""
    rng = np.random.default_rng(0)
    n = np.array([float(o.n) for o in observations])
    y = logit(np.array([1 - o.dice for o in observations]))
    sizes, level = np.unique(n, return_inverse=True)
    everywhere = np.concatenate([sizes, AHEAD])
    eta = np.concatenate(
        [
            component.eta(everywhere)[
                rng.choice(
                    len(component.templates), size=round(weight * DRAWS), p=np.exp(component.log_weights)
                )
            ]
            + rng.multivariate_normal(
                np.zeros(len(everywhere)),
                component.deviation.covariance(everywhere, everywhere),
                round(weight * DRAWS),
                method="eigh",
            )
            for component, weight in zip(prior.components, prior.weights, strict=True)
        ]
    )
    case, run, residual = np.exp(SPREAD_MEAN + SPREAD_SD * rng.standard_normal((len(eta), 3))).T
    labels = _labels(observations)
    log_weight = np.concatenate(
        [
            _log_likelihood(y - eta[part][:, level], n, labels, case[part], run[part], residual[part])
            for part in np.array_split(np.arange(len(eta)), len(eta) // CHUNK)
        ]
    )
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    spread = (case**2 + residual**2)[:, None] + run[:, None] ** 2 / AHEAD
    dice = population_dice(eta[:, len(sizes) :], spread)
    wanted = np.column_stack([dice, dice[:, 1] - dice[:, 0]])
    mean = weight @ wanted
    return mean, np.sqrt(weight @ (wanted - mean) ** 2), 1 / (weight**2).sum()


def _log_likelihood(
    rest: np.ndarray,
    n: np.ndarray,
    labels: dict[str, np.ndarray],
    case: np.ndarray,
    run: np.ndarray,
    residual: np.ndarray,
) -> np.ndarray:
    """Dense normal log densities `(B,)` of residuals `(B, M)`."""
    same = {key: np.equal.outer(v, v) for key, v in labels.items()}
    covariance = (
        case[:, None, None] ** 2 * same["case"]
        + run[:, None, None] ** 2 * same["run"] / n
        + residual[:, None, None] ** 2 * np.eye(len(n))
        + KIND_SD**2 * same["kind"]
    )
    factor = np.linalg.cholesky(covariance)
    z = np.linalg.solve(factor, rest[..., None])[..., 0]
    return -0.5 * (z**2).sum(1) - np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(1)


def _labels(observations: list[Score]) -> dict[str, np.ndarray]:
    return {
        "case": np.array([o.case for o in observations]),
        "run": np.array([o.run for o in observations]),
        "kind": np.array([o.kind for o in observations]),
    }


@pytest.mark.slow_statistics
@pytest.mark.parametrize("seed", [3, 4])
def test_the_posterior_equals_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    observations = simulate_session(random_truth(rng), 6, rng, kinds=("prequential", "fold"))
    mean, sd, effective = brute_force(observations, shipped_prior())
    assert effective > 100, "the oracle itself must be trustworthy"
    dice = CurvePosterior(observations, shipped_prior()).dice_draws(AHEAD, 8000)
    ours = np.column_stack([dice, dice[:, 1] - dice[:, 0]])
    error = 4 * sd / np.sqrt(effective)
    np.testing.assert_array_less(np.abs(ours.mean(0) - mean), error + 0.003)
    np.testing.assert_allclose(ours.std(0), sd, rtol=0.15)
