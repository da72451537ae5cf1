"""From observations of one structure to draws of its learning curve.

For a given spread (case, run and residual standard deviations) the prior's templates and Gaussian
deviations meet a Gaussian likelihood (`evidence`): each template's marginal likelihood and its
deviation's posterior are closed forms, evaluated for thousands of templates at once. The spread itself
is integrated over by importance sampling round the mode of its marginal posterior (24 fixed points).
What remains is a finite mixture of Gaussians over eta at any sizes; `draws` reads it off with a
fixed seed, so that the same observations always give the same forecast.

References:
    H. Rue, S. Martino, N. Chopin: Approximate Bayesian inference for latent Gaussian models. JRSS B 71, 2009.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import norm, qmc

from scaling_app.forecast.evidence import Elimination, Spread, population_dice, robust_weights, structure_data
from scaling_app.forecast.families import Array
from scaling_app.forecast.mixture import Piece, Target, components_at, condition, level_mean
from scaling_app.forecast.prior import BASIS, CurvePrior
from scaling_app.forecast.scores import Score

SPREAD_MEAN = np.log([0.5, 0.5, 0.25])
SPREAD_SD = np.array([0.5, 0.5, 0.5])
AVERAGE_SE = (np.log(0.02), 0.35)
"""ln of the standard error of an averaged Dice: 2 points, as 10 to 30 test cases give."""
LUCK_OF_AVERAGES = 0.5
"""What luck adds to that, as `Spread.run`: averages cannot tell it, and other tasks' is taken (`benchmarks/luck`)."""
_SPREAD_POINTS = 24
_INFLATION = 1.1
_SEARCH_TEMPLATES = 100


