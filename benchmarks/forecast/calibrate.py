"""Computes the conformal factors that ship with the package.

    python -m benchmarks.forecast.calibrate [--bank-only]

Tasks are the data sets of LCDB 1.1's tuning part, each left out of the prior in turn. Two kinds of evidence:

`cases`: annotation sessions drawn about a real curve (8 samples of the library count as one case, so that
n = 2..256), with scatter of a random task: test-then-train, cross-validation and nested subsets.
`averages`: the curve itself at doubling sizes, one training each, with its luck and an error of 2 points.

`cases` also has the bank's sessions (`bank_tests`, each data set left out of the prior in turn); tabular and segmentation
tasks count as `SHARES` say. `data/calibration_scores.csv.gz` keeps the library's scores; `--bank-only` starts from them.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from benchmarks.forecast.bank import Curve, bank_files, own_curves, read_bank
from benchmarks.forecast.bank_tests import BANDS as BANK_BANDS
from benchmarks.forecast.bank_tests import Answer, answers, bank_sessions, without
from benchmarks.forecast.lcdb import SIZES, Library, read_curves
from scaling_app.forecast.bayes import BayesForecaster
from scaling_app.forecast.calibration import Calibration, Factor, conformal_factor, score, write_calibration
from scaling_app.forecast.prior import DATA, learned_prior, shipped_templates
from scaling_app.forecast.scores import Score
from scaling_app.forecast.simulation import TabulatedTruth, random_spread, simulate_session

SAMPLES_PER_CASE = 8.0
RATIOS = (1.0, 1.25, 1.5, 2.0, 4.0)
BANDS = (6, 8, 12, 16, 24, 32)
AVERAGE_SE = 0.02
CURVES_PER_TASK = 1
SHARES = {"segmentation": 0.75, "tabular": 0.25}
"""Eight tasks are few for a quantile, 115 of another field no better than their likeness (REMEDIES.md)."""
SCORES = Path(__file__).parent / "data" / "calibration_scores.csv.gz"


class Deviation(NamedTuple):
    """How far off one forecast was, in units of its interval: 80 % and 95 %."""

    regime: str
    n_now: int
    quantity: str
    ratio: float
    task: str
    s80: float
    s95: float


Session = tuple[list[Score], Callable[[Sequence[float]], np.ndarray]]


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
    """The curve at 2, 4, ... n_now cases, one training each, with its luck and an error of 2 points, and the curve."""
    truth = real_truth(error, rng)
    sizes = [int(n) for n in truth.sizes if n <= n_now]
    luck = rng.normal(0, truth.spread.run, len(sizes)) / np.sqrt(sizes)
    dice = 1.0 - expit(truth.eta(np.array(sizes, dtype=float)) + luck)
    noisy = np.clip(dice + rng.normal(0, AVERAGE_SE, len(sizes)), 0.003, 0.997)
    observations = [Score(n, float(d)) for n, d in zip(sizes, noisy, strict=True)]
    return observations, lambda n: 1.0 - expit(truth.eta(np.asarray(n, dtype=float)))


def pick_curves(library: Library, per_task: int, rng: np.random.Generator) -> list[int]:
    """Rows of a few random curves per data set."""
    rows: list[int] = []
    for task in np.unique(library.dataset):
        own = np.flatnonzero(library.dataset == task)
        rows += [int(i) for i in rng.permutation(own)[:per_task]]
    return rows


def scores_of(
    library: Library,
    rows: Sequence[int],
    regime: str,
    n_now: int,
    forecaster_for: Callable[[int], BayesForecaster],
    rng: np.random.Generator,
) -> list[Deviation]:
    """Scores every curve's forecast against its truth."""
    make = case_session if regime == "cases" else average_session
    found: list[Deviation] = []
    for row in rows:
        observations, truth = make(library.error[row], n_now, rng)
        sizes = [n_now * ratio for ratio in RATIOS]
        draws = forecaster_for(row).fit(observations, n_now).draws(sizes, "structure")
        actual = truth(sizes)
        task = f"lcdb-{library.dataset[row]}"
        for t, ratio in enumerate(RATIOS):
            level = score(actual[t], draws[:, t])
            found.append(Deviation(regime, n_now, "level", ratio, task, *level))
            if t:
                gain = score(actual[t] - actual[0], draws[:, t] - draws[:, 0])
                found.append(Deviation(regime, n_now, "gain", ratio, task, *gain))
    return found


