"""Annotation sessions with a known truth, for calibration, tests and benchmarks.

A session of N cases: the model is retrained at n = 2, 3, 4, 6, 8, 11, 16, 22, 32, ... and each new case
is a test before it is training (`prequential`); at the end 5-fold cross-validation tests every case
(`fold`) and, in three folds, models trained on a half and a quarter of the fold's cases test the same ones
(`nested`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from scaling_app.forecast.evidence import Spread, population_dice
from scaling_app.forecast.families import Array, power_law_error
from scaling_app.forecast.scores import Score

UPDATES = (2, 3, 4, 6, 8, 11, 16, 22, 32, 45, 64, 90, 128)
SPREAD = Spread(case=0.6, run=0.5, residual=0.25)


class Truth(ABC):
    """A curve and the scatter about it."""

    spread: Spread

    @abstractmethod
    def eta(self, n: Array) -> Array:
        """`(T,)` logit errors at sizes n."""

    def dice(self, n: Sequence[float]) -> Array:
        """`(T,)` mean Dice over patients and training sets."""
        sizes = np.asarray(n, dtype=float)
        return population_dice(self.eta(sizes), self.spread.variance_at(sizes))


@dataclass(frozen=True)
class PowerLawTruth(Truth):
    """A curve of the model's own family; `parameters (4,)` as in `power_law_error`."""

    parameters: Array
    spread: Spread = SPREAD

    def eta(self, n: Array) -> Array:
        """`(T,)` logit errors at sizes n."""
        return logit(power_law_error(self.parameters[None], n))[0]


@dataclass(frozen=True)
class TabulatedTruth(Truth):
    """A measured curve: `levels (K,)` logit errors at `sizes (K,)`, linear in ln n between them."""

    sizes: Array
    levels: Array
    spread: Spread = SPREAD

    def eta(self, n: Array) -> Array:
        """`(T,)` logit errors at sizes n; constant beyond the measured range."""
        return np.interp(np.log(n), np.log(self.sizes), self.levels)


def random_spread(rng: np.random.Generator) -> Spread:
    """Scatter of a random task: case ~ LogN(ln 0.5, 0.4), run ~ LogN(ln 0.5, 0.4), residual ~ LogN(ln 0.25, 0.3)."""
    return Spread(*(float(v) for v in np.exp(rng.normal(np.log([0.5, 0.5, 0.25]), [0.4, 0.4, 0.3]))))


def random_truth(rng: np.random.Generator) -> PowerLawTruth:
    """e_inf ~ expit N(-2.6, 0.7), A ~ LogN(ln 0.45, 0.4), c ~ LogN(ln 0.55, 0.4), d = 0.05."""
    floor, scale, power = rng.normal([-2.6, np.log(0.45), np.log(0.55)], [0.7, 0.4, 0.4])
    return PowerLawTruth(np.array([floor, scale, power, np.log(0.05)]))


def simulate_session(
    truth: Truth,
    n_cases: int,
    rng: np.random.Generator,
    *,
    structure: str = "structure",
    kinds: Sequence[str] = ("prequential", "fold", "nested"),
    assisted_share: float = 0.0,
    assisted_shift: float = 0.0,
    case_effects: Array | None = None,
) -> list[Score]:
    """One session's observations, in the order in which they would be made.

    Args:
        truth: the curve.
        n_cases: labelled cases N.
        rng: source of randomness.
        structure: name of the structure.
        kinds: which sources of points to make.
        assisted_share: share of cases labelled with a prediction on screen.
        assisted_shift: what that adds to the logit error.
        case_effects: `(N,)` difficulty of the cases, drawn when None.
    """
    spread = truth.spread
    difficulty = rng.normal(0, spread.case, n_cases) if case_effects is None else case_effects
    assisted = rng.random(n_cases) < assisted_share
    observations: list[Score] = []
    for kind, n, cases in _tests(n_cases, kinds, rng):
        luck = float(truth.eta(np.array([float(n)]))[0]) + rng.normal(0, spread.run / np.sqrt(n))
        run = f"{kind}-{n}-{len(observations)}"
        for case in cases:
            y = luck + difficulty[case] + rng.normal(0, spread.residual) + assisted_shift * assisted[case]
            observations.append(
                Score(
                    n=n,
                    dice=float(expit(-np.array(y))),
                    structure=structure,
                    case=f"case_{case:03d}",
                    run=run,
                    kind=kind,
                    assisted=bool(assisted[case]),
                    blind=not assisted[case],
                )
            )
    return observations


def _tests(
    n_cases: int, kinds: Sequence[str], rng: np.random.Generator
) -> list[tuple[str, int, Sequence[int]]]:
    """(kind, training size, tested cases) of every run of a session."""
    tests: list[tuple[str, int, Sequence[int]]] = []
    updates = [n for n in UPDATES if n < n_cases]
    if "prequential" in kinds:
        for n, following in zip(updates, [*updates[1:], n_cases], strict=True):
            tests.append(("prequential", n, range(n, following)))
    order = [int(case) for case in rng.permutation(n_cases)]
    for fold in range(min(5, n_cases)):
        held_out = order[fold::5]
        n_train = n_cases - len(held_out)
        if "fold" in kinds:
            tests.append(("fold", n_train, held_out))
        if "nested" in kinds and fold < 3:
            tests.extend(("nested", max(2, int(n_train * share)), held_out) for share in (0.5, 0.25))
    return tests