class CurvePosterior:
    """The learning curve of one structure, given its observations.

    Args:
        observations: of one structure; at least one with a Dice above a miss.
        prior: over curves.
    """

    def __init__(self, observations: Sequence[Score], prior: CurvePrior) -> None:
        self.data = structure_data(observations)
        if not len(self.data.y):
            raise ValueError(
                "the structure was missed by every model; a curve needs at least one score that is no miss"
            )
        self.prior = prior
        self._few = components_at(prior.thinned(_SEARCH_TEMPLATES), self.data.sizes)
        self._all = components_at(prior, self.data.sizes)
        weighted = self.data if self.data.weighted else None
        # how scores scatter all cases tell alike: of one that is worth a fiftieth the weighted model expects seven times as much
        self.data = self.data.unweighted()
        self._robust = np.ones(len(self.data.y))
        self.elimination = Elimination(self.data, self._robust, None)
        mode = self._refine()
        self.spreads, spread_weights = self._spread_sample(mode)
        if weighted is not None:
            spread_weights = spread_weights + [self._log_evidence(spread) for spread in self.spreads]
            self.data, level_error = weighted, None
            if self.data.averaged:
                level_error = expit(level_mean(self._search(self._spread(mode))))
            self.elimination = Elimination(self.data, self._robust, level_error)
            spread_weights = spread_weights - [self._log_evidence(spread) for spread in self.spreads]
        self.pieces = [
            piece
            for spread, log_weight in zip(self.spreads, spread_weights, strict=True)
            for piece in self._full(spread, log_weight)
        ]
        self.mode = self._spread(mode)

    def draws(self, n: Array, size: int = 4000, seed: int = 0) -> tuple[Array, Array]:
        """Joint draws of eta at sizes n; those at one size do not depend on the others.

        Args:
            n: `(T,)` sizes; infinity gives the ceiling.
            size: number of draws.
            seed: of the Gaussian part.

        Returns:
            eta `(size, T)`, and the variance of y about it over patients and training sets, `(size, T)`.
        """
        n = np.asarray(n, dtype=float)
        mass = np.concatenate([piece.log_mass for piece in self.pieces])
        mass = np.exp(mass - mass.max())
        cumulative = np.cumsum(mass) / mass.sum()
        chosen = np.searchsorted(cumulative, (np.arange(size) + 0.5) / size)
        curves, scores = _standard_normal(seed, size, len(self.data.sizes))
        edges = np.cumsum([0] + [len(piece.log_mass) for piece in self.pieces])
        eta, variance = np.empty((size, len(n))), np.empty((size, len(n)))
        targets = {id(at): Target(at, n) for at in self._all}
        starts = np.searchsorted(chosen, edges)
        for piece, edge, start, stop in zip(self.pieces, edges, starts[:-1], starts[1:], strict=False):
            if start == stop:
                continue
            own = slice(start, stop)
            eta[own] = targets[id(piece.at)].draws(piece, chosen[own] - edge, curves[own], scores[own])
            variance[own] = 0.0 if self.data.averaged else piece.spread.variance_at(n)
        return eta, variance

    def dice_draws(self, n: Array, size: int = 4000, seed: int = 0) -> Array:
        """Draws `(size, T)` of the mean Dice over patients and training sets, structure found."""
        eta, variance = self.draws(n, size, seed)
        return population_dice(eta, variance)

    def level_mean(self) -> Array:
        """`(K,)` posterior mean of eta at the observed sizes, at the mode of the spread."""
        return level_mean(self._search(self.mode))

    def luck(self, n: float) -> float:
        """Standard deviation of the mean Dice over trainings on n cases; of averages, as it is taken to be."""
        eta, _ = self.draws(np.array([n]), 400)
        apart = self.mode.run / np.sqrt(n)
        rest = np.full_like(eta, self.mode.case**2 + self.mode.residual**2)
        return float((population_dice(eta - apart, rest) - population_dice(eta + apart, rest)).mean() / 2.0)

    def offsets(self) -> tuple[Array, Array]:
        """Mean and standard deviation `(Q,)` of the offsets; the last is assistance (logit of the error)."""
        eta, _ = self.draws(self.data.sizes)
        covariance = np.cov(eta.T).reshape(2 * self.data.sizes.shape)
        return self.elimination.offset_posterior(self.mode, self.level_mean(), covariance)

    def _spread(self, log_spread: Array) -> Spread:
        if self.data.averaged:
            return Spread(0.0, LUCK_OF_AVERAGES, float(np.exp(log_spread[0])))
        return Spread(*(float(v) for v in np.exp(log_spread)))

    def _hyperprior(self) -> tuple[Array, Array]:
        if self.data.averaged:
            return np.array([AVERAGE_SE[0]]), np.array([AVERAGE_SE[1]])
        return SPREAD_MEAN, SPREAD_SD

    def _refine(self) -> Array:
        """The mode of ln spread, with row weights and linearisation brought to agree with it."""
        mean, sd = self._hyperprior()
        mode = mean.copy()
        for _ in range(3):
            found = minimize(
                self._negative_log_posterior,
                mode,
                method="L-BFGS-B",
                bounds=list(zip(mean - 5 * sd, mean + 5 * sd, strict=True)),
                options={"maxiter": 12, "ftol": 1e-5},
            )
            mode = np.round(found.x, 3)  # the search ends on rounding errors; the forecast shall not
            spread = self._spread(mode)
            levels = level_mean(self._search(spread))
            if self.data.averaged:
                self.elimination = Elimination(self.data, np.ones(len(self.data.y)), expit(levels))
                continue
            residuals = self.elimination.residuals(spread, levels)
            if (residuals**2 < 9 * spread.residual**2).all():
                break
            self._robust = robust_weights(residuals, spread)
            self.elimination = Elimination(self.data, self._robust, None)
        return mode

    def _negative_log_posterior(self, log_spread: Array) -> float:
        mean, sd = self._hyperprior()
        penalty = 0.5 * float((((log_spread - mean) / sd) ** 2).sum())
        return penalty - _log_mass(self._search(self._spread(log_spread)))

    def _log_evidence(self, spread: Spread) -> float:
        """ln of what the whole prior gives the scores at one spread."""
        return _log_mass(self._full(spread, 0.0))

    def _spread_sample(self, mode: Array) -> tuple[list[Spread], Array]:
        """Points round the mode, with ln of (hyperprior / proposal) for each."""
        mean, sd = self._hyperprior()
        root = np.linalg.inv(np.linalg.cholesky(_curvature(self._negative_log_posterior, mode, sd))).T
        z = _INFLATION * _standard_points(len(mode))
        points = mode + z @ root.T
        log_prior = -0.5 * (((points - mean) / sd) ** 2).sum(1)
        log_proposal = -0.5 * (z**2).sum(1) / _INFLATION**2
        return [self._spread(p) for p in points], log_prior - log_proposal

    def _search(self, spread: Spread) -> list[Piece]:
        """The thinned prior's posterior at one spread."""
        return condition(self._few, self.elimination.evidence(spread), spread)

    def _full(self, spread: Spread, log_weight: float) -> list[Piece]:
        """The whole prior's posterior at one spread, its mass weighted."""
        pieces = condition(self._all, self.elimination.evidence(spread), spread)
        return [replace(piece, log_mass=piece.log_mass + log_weight) for piece in pieces]


