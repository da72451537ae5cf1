"""What every forecasting method answers with, and the frame they share.

A method turns observations into draws of mean Dice at any training-set sizes; means, intervals and gains
are read off the draws in one place, so that methods differ in their model and in nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scaling_app.forecast.arms import StrategyEffect
from scaling_app.forecast.calibration import UNCALIBRATED, Factor, edges
from scaling_app.forecast.families import Array
from scaling_app.forecast.scores import OVERALL, Score, by_structure, check_scores, own_arm
from scaling_app.words import count

MIN_CASES = 4
MEASURED_FROM = 5
"""Labelled cases at which cross-validation begins: from there on a curve can be measured with no model before."""
MIN_SCORES = 3


class TooFewPoints(ValueError):  # noqa: N818 - a state of the session, not a fault
    """There is not enough to say. `missing` says in one sentence what would be enough."""

    def __init__(self, missing: str) -> None:
        super().__init__(f"not enough to say: {missing}")
        self.missing = missing


@dataclass(frozen=True)
class Prediction:
    """Mean Dice over patients of a model trained on n cases, with central intervals; gains from n_now."""

    structure: str
    n: int
    mean: float
    lo80: float
    hi80: float
    lo95: float
    hi95: float
    gain_mean: float
    gain_lo80: float
    gain_hi80: float


class Forecaster(ABC):
    """A forecasting method. `fit` once, then ask for draws or predictions.

    Attributes:
        method: its name in `METHODS`.
        n_now: the size that gains count from.
        arm: the session's own (strategy, network).
        structures: names, in order of first appearance.
    """

    method: ClassVar[str]

    def fit(self, observations: Sequence[Score], n_now: int | None = None) -> Forecaster:
        """Learns from the session's own strategy and network (see `own_arm`).

        Args:
            observations: of all structures.
            n_now: present number of labelled cases; the largest n observed when None.

        Raises:
            TooFewPoints: fewer than 3 scores, or 3 distinct cases where cases are named.
            CurveError: the same evidence counted twice.
        """
        check_scores(observations)
        if all(o.dice is None for o in observations):
            raise TooFewPoints("no model has been tested yet on a case that has the structure")
        self.arm = own_arm(observations)
        own = [o for o in observations if (o.strategy, o.network) == self.arm and o.dice is not None]
        _require_enough(own)
        self.n_now = n_now or max(o.n for o in own)
        groups = by_structure(own)
        self.structures = list(groups)
        self._fit(groups)
        return self

    @abstractmethod
    def _fit(self, groups: dict[str, list[Score]]) -> None:
        """Learns from observations per structure; every Dice is defined."""

    @abstractmethod
    def _draws(self, n: Array, structure: str) -> Array:
        """Draws `(B, T)` of mean Dice at sizes n `(T,)`; row b is one curve at all sizes."""

    def draws(self, n: Sequence[float] | Array, structure: str = OVERALL) -> Array:
        """Joint draws `(B, T)` of mean Dice at sizes n `(T,)` for one structure, or for their mean.

        Raises:
            KeyError: no such structure.
        """
        sizes = np.asarray(n, dtype=float)
        if structure == OVERALL and OVERALL not in self.structures:
            return np.mean(self._joint_draws(sizes), axis=0)
        if structure not in self.structures:
            raise KeyError(f"no structure {structure!r}; there are: {', '.join(self.structures)}")
        return self._draws(sizes, structure)

    def draw_table(self, n: Sequence[float] | Array) -> dict[str, Array]:
        """Draws `(B, T)` at the same sizes for every structure and for `OVERALL`, rows belonging together."""
        tables = self._joint_draws(np.asarray(n, dtype=float))
        return {OVERALL: np.mean(tables, axis=0), **dict(zip(self.structures, tables, strict=True))}

    def centre(self, draws: Array) -> Array:
        """The `(T,)` point forecast: the mean of the draws, unless a method has a better one."""
        return draws.mean(0)

    def factor(self, quantity: str, n: float) -> Factor:
        """Conformal widening of the intervals at size n; none by default."""
        return UNCALIBRATED

    def level_edges(self, draws: Array, n: float) -> tuple[float, float, float, float]:
        """lo80, hi80, lo95, hi95 of the Dice at size n from draws `(B,)`, within [0, 1]."""
        lo80, hi80, lo95, hi95 = (min(max(edge, 0.0), 1.0) for edge in edges(draws, self.factor("level", n)))
        return lo80, hi80, lo95, hi95

    def prior_share(self, structure: str = OVERALL) -> float | None:
        """Share of what the prior leaves open about level and slope that is still open, in [0, 1]; None without one."""
        return None

    def luck(self) -> float:
        """Standard deviation of the mean Dice over trainings on `n_now` cases, of the structure where it is largest; 0 where
        a method does not say."""
        return 0.0

    def alarms(self, observations: Sequence[Score]) -> tuple[str, ...]:
        """Sentences on what makes the curve doubtful; none by default."""
        return ()

    def notes(self) -> tuple[str, ...]:
        """Sentences on what stands behind the numbers; none by default."""
        return ()

    def not_found(self) -> tuple[str, ...]:
        """The structures of which no model found anything, and whose forecast is the prior's; none by default."""
        return ()

    def strategies(self, observations: Sequence[Score]) -> tuple[StrategyEffect, ...]:
        """Other strategies against the session's own; none by default."""
        return ()

    def predict(self, ns: Sequence[int], structure: str | None = None) -> list[Prediction]:
        """Predictions at sizes `ns` for one structure, or, with None, for the mean and every structure."""
        names = [structure] if structure else self._all_names()
        return [p for name in names for p in self._summaries(name, ns)]

    def _summaries(self, name: str, ns: Sequence[int]) -> list[Prediction]:
        draws = self.draws([self.n_now, *ns], name)
        centre = self.centre(draws)
        rows = []
        for t, n in enumerate(ns, start=1):
            gain = draws[:, t] - draws[:, 0]
            rows.append(
                Prediction(
                    name,
                    int(n),
                    float(centre[t]),
                    *self.level_edges(draws[:, t], n),
                    float(centre[t] - centre[0]),
                    *edges(gain, self.factor("gain", n))[:2],
                )
            )
        return rows

    def _joint_draws(self, n: Array) -> list[Array]:
        """One `(B, T)` array per structure, rows belonging together."""
        return [self._draws(n, name) for name in self.structures]

    def _all_names(self) -> list[str]:
        return self.structures if len(self.structures) == 1 else [OVERALL, *self.structures]


def _require_enough(observations: Sequence[Score]) -> None:
    cases = {o.case for o in observations if o.case}
    if len(observations) < MIN_SCORES:
        raise TooFewPoints(f"{count(len(observations), 'score')} so far, at least {MIN_SCORES} are needed")
    if cases and len(cases) < MIN_SCORES:
        raise TooFewPoints(
            f"scores of {count(len(cases), 'case')} so far, of at least {MIN_SCORES} are needed"
        )
