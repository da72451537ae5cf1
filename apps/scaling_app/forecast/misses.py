"""How often a structure that is there is not found, or hardly (`scores.miss_dice`).

A hurdle beside the curve of what was found: `logit p_miss(n) = a - b ln n`, a ~ N(-2, 2^2),
b ~ N(2.5, 1^2) kept positive, on a grid (networks that find nothing at n = 2 can find
all at n = 8). With prior probability 0.8 misses do not happen for this
structure; one miss rules that out. A patient's tests, of several images or under several models, are not
independent, so that each counts `(1 + (m - 1) / 2)^-1` of an independent one, m being their number (intraclass
correlation 1/2), times the case's sampling weight, so scaled that all cases come to the number of equally likely ones
that they are worth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from scaling_app.forecast.families import Array
from scaling_app.forecast.scores import Score

NEVER = 0.8
_A = np.linspace(-8.0, 6.0, 57)
_B = np.linspace(0.0, 6.0, 43)


class MissRate:
    """Posterior of the probability of a miss at any size.

    Args:
        observations: of one structure, Dice defined.

    Attributes:
        dice: the mean Dice of a miss.
    """

    def __init__(self, observations: Sequence[Score]) -> None:
        a, b = (axis.ravel() for axis in np.meshgrid(_A, _B, indexing="ij"))
        self._a, self._b = a, b
        log_prior = -0.5 * ((a + 2.0) / 2.0) ** 2 - 0.5 * ((b - 2.5) / 1.0) ** 2
        log_prior -= np.logaddexp.reduce(log_prior)
        log_likelihood = np.zeros_like(a)
        units = [o.unit for o in observations]
        counts = Counter(units)
        weights = {o.case or row: o.weight for row, o in enumerate(observations)}
        worth = sum(weights.values()) / sum(weight**2 for weight in weights.values())
        totals: dict[tuple[int, bool], float] = {}
        for o, unit in zip(observations, units, strict=True):
            share = 1.0 / (1.0 + 0.5 * (counts[unit] - 1)) if unit else 1.0
            key = o.n, o.missed
            totals[key] = totals.get(key, 0.0) + share * o.weight * worth
        for (n, missed), total in totals.items():
            x = a - b * np.log(n)
            log_likelihood -= total * np.logaddexp(0.0, -x if missed else x)
        of_misses = [(o.dice or 0.0, o.weight) for o in observations if o.missed]
        self.n_missed = len(of_misses)
        dice, weight = np.array(of_misses or [(0.0, 1.0)]).T
        self.dice = float(np.average(dice, weights=weight))
        joint = log_prior + log_likelihood
        evidence = np.logaddexp.reduce(joint)
        self._weights = np.exp(joint - evidence)
        never = -np.inf if self.n_missed else np.log(NEVER)
        self.p_never = float(np.exp(never - np.logaddexp(never, np.log(1 - NEVER) + evidence)))

    def mean(self, n: Array) -> Array:
        """Posterior mean `(T,)` of the probability of a miss at sizes n `(T,)`."""
        return (1.0 - self.p_never) * (self._weights @ self._rate(n, np.arange(len(self._a))))

    def draws(self, n: Array, size: int, seed: int = 0) -> Array:
        """Draws `(size, T)` of the probability of a miss."""
        uniform = np.random.default_rng([seed, 1]).random(size)
        happens = uniform >= self.p_never
        chosen = np.searchsorted(
            np.cumsum(self._weights), (uniform - self.p_never) / (1 - self.p_never + 1e-12)
        )
        rate = self._rate(n, np.clip(chosen, 0, len(self._a) - 1))
        return np.where(happens[:, None], rate, 0.0)

    def _rate(self, n: Array, chosen: NDArray[Any]) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            x = self._a[chosen, None] - self._b[chosen, None] * np.log(np.minimum(n, 1e9))
        return expit(x)
