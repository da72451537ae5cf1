"""The curves that others fit, behind the app's interface.

Least squares on the mean score at each size; intervals from a bootstrap over cases (a case keeps all its
scores together), or, where scores are averages already, over residuals scaled for the parameters spent.
The last value's bootstrap carries the noise of the last size only: it promises no gain and says so with
confidence, which is what is wrong with it.

References:
    R. Figueroa et al.: Predicting sample size required for classification performance. BMC MIDM 12:8, 2012.
    J. Mayo et al.: exponential plateaus for medical image segmentation. J. Digit. Imaging, 2023.
    F. Mohr et al.: LCDB 1.0, ECML PKDD 2022 (mmf).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scaling_app.forecast.families import (
    EXPONENTIAL,
    MMF,
    POWER_LAW,
    POWER_LAW_FLOOR,
    Array,
    Family,
    fit_family,
)
from scaling_app.forecast.prediction import Forecaster
from scaling_app.forecast.scores import Score

RESAMPLES = 200
_SE_OF_AVERAGE = 0.02
"""Standard error assumed for an averaged Dice when the fit leaves nothing to estimate it from."""


@dataclass(frozen=True)
class MeanCurves:
    """Mean errors per size: row 0 as observed, the rest resampled.

    Shapes: `n (K,)`, `error (B, K)`, `weight (B, K)` (scores behind each mean; 0 where a resample has none).
    """

    n: Array
    error: Array
    weight: Array


def mean_curves(observations: Sequence[Score], resamples: int = RESAMPLES, seed: int = 0) -> MeanCurves:
    """Averages scores per size, on the whole set and on resampled sets of cases.

    Scores without a case are not resampled: their rows repeat, and the residual bootstrap comes after
    the fit.
    """
    sizes, level = np.unique([float(o.n) for o in observations], return_inverse=True)
    error = np.array([1.0 - (o.dice or 0.0) for o in observations])
    names, case = np.unique([o.case for o in observations], return_inverse=True)
    counts = np.ones((resamples + 1, len(names)))
    if len(names) > 1:
        probability = np.full(len(names), 1.0 / len(names))
        counts[1:] = np.random.default_rng(seed).multinomial(len(names), probability, size=resamples)
    rows = counts[:, case] * np.array([o.weight for o in observations])
    onto = np.eye(len(sizes))[level]
    weight = rows @ onto
    total = (rows * error) @ onto
    mean = np.where(weight > 0, total / np.maximum(weight, 1e-12), 0.0)
    return MeanCurves(sizes, mean, weight)


class FamilyForecaster(Forecaster):
    """Least squares of one family of curves."""

    family: ClassVar[Family]

    def _fit(self, groups: dict[str, list[Score]]) -> None:
        self._fits = {name: self._fit_structure(group) for name, group in groups.items()}

    def _fit_structure(self, group: list[Score]) -> tuple[Array, Array]:
        curves = mean_curves(group)
        shape, coefficients = self._solve(curves.n, curves.error, curves.weight)
        if len({o.case for o in group}) > 1:
            return shape, coefficients
        fitted = self.family.predict(shape[:1], coefficients[:1], curves.n)
        error = _residual_bootstrap(fitted[0], curves.error[0], free=self._parameters())
        return self._solve(curves.n, error, np.repeat(curves.weight[:1], len(error), axis=0))

    def centre(self, draws: Array) -> Array:
        """The fit to the observations themselves, which is row 0."""
        return draws[0]

    def _solve(self, n: Array, error: Array, weight: Array) -> tuple[Array, Array]:
        return fit_family(self.family, n, error, weight)

    def _parameters(self) -> int:
        return self.family.shapes.shape[1] + 2

    def _draws(self, n: Array, structure: str) -> Array:
        shape, coefficients = self._fits[structure]
        finite = np.where(np.isinf(n), 1e12, n)
        return 1.0 - self.family.predict(shape, coefficients, finite)


class PowerLaw(FamilyForecaster):
    """`A n^-c`, fitted as a straight line in log-log coordinates, as usually done."""

    method: ClassVar[str] = "power_law"
    family: ClassVar[Family] = POWER_LAW

    def _solve(self, n: Array, error: Array, weight: Array) -> tuple[Array, Array]:
        x, y = np.log(n), np.log(np.clip(error, 1e-4, 1.0))
        total = np.maximum(weight.sum(1, keepdims=True), 1e-12)
        x_mean, y_mean = (
            (weight * x).sum(1, keepdims=True) / total,
            (weight * y).sum(1, keepdims=True) / total,
        )
        spread = (weight * (x - x_mean) ** 2).sum(1, keepdims=True)
        slope = (weight * (x - x_mean) * (y - y_mean)).sum(1, keepdims=True) / np.maximum(spread, 1e-9)
        scale = np.exp(y_mean - slope * x_mean)
        return -slope, np.concatenate([np.zeros_like(scale), scale], axis=1)

    def _parameters(self) -> int:
        return 2


class PowerLawFloor(FamilyForecaster):
    """`e_inf + A n^-c`."""

    method: ClassVar[str] = "power_law_floor"
    family: ClassVar[Family] = POWER_LAW_FLOOR


class Exponential(FamilyForecaster):
    """`e_inf + A exp(-n / tau)`."""

    method: ClassVar[str] = "exponential"
    family: ClassVar[Family] = EXPONENTIAL


class Mmf(FamilyForecaster):
    """`(a b + c n^d) / (b + n^d)`."""

    method: ClassVar[str] = "mmf"
    family: ClassVar[Family] = MMF


class LastValue(Forecaster):
    """The mean score at the largest size, for ever."""

    method: ClassVar[str] = "last_value"

    def _fit(self, groups: dict[str, list[Score]]) -> None:
        self._levels = {name: self._level(group) for name, group in groups.items()}

    def centre(self, draws: Array) -> Array:
        """The observed value, which is row 0."""
        return draws[0]

    @staticmethod
    def _level(group: list[Score]) -> Array:
        curves = mean_curves(group)
        level = np.where(curves.weight[:, -1] > 0, curves.error[:, -1], curves.error[0, -1])
        if len({o.case for o in group}) > 1:
            return level
        noise = np.random.default_rng(0).standard_normal(RESAMPLES)
        return np.concatenate([level[:1], level[0] + _SE_OF_AVERAGE * noise])

    def _draws(self, n: Array, structure: str) -> Array:
        return np.clip(1.0 - np.repeat(self._levels[structure][:, None], len(n), axis=1), 0.0, 1.0)


def _residual_bootstrap(fitted: Array, error: Array, free: int) -> Array:
    """`(B + 1, K)` curves: the observed one, and the fit plus noise of the residuals' size.

    The noise is normal with the residuals' standard deviation on `K - free` degrees of freedom, and at
    least 2 Dice points where they are used up.
    """
    left = len(error) - free
    sd = float(np.sqrt(((error - fitted) ** 2).sum() / left)) if left > 0 else _SE_OF_AVERAGE
    noise = np.random.default_rng(0).standard_normal((RESAMPLES, len(error)))
    return np.vstack([error, np.clip(fitted + max(sd, 1e-3) * noise, 0.0, 1.0)])
