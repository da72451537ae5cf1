"""Arms trained on the same cases, side by side: means, paired differences and kappa, with intervals.

Intervals are bootstrap intervals that draw the training sets and the test patients anew, together for all
arms; with few draws they are too narrow for what another choice of training cases would do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

REPEATS = 1000

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]


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
        patients = pd.Categorical([patient[case] for case in self.cases])
        self.patients = [np.flatnonzero(patients.codes == code) for code in range(len(patients.categories))]

    def of(self, arm: str) -> np.ndarray:
        """Scores `(size, draw, case, structure)` of an arm."""
        return self.scores[self.arms.index(arm)]

    def interval(self, made: np.ndarray, statistic: Statistic, level: float = 0.95) -> np.ndarray:
        """Interval of a statistic of draws (out of `made`) and cases (of patients drawn anew)."""
        rng = np.random.default_rng(0)
        values = []
        for _ in range(REPEATS):
            chosen = rng.integers(len(self.patients), size=len(self.patients))
            cases = np.concatenate([self.patients[i] for i in chosen])
            values.append(statistic(made[rng.integers(len(made), size=len(made))], cases))
        return np.nanpercentile(np.stack(values), [50 * (1 - level), 50 * (1 + level)], axis=0)

    def mean(self, scores: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
        """Mean of `(draw, case, structure)` with its interval."""
        low, high = self.interval(draws_of(scores), lambda d, c: np.nanmean(scores[d][:, c]), level)
        return float(np.nanmean(scores)), float(low), float(high)

    def kappa(self, arm: str, position: int) -> tuple[float, float, float]:
        """How many cases of `baseline` one case counts for at a size, with its interval; NaN if unknown."""

        def at(draws: np.ndarray, cases: np.ndarray) -> np.ndarray:
            means = [_means(self.of(a)[:, draws][:, :, cases]) for a in (arm, "baseline")]
            return kappa(*means, self.sizes)[position]

        if "baseline" not in self.arms:
            return (np.nan,) * 3
        made = draws_of(self.of(arm)[position])
        value = float(at(made, np.arange(len(self.cases))))
        return (value, np.nan, np.nan) if np.isnan(value) else (value, *map(float, self.interval(made, at)))


def draws_of(scores: np.ndarray) -> np.ndarray:
    """Indices of the draws that `(draw, case, structure)` holds a run of."""
    return np.flatnonzero((~np.isnan(scores)).any(axis=(1, 2)))


def kappa(arm: np.ndarray, baseline: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Effective cases per case at each size, from mean Dice per size; bounded by the baseline's sizes."""
    known = ~np.isnan(baseline)
    if known.sum() < 2:
        return np.full(len(sizes), np.nan)
    logs = np.log(np.asarray(sizes, dtype=float))
    error = np.minimum.accumulate(np.log(1 - baseline[known]))  # a curve that rises is read as flat
    reached = np.interp(-np.log(1 - arm), -error, logs[known])
    return np.exp(reached - logs)


def _means(scores: np.ndarray) -> np.ndarray:
    """Mean per size of `(size, draw, case, structure)`; NaN for a size without runs."""
    flat = scores.reshape(len(scores), -1)
    known = ~np.isnan(flat)
    return np.where(known.any(axis=1), np.nansum(flat, axis=1) / np.maximum(known.sum(axis=1), 1), np.nan)