def _log_mass(pieces: Sequence[Piece]) -> float:
    return float(np.logaddexp.reduce(np.concatenate([piece.log_mass for piece in pieces])))


def prior_dice_draws(prior: CurvePrior, n: Array, size: int = 4000, seed: int = 0) -> Array:
    """Draws `(size, T)` of the mean Dice that the prior alone expects, structure found, at the usual spread."""
    n = np.asarray(n, dtype=float)
    mass = np.cumsum(
        np.concatenate(
            [w * np.exp(c.log_weights) for c, w in zip(prior.components, prior.weights, strict=True)]
        )
    )
    chosen = np.searchsorted(mass / mass[-1], (np.arange(size) + 0.5) / size)
    curves, _ = _standard_normal(seed, size, 0)
    eta, first = np.empty((size, len(n))), 0
    for component in prior.components:
        own = np.flatnonzero((chosen >= first) & (chosen < first + len(component.templates)))
        eta[own] = component.eta(n)[chosen[own] - first] + curves[own] @ component.deviation.basis(n).T
        first += len(component.templates)
    return population_dice(eta, np.broadcast_to(Spread(*np.exp(SPREAD_MEAN)).variance_at(n), eta.shape))


def _standard_normal(seed: int, size: int, sizes: int) -> tuple[Array, Array]:
    """What curves `(size, BASIS)` and scores `(size, sizes)` are made of."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((size, BASIS)), rng.standard_normal((size, sizes))


def _curvature(function: Callable[[Array], float], point: Array, scale: Array) -> Array:
    """Hessian by central differences, its eigenvalues kept at or above a quarter of the prior's."""
    step = 0.2 * scale
    size = len(point)
    hessian = np.zeros((size, size))
    centre = function(point)
    shifted = {}
    for i in range(size):
        for sign in (1, -1):
            shifted[i, sign] = function(point + sign * step * np.eye(size)[i])
        hessian[i, i] = (shifted[i, 1] - 2 * centre + shifted[i, -1]) / step[i] ** 2
    for i in range(size):
        for j in range(i):
            both = function(point + step * (np.eye(size)[i] + np.eye(size)[j]))
            mixed = (both - shifted[i, 1] - shifted[j, 1] + centre) / (step[i] * step[j])
            hessian[i, j] = hessian[j, i] = mixed
    values, vectors = np.linalg.eigh(hessian)
    return (vectors * np.maximum(values, 0.25 / scale.max() ** 2)) @ vectors.T


@lru_cache(maxsize=4)
def _standard_points(dimensions: int) -> Array:
    points = qmc.Sobol(dimensions, scramble=True, seed=7).random(32)[:_SPREAD_POINTS]
    return norm.ppf(np.clip(points, 1e-4, 1 - 1e-4))
