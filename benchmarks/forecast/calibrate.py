"""Computes the conformal factors that ship with the package.

    python benchmarks/forecast/calibrate.py

Tasks are the data sets of LCDB 1.1's tuning part, each left out of the prior in turn. Two kinds of evidence:

`cases`: annotation sessions drawn about a real curve (8 samples of the library count as one case, so that
n = 2..256), with scatter of a random task: test-then-train, cross-validation and nested subsets.
`averages`: the curve itself at doubling sizes with an error of 2 points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from lcdb import SIZES, Library, read_curves

from scaling_app.forecast.bayes import BayesForecaster
from scaling_app.forecast.calibration import Calibration, Factor, conformal_factor, score, write_calibration
from scaling_app.forecast.families import expit, logit
from scaling_app.forecast.observations import Observation
from scaling_app.forecast.prior import DATA, learned_prior, shipped_templates
from scaling_app.forecast.simulation import TabulatedTruth, random_spread, simulate_session

SAMPLES_PER_CASE = 8.0
RATIOS = (1.0, 1.25, 1.5, 2.0, 4.0)
BANDS = (6, 8, 12, 16, 24, 32)
AVERAGE_SE = 0.02
CURVES_PER_TASK = 2

Session = tuple[list[Observation], Callable[[Sequence[float]], np.ndarray]]


def real_truth(error: np.ndarray, rng: np.random.Generator) -> TabulatedTruth:
    """A real curve `(8,)` as the truth of a session."""
    known = np.isfinite(error)
    levels = logit(np.clip(error[known], 0.01, 0.97))
    return TabulatedTruth(SIZES[known] / SAMPLES_PER_CASE, levels, random_spread(rng))


def case_session(error: np.ndarray, n_now: int, rng: np.random.Generator) -> Session:
    """An annotation session about a real curve, and its mean Dice at any size."""
    truth = real_truth(error, rng)
    return simulate_session(truth, n_now, rng), truth.dice


def average_session(error: np.ndarray, n_now: int, rng: np.random.Generator) -> Session:
    """The curve at 2, 4, ... n_now cases with an error of 2 points, and the curve."""
    truth = real_truth(error, rng)
    sizes = [int(n) for n in truth.sizes if n <= n_now]
    dice = 1.0 - expit(truth.eta(np.array(sizes, dtype=float)))
    noisy = np.clip(dice + rng.normal(0, AVERAGE_SE, len(sizes)), 0.003, 0.997)
    observations = [Observation(n, float(d)) for n, d in zip(sizes, noisy, strict=True)]
    return observations, lambda n: 1.0 - expit(truth.eta(np.asarray(n, dtype=float)))


def pick_curves(library: Library, per_task: int, rng: np.random.Generator) -> list[int]:
    """Rows of a few random curves per data set."""
    rows: list[int] = []
    for task in np.unique(library.dataset):
        own = np.flatnonzero(library.dataset == task)
        rows += [int(i) for i in rng.permutation(own)[:per_task]]
    return rows


def factors_of(
    library: Library,
    rows: Sequence[int],
    regime: str,
    n_now: int,
    forecaster_for: Callable[[int], BayesForecaster],
    rng: np.random.Generator,
) -> list[Factor]:
    """Scores every curve's forecast against its truth and takes the quantiles over tasks."""
    make = case_session if regime == "cases" else average_session
    scores: dict[str, list[list[tuple[float, float]]]] = {"level": [], "gain": []}
    for row in rows:
        observations, truth = make(library.error[row], n_now, rng)
        sizes = [n_now * ratio for ratio in RATIOS]
        draws = forecaster_for(row).fit(observations, n_now).draws(sizes, "structure")
        actual = truth(sizes)
        scores["level"].append([score(a, d) for a, d in zip(actual, draws.T, strict=True)])
        gain, actual_gain = draws[:, 1:] - draws[:, :1], actual[1:] - actual[0]
        scores["gain"].append([score(a, d) for a, d in zip(actual_gain, gain.T, strict=True)])
    tasks = library.dataset[list(rows)]
    factors = []
    for quantity, ratios in (("level", RATIOS), ("gain", RATIOS[1:])):
        table = np.array(scores[quantity])
        factors += [
            conformal_factor(quantity, regime, n_now, ratio, table[:, t], tasks)
            for t, ratio in enumerate(ratios)
        ]
    return factors


def main() -> None:
    """Writes `calibration.json`."""
    library = read_curves().tuning()
    rng = np.random.default_rng(2026)
    rows = pick_curves(library, CURVES_PER_TASK, rng)

    def leave_one_out(row: int) -> BayesForecaster:
        prior = learned_prior(shipped_templates(), without=[f"lcdb-{library.dataset[row]}"])
        return BayesForecaster(prior, Calibration([]))

    factors: list[Factor] = []
    for regime, bands in (("cases", BANDS), ("averages", (8, 16, 32))):
        for n_now in bands:
            new = factors_of(library, rows, regime, n_now, leave_one_out, rng)
            factors += new
            for f in new:
                print(
                    f"{f.regime} N={f.n_now} x{f.ratio} {f.quantity}: {f.f80} {f.f95} ({f.n_tasks} tasks)",
                    flush=True,
                )
    write_calibration(factors, DATA / "calibration.json")


if __name__ == "__main__":
    main()
