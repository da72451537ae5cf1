"""The app's own method: one posterior per structure, misses apart, structures tied together by their cases."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.stats import norm, qmc

from scaling_app.forecast.families import Array
from scaling_app.forecast.misses import MissRate
from scaling_app.forecast.observations import Observation
from scaling_app.forecast.posterior import CurvePosterior
from scaling_app.forecast.prediction import OVERALL, Forecaster
from scaling_app.forecast.prior import CurvePrior, weak_prior

DRAWS = 4000


class BayesForecaster(Forecaster):
    """Hierarchical model of `evidence`, prior of `prior`, hurdle of `misses`.

    Args:
        prior: over curves; the shipped one when None.
    """

    method: ClassVar[str] = "bayes"

    def __init__(self, prior: CurvePrior | None = None) -> None:
        self.prior = prior or weak_prior()

    def _fit(self, groups: dict[str, list[Observation]]) -> None:
        self.misses = {name: MissRate(group) for name, group in groups.items()}
        self.posteriors = {
            name: CurvePosterior(group, self.prior)
            for name, group in groups.items()
            if any(not o.missed for o in group)
        }
        self._coupling = _case_correlation([groups[name] for name in self.structures])

    def _draws(self, n: Array, structure: str) -> Array:
        index = self.structures.index(structure)
        posterior = self.posteriors.get(structure)
        if posterior is None:
            return np.zeros((DRAWS, len(n)))
        found = posterior.dice_draws(n, DRAWS, seed=index)
        return found * (1.0 - self.misses[structure].draws(n, DRAWS, seed=index))

    def prior_share(self, structure: str = OVERALL) -> float | None:
        """What the session has left of the prior's uncertainty about `eta(N)` and `eta(2N)`.

        The square root of the ratio of the determinants of their covariances, posterior over prior: 1 when
        nothing has been learned. The mean over structures for `OVERALL`.
        """
        names = self.structures if structure == OVERALL else [structure]
        return float(np.mean([self._prior_share(self.posteriors.get(name)) for name in names]))

    def _prior_share(self, posterior: CurvePosterior | None) -> float:
        if posterior is None:
            return 1.0
        sizes = np.array([self.n_now, 2.0 * self.n_now])
        eta, _ = posterior.draws(sizes, DRAWS)
        _, before = self.prior.moments(sizes)
        return float(min(1.0, np.sqrt(np.linalg.det(np.cov(eta.T)) / np.linalg.det(before))))

    def _joint_draws(self, n: Array) -> list[Array]:
        """Orders each structure's draws by its level now so that levels correlate as case effects do.

        Reference: R. Iman, W. Conover, Commun. Stat. Simul. Comput. 11(3), 1982.
        """
        size = len(self.structures)
        points = qmc.Sobol(size, scramble=True, seed=5).random(4096)[:DRAWS]
        z = norm.ppf(np.clip(points, 1e-6, 1 - 1e-6)) @ np.linalg.cholesky(self._coupling).T
        coupled = []
        for index, name in enumerate(self.structures):
            draws = self._draws(np.concatenate([[float(self.n_now)], n]), name)
            ordered = draws[np.argsort(draws[:, 0], kind="stable")]
            ranks = np.argsort(np.argsort(z[:, index], kind="stable"), kind="stable")
            coupled.append(ordered[ranks, 1:])
        return coupled


def _case_correlation(groups: list[list[Observation]]) -> Array:
    """`(S, S)` correlation of hard and easy cases between structures.

    The correlation of case means over shared cases, drawn towards 0.3 with the weight of 6 cases, then made
    positive definite.
    """
    tables = [_case_means(group) for group in groups]
    size = len(groups)
    correlation = np.eye(size)
    for s in range(size):
        for t in range(s):
            shared = sorted(tables[s].keys() & tables[t].keys())
            estimate = 0.0
            if len(shared) > 2:
                a, b = (np.array([tables[k][case] for case in shared]) for k in (s, t))
                if a.std() > 0 and b.std() > 0:
                    estimate = float(np.corrcoef(a, b)[0, 1])
            value = (len(shared) * estimate + 6 * 0.3) / (len(shared) + 6)
            correlation[s, t] = correlation[t, s] = value
    values, vectors = np.linalg.eigh(correlation)
    positive = (vectors * np.maximum(values, 0.02)) @ vectors.T
    scale = np.sqrt(np.diag(positive))
    return positive / np.outer(scale, scale)


def _case_means(group: list[Observation]) -> dict[str, float]:
    """Mean deviation of each case from its runs' means."""
    runs: dict[tuple[object, ...], list[float]] = {}
    for o in group:
        runs.setdefault(o.run_key, []).append(o.dice or 0.0)
    deviations: dict[str, list[float]] = {}
    for o in group:
        if o.case:
            deviations.setdefault(o.case, []).append((o.dice or 0.0) - float(np.mean(runs[o.run_key])))
    return {case: float(np.mean(values)) for case, values in deviations.items()}
