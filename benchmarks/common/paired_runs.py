"""Arms trained on the same cases, side by side: means, paired differences and kappa, with intervals.

Every draw is tested on the same patients. The variance of a mean is that of the means of the draws plus that of the means of the
patients, each as of independent ones, and the interval is Student's with the degrees of freedom of F. Satterthwaite (Biometrics
Bulletin 2(6), 1946). The luck of one patient in one draw counts in both parts: where there is little else, intervals are up to
1.4 times as wide as need be. Taken off again, intervals hold less than they say where draws differ. Of three draws and 20 or 40
patients those of 95 % hold 91 to 99 %, those of 80 % 77 to 92 % (simulated). One draw says nothing of others: its interval holds
test patients alone. One patient has no interval, nor have patients of whom one holds nearly all
images, so that all are worth fewer than two: its ends are NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import t as student

from scaling_app.forecast.means import freedom_of, mean_over_patients

Measured = tuple[float, float, float]
"""A value and the ends of its interval."""
_LEAST = 1 - 1e-9
"""Degrees of freedom of patients: two who count alike have one."""


class Runs:
    """One task's scores as an array over (arm, size, draw, case, structure); NaN where there is no run.

    Args:
        table: columns strategy, n, draw, case, patient, structure and the metric; one row for each score.
        metric: the column to read.
        leading: arms that come first; the others follow by name.
    """

    def __init__(self, table: pd.DataFrame, metric: str, leading: Sequence[str]) -> None:
        made = set(table["strategy"])
        order = [*(arm for arm in leading if arm in made), *sorted(made - set(leading))]
        axes = [pd.Categorical(table["strategy"], order)]
        axes += [pd.Categorical(table[name]) for name in ("n", "draw", "case", "structure")]
        names = [list(axis.categories) for axis in axes]
        self.arms, self.sizes, self.draws, self.cases, self.structures = names
        self.scores = np.full([len(found) for found in names], np.nan)
        self.scores[tuple(axis.codes for axis in axes)] = table[metric]
        patient = table.drop_duplicates("case").set_index("case")["patient"]
        self.patients, self._patient = np.unique([patient[case] for case in self.cases], return_inverse=True)

    def of(self, arm: str) -> np.ndarray:
        """Scores `(size, draw, case, structure)` of an arm."""
        return self.scores[self.arms.index(arm)]

    def mean(self, scores: np.ndarray, level: float = 0.95) -> Measured:
        """Mean of scores or shares `(draw, case, structure)`, or `(size, ...)` where all sizes count alike.

        Where all are the same, as of a network that finds nothing, nothing tells how they scatter: there are no ends.
        """
        mean, low, high = self._crossed(scores, level)
        return mean, *(np.clip([low, high], 0.0, 1.0).tolist() if high > low else (np.nan, np.nan))

    def difference(self, one: np.ndarray, other: np.ndarray, level: float = 0.95) -> Measured:
        """By how many points one is above the other, of the runs that both have; shapes as of `mean`."""
        mean, low, high = (100 * value for value in self._crossed(one - other, level))
        return mean, *np.clip([low, high], -100.0, 100.0).tolist()

    def kappa(self, arm: str, position: int) -> Measured:
        """How many cases of `baseline` one case counts for at a size; no ends where it is at its bounds, NaN if unknown.

        Both variances are those of a jackknife of the logarithm (B. Efron, C. Stein, Annals of Statistics 9(3), 1981).
        """
        unknown = (np.nan,) * 3
        if "baseline" not in self.arms:
            return unknown

        def at(draws: np.ndarray, cases: np.ndarray) -> float:
            means = [_means(self.of(a)[:, draws][:, :, cases]) for a in (arm, "baseline")]
            return float(np.log(kappa(*means, self.sizes)[position]))

        draws, cases = draws_of(self.of(arm)[position]), np.arange(len(self.cases))
        value = at(draws, cases)
        if np.isnan(value):
            return unknown
        known = np.array(self.sizes)[~np.isnan(_means(self.of("baseline")[:, draws]))]
        bounds = np.log(known[[0, -1]] / self.sizes[position])
        worth = freedom_of(np.bincount(self._patient))
        if worth < _LEAST or np.isclose(value, bounds).any():
            return float(np.exp(value)), np.nan, np.nan
        without = [at(draws, np.flatnonzero(self._patient != i)) for i in range(len(self.patients))]
        parts = [(_jackknife(without), worth)]
        if len(draws) > 1:
            without = [at(draws[draws != draw], cases) for draw in draws]
            parts.append((_jackknife(without), len(draws) - 1.0))
        half = _half(parts, 0.95)
        return float(np.exp(value)), *np.exp(np.clip([value - half, value + half], *bounds)).tolist()

    def _crossed(self, scores: np.ndarray, level: float) -> Measured:
        by_size = scores if scores.ndim == 4 else scores[None]
        size, draw, case, _ = np.nonzero(~np.isnan(by_size))
        values = by_size[~np.isnan(by_size)]
        return crossed_mean(values, 1.0 / np.bincount(size)[size], draw, self._patient[case], level)


def said(measured: Measured, digits: int, sign: str = "") -> str:
    """`value (low to high)`; without the bracket where there is no interval."""
    value, *ends = (f"{number:{sign}.{digits}f}" for number in measured)
    return value if np.isnan(measured[1]) else f"{value} ({ends[0]} to {ends[1]})"


def draws_of(scores: np.ndarray) -> np.ndarray:
    """Indices of the draws that `(draw, case, structure)` holds a run of."""
    return np.flatnonzero((~np.isnan(scores)).any(axis=(1, 2)))


def crossed_mean(
    values: np.ndarray, weights: np.ndarray, draws: np.ndarray, patients: np.ndarray, level: float = 0.95
) -> Measured:
    """The weighted mean of values `(M,)`, and its interval over draws and patients; `draws` and `patients` say whose each is."""
    mean = float(np.average(values, weights=weights))
    parts = [mean_over_patients(values, weights, drawn) for drawn in (draws, patients)]
    if parts[1].freedom < _LEAST:
        return mean, np.nan, np.nan
    half = _half([(part.error**2, part.freedom) for part in parts if part.error is not None], level)
    return mean, mean - half, mean + half


def kappa(arm: np.ndarray, baseline: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Effective cases per case at each size, from mean Dice per size; bounded by the baseline's sizes."""
    known = ~np.isnan(baseline)
    if known.sum() < 2:
        return np.full(len(sizes), np.nan)
    logs = np.log(np.asarray(sizes, dtype=float))
    error = np.minimum.accumulate(np.log(1 - baseline[known]))  # a curve that rises is read as flat
    reached = np.interp(-np.log(1 - arm), -error, logs[known])
    return np.exp(reached - logs)


def _half(parts: Sequence[tuple[float, float]], level: float) -> float:
    """Half the interval of a sum of variances, each with its degrees of freedom."""
    variance = sum(part for part, _ in parts)
    if variance == 0.0:
        return 0.0  # every score is the same, as of two arms that are one
    freedom = variance**2 / sum(part**2 / free for part, free in parts)
    return float(student.ppf((1 + level) / 2, freedom) * np.sqrt(variance))


def _jackknife(without_one: Sequence[float]) -> float:
    """Variance of a statistic from its values without each of what was drawn."""
    return (len(without_one) - 1) * float(np.var(without_one))


def _means(scores: np.ndarray) -> np.ndarray:
    """Mean per size of `(size, draw, case, structure)`; NaN for a size without runs."""
    flat = scores.reshape(len(scores), -1)
    known = ~np.isnan(flat)
    return np.where(known.any(axis=1), np.nansum(flat, axis=1) / np.maximum(known.sum(axis=1), 1), np.nan)
