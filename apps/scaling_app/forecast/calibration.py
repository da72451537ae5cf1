"""Intervals that keep their word on tasks never seen: conformal factors.

On replayed tasks, each left out of the prior in turn, the truth's distance from the forecast's median is
divided by the distance of the interval's edge on that side. The quantile of this ratio over tasks is the
factor by which intervals of that kind have to be widened (or may be narrowed) to cover as often as they
say. Factors are kept apart by what is forecast (level or gain), by the kind of evidence (scores of cases
or averaged curves), by the number of cases (bands) and by the horizon n / N.

The task is the exchangeable unit: curves of one data set share a weight of 1; segmentation tasks, which are what is
asked about, have three quarters of the weight, tabular ones, which are many more, the rest. With T tasks the quantile is
taken at `ceil((T + 1) p) / T`, so that 95 % needs 19 tasks to exist at all.

References:
    V. Vovk, A. Gammerman, G. Shafer: Algorithmic Learning in a Random World, 2005 (Mondrian conformal predictors).
    J. Lei et al.: Distribution-free predictive inference for regression. JASA 113(523), 2018.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_app.forecast.families import Array
from scaling_app.forecast.prior import DATA
from scaling_app.storage import write_whole_text

REGIMES = ("cases", "averages")
_LIMITS = (0.6, 3.0)
"""Factors stay within these: a few tasks may not make intervals vanish."""


@dataclass(frozen=True)
class Factor:
    """Widening of the 80 % and the 95 % interval for one kind of forecast.

    Attributes:
        quantity: `level` or `gain`.
        regime: `cases` or `averages`.
        n_now: centre of the band of numbers of cases.
        ratio: horizon n / N.
        f80: factor of the 80 % interval.
        f95: factor of the 95 % interval.
        n_tasks: tasks behind it.
    """

    quantity: str
    regime: str
    n_now: float
    ratio: float
    f80: float
    f95: float
    n_tasks: int


UNCALIBRATED = Factor("level", "cases", 1.0, 1.0, 1.0, 1.0, 0)


class Calibration:
    """Looks factors up: nearest band of N, linear in ln ratio between horizons.

    Args:
        factors: any number; none leaves intervals as they are.
    """

    def __init__(self, factors: Sequence[Factor]) -> None:
        self.factors = tuple(factors)

    def __call__(self, quantity: str, regime: str, n_now: float, ratio: float) -> Factor:
        """The factor for one kind of forecast."""
        kind = [f for f in self.factors if (f.quantity, f.regime) == (quantity, regime)]
        if not kind:
            return UNCALIBRATED
        band = min({f.n_now for f in kind}, key=lambda n: abs(np.log(n / n_now)))
        row = sorted((f for f in kind if f.n_now == band), key=lambda f: f.ratio)
        x = np.log([f.ratio for f in row])
        at = np.log(max(ratio, 1e-3)) if np.isfinite(ratio) else x[-1]
        f80, f95 = (float(np.interp(at, x, [getattr(f, name) for f in row])) for name in ("f80", "f95"))
        return Factor(quantity, regime, band, ratio, f80, f95, min(f.n_tasks for f in row))


def write_calibration(factors: Sequence[Factor], path: Path) -> None:
    """Writes factors as JSON."""
    write_whole_text(path, json.dumps([asdict(f) for f in factors], indent=0) + "\n")


@lru_cache(maxsize=1)
def shipped_calibration() -> Calibration:
    """The factors that come with the package."""
    rows = json.loads((DATA / "calibration.json").read_text(encoding="utf-8"))
    return Calibration([Factor(**row) for row in rows])


def edges(draws: Array, factor: Factor = UNCALIBRATED) -> tuple[float, float, float, float]:
    """lo80, hi80, lo95, hi95 of draws `(B,)`, widened about the median; the wider holds the narrower."""
    lo80, hi80, lo95, hi95, median = np.quantile(draws, [0.1, 0.9, 0.025, 0.975, 0.5])
    lo80, hi80 = (median + factor.f80 * (edge - median) for edge in (lo80, hi80))
    lo95, hi95 = (median + factor.f95 * (edge - median) for edge in (lo95, hi95))
    return float(lo80), float(hi80), float(min(lo95, lo80)), float(max(hi95, hi80))


def widened(draws: Array, factor: Factor) -> Array:
    """Draws `(B,)` spread about their median by the factor of the 80 % interval, for probabilities."""
    median = np.median(draws)
    return median + factor.f80 * (draws - median)


def score(truth: float, draws: Array) -> tuple[float, float]:
    """Distance of the truth from the median over the distance of the 80 % and of the 95 % edge beyond it."""
    lo80, hi80, lo95, hi95 = edges(draws)
    median = float(np.median(draws))
    inner, outer = (hi80, hi95) if truth >= median else (lo80, lo95)
    distance = abs(truth - median)
    return distance / max(abs(inner - median), 1e-6), distance / max(abs(outer - median), 1e-6)


def conformal_quantile(
    scores: Array,
    tasks: NDArray[Any],
    level: float,
    kinds: NDArray[Any] | None = None,
    shares: Mapping[Any, float] | None = None,
) -> float:
    """The quantile over tasks, each of weight 1 shared by its scores; infinity where tasks are too few.

    Args:
        scores: `(M,)`.
        tasks: `(M,)`, which task each score is of.
        level: wanted coverage.
        kinds: `(M,)`, which kind of task each score is of; one kind when None.
        shares: what each kind counts, however many tasks it has (Tibshirani et al.: Conformal prediction under
            covariate shift. NeurIPS 2019); of the kinds that are there. All alike when None.
    """
    names, index, counts = np.unique(tasks, return_inverse=True, return_counts=True)
    wanted = np.ceil((len(names) + 1) * level) / len(names)
    if wanted > 1.0:
        return float("inf")
    order = np.argsort(scores)
    there, kind = np.unique(np.zeros(len(scores)) if kinds is None else kinds, return_inverse=True)
    wanted_shares = np.array([1.0 if shares is None else shares[name] for name in there.tolist()])
    share = 1.0 / counts[index]
    share = share / np.bincount(kind, share)[kind] * (wanted_shares / wanted_shares.sum())[kind]
    cumulative = np.cumsum(share[order])
    return float(scores[order][min(np.searchsorted(cumulative, wanted - 1e-12), len(scores) - 1)])


def conformal_factor(
    quantity: str,
    regime: str,
    n_now: float,
    ratio: float,
    scores: Array,
    tasks: NDArray[Any],
    kinds: NDArray[Any] | None = None,
    shares: Mapping[Any, float] | None = None,
) -> Factor:
    """Makes a factor of scores `(M, 2)` (80 %, 95 %); `kinds` and `shares` as in `conformal_quantile`."""
    f80, f95 = (
        float(np.clip(conformal_quantile(scores[:, k], tasks, level, kinds, shares), *_LIMITS))
        for k, level in enumerate((0.8, 0.95))
    )
    return Factor(quantity, regime, n_now, ratio, round(f80, 3), round(f95, 3), len(np.unique(tasks)))
