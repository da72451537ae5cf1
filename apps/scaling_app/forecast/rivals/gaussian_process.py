"""A Gaussian process about a power law with a floor, after APEx-GP.

    e(n) ~ GP(e_inf + A n^-c, s^2 exp(-(ln n - ln m)^2 / (2 l^2))),   mean scores observed with noise sigma^2 / count,

all six parameters at the mode of their posterior, intervals from the process alone.

Reference: E. Harvey et al.: A Probabilistic Method to Predict Classifier Accuracy on Larger Datasets given Small Pilot
Data. Machine Learning for Health, 2023. Written anew, with priors for Dice at small n.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.special import expit

from scaling_app.forecast.families import Array
from scaling_app.forecast.prediction import Forecaster
from scaling_app.forecast.rivals.published_methods import mean_curves
from scaling_app.forecast.scores import Score

_DRAWS = 1000
_MEAN = np.array([-2.0, np.log(0.5), np.log(0.5), np.log(0.03), np.log(1.0), np.log(0.02)])
_SD = np.array([1.5, 1.0, 0.7, 0.7, 0.5, 0.7])
_CASE_NOISE = np.log(0.1)
"""Prior median of the noise of a single case's Dice; that of an average is 2 points."""


@dataclass(frozen=True)
class _Process:
    """Parameters at the mode, and the observed means."""

    parameters: Array
    n: Array
    error: Array
    count: Array

    def mean(self, n: Array) -> Array:
        floor, scale, power = self.parameters[:3]
        return expit(floor) + np.exp(scale) * n ** -np.exp(power)

    def kernel(self, n: Array, m: Array) -> Array:
        height, length = np.exp(self.parameters[3:5])
        x, y = np.log(np.minimum(n, 1e12))[:, None], np.log(np.minimum(m, 1e12))[None]
        return height**2 * np.exp(-0.5 * ((x - y) / length) ** 2)

    def noisy_covariance(self) -> Array:
        return self.kernel(self.n, self.n) + np.diag(np.exp(2 * self.parameters[5]) / self.count + 1e-8)

    def negative_log_likelihood(self) -> float:
        factor = cho_factor(self.noisy_covariance())
        rest = self.error - self.mean(self.n)
        return 0.5 * float(rest @ cho_solve(factor, rest)) + float(np.log(np.diag(factor[0])).sum())


class GaussianProcess(Forecaster):
    """See the module."""

    method: ClassVar[str] = "gp"

    def _fit(self, groups: dict[str, list[Score]]) -> None:
        self._processes = {name: _fit_process(group) for name, group in groups.items()}

    def _draws(self, n: Array, structure: str) -> Array:
        process = self._processes[structure]
        factor = cho_factor(process.noisy_covariance())
        cross = process.kernel(n, process.n)
        mean = process.mean(n) + cross @ cho_solve(factor, process.error - process.mean(process.n))
        covariance = process.kernel(n, n) - cross @ cho_solve(factor, cross.T)
        values, vectors = np.linalg.eigh(covariance)
        noise = np.random.default_rng(self.structures.index(structure)).standard_normal((_DRAWS, len(n)))
        error = mean + noise @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
        return np.clip(1.0 - error, 0.0, 1.0)


def _fit_process(group: list[Score]) -> _Process:
    curves = mean_curves(group, resamples=0)
    averaged = not any(o.case for o in group)
    prior_mean = _MEAN.copy()
    if not averaged:
        prior_mean[5] = _CASE_NOISE

    def objective(parameters: Array) -> float:
        process = _Process(parameters, curves.n, curves.error[0], curves.weight[0])
        penalty = 0.5 * float((((parameters - prior_mean) / _SD) ** 2).sum())
        return process.negative_log_likelihood() + penalty

    bounds = list(zip(prior_mean - 4 * _SD, prior_mean + 4 * _SD, strict=True))
    best = minimize(objective, prior_mean, method="L-BFGS-B", bounds=bounds, options={"maxiter": 80})
    return _Process(best.x, curves.n, curves.error[0], curves.weight[0])