def lcdb_scores() -> list[Deviation]:
    """The scores of the curve library, computed anew."""
    library = read_curves().tuning()
    rng = np.random.default_rng(2026)
    rows = pick_curves(library, CURVES_PER_TASK, rng)
    of_regime = {"cases": rng, "averages": np.random.default_rng(2027)}

    def leave_one_out(row: int) -> BayesForecaster:
        prior = learned_prior(shipped_templates(), without=[f"lcdb-{library.dataset[row]}"])
        return BayesForecaster(prior, Calibration([]))

    found: list[Deviation] = []
    for regime, bands in (("cases", BANDS), ("averages", (8, 16, 32))):
        for n_now in bands:
            print(regime, n_now, flush=True)
            found += scores_of(library, rows, regime, n_now, leave_one_out, of_regime[regime])
    return found


def bank_answers(curves: Sequence[Curve]) -> dict[int, list[Answer]]:
    """Forecasts of the bank's sessions per N, each data set left out of the prior, intervals as they come."""
    own = own_curves(curves)
    none = Calibration([])
    return {n: answers(list(bank_sessions(own, n)), lambda curve: without(curve, none)) for n in BANK_BANDS}


def bank_scores(found: dict[int, list[Answer]]) -> list[Deviation]:
    """The scores of the bank's sessions."""
    scores: list[Deviation] = []
    for n_now, group in found.items():
        for a in group:
            for t, ratio in enumerate(RATIOS):
                if np.isfinite(a.session.truth[[0, t]]).all():
                    level, gain = a.scores(t)
                    scores.append(Deviation("cases", n_now, "level", ratio, a.task, *level))
                    if t:
                        scores.append(Deviation("cases", n_now, "gain", ratio, a.task, *gain))
    return scores


def factors_from(library: Sequence[Deviation], bank: Sequence[Deviation]) -> list[Factor]:
    """The quantiles over tasks; a band of N uses the bank's scores of the nearest N."""
    cells: dict[tuple[str, int, str, float], list[Deviation]] = {}
    for s in library:
        cells.setdefault((s.regime, s.n_now, s.quantity, s.ratio), []).append(s)
    bands = sorted({s.n_now for s in bank})
    factors = []
    for (regime, n_now, quantity, ratio), own in cells.items():
        near = min(bands, key=lambda n: abs(np.log(n / n_now)), default=0)
        others = [
            s for s in bank if (s.regime, s.n_now, s.quantity, s.ratio) == (regime, near, quantity, ratio)
        ]
        pooled = [*own, *others]
        tasks = np.array([s.task for s in pooled])
        kinds = np.array(["tabular"] * len(own) + ["segmentation"] * len(others))
        table = np.array([(s.s80, s.s95) for s in pooled])
        factors.append(conformal_factor(quantity, regime, n_now, ratio, table, tasks, kinds, SHARES))
    return factors


def write_scores(scores: Sequence[Deviation]) -> None:
    """Keeps the library's scores."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Deviation._fields)
    writer.writerows([*s[:5], f"{s.s80:.4g}", f"{s.s95:.4g}"] for s in scores)
    with SCORES.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as packed:
        packed.write(text.getvalue().encode())


def read_scores() -> list[Deviation]:
    """The library's scores as last computed."""
    with gzip.open(SCORES, "rt", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [
        Deviation(
            r["regime"],
            int(r["n_now"]),
            r["quantity"],
            float(r["ratio"]),
            r["task"],
            float(r["s80"]),
            float(r["s95"]),
        )
        for r in rows
    ]


def main() -> None:
    """Writes `calibration.json`, and the library's factors beside the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bank", type=Path, default=Path("benchmarks/bank/results"))
    parser.add_argument("--bank-only", action="store_true", help="keep the library's factors")
    arguments = parser.parse_args()
    if not arguments.bank_only:
        write_scores(lcdb_scores())
    files = bank_files(arguments.bank)
    found = bank_answers(read_bank(files)) if files else {}
    factors = factors_from(read_scores(), bank_scores(found))
    for f in factors:
        print(f"{f.regime} N={f.n_now} x{f.ratio} {f.quantity}: {f.f80} {f.f95} ({f.n_tasks} tasks)")
    write_calibration(factors, DATA / "calibration.json")


if __name__ == "__main__":
    main()
