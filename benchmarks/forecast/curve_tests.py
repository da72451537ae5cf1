"""LCDB 1.1, data sets held out: extrapolation, stop rule, cases to a target.

The library's curves at its own sizes: a curve is observed at 16, 32, 64, 128 with an error of 2 points. The prior of
`bayes` here is made of the tuning part's templates at their own scale (70 %), the weak component (20 %) and the plateau (10 %).
Conformal factors of every method come from the tuning part (for `bayes` with the curve's data set left out).
Results are of the report part only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.common.tables import Row, clustered_share, errors, held
from benchmarks.forecast.lcdb import SIZES, Library
from scaling_app.forecast.answer import cases_needed
from scaling_app.forecast.bayes import BayesForecaster
from scaling_app.forecast.calibration import Calibration, conformal_quantile, edges
from scaling_app.forecast.families import Array
from scaling_app.forecast.forecaster import make_forecaster
from scaling_app.forecast.prediction import Forecaster
from scaling_app.forecast.prior import CurvePrior, shipped_templates, weak_component, with_plateau
from scaling_app.forecast.scores import Score

NOISE = 0.02
OBSERVED = 4
HORIZONS = (2, 4, 8)
CURVES_PER_TASK = 5
STEP = 1.2
"""Largest growth of the training set between two looks when collecting towards a target."""
CALIBRATED = 0.75
"""P(reached) at which to stop collecting so that four in five reach the target, from the tuning part (REMEDIES.md)."""
NORMALISED = ("bayes", "gp", "lstm")
"""Methods whose intervals are scaled; the others' are a conformal distance about the point forecast."""


def own_scale_prior(without: int | None = None) -> CurvePrior:
    """The library's templates at their own scale, and the weak component."""
    left_out = [] if without is None else [f"lcdb-{without}"]
    library = shipped_templates().component("lcdb", without=left_out)
    assert library is not None
    return with_plateau(CurvePrior((library, weak_component()), (0.7 / 0.9, 0.2 / 0.9)))


def observe(error: Array, sizes: Array, rng: np.random.Generator, noise: float = NOISE) -> list[Score]:
    """Noisy scores of a curve at the library's first sizes, or at any via `true_error`."""
    noisy = np.clip(true_error(error, sizes) + rng.normal(0, noise, len(sizes)), 0.003, 0.99)
    return [Score(int(n), float(1 - e), seed=i) for i, (n, e) in enumerate(zip(sizes, noisy, strict=True))]


def true_error(error: Array, n: Array) -> Array:
    """The measured curve, linear in ln n between its sizes."""
    known = np.isfinite(error)
    return np.interp(np.log(n), np.log(SIZES[known]), error[known])


def sample_rows(library: Library, rng: np.random.Generator, per_task: int = CURVES_PER_TASK) -> np.ndarray:
    """Up to `per_task` random curves of every data set."""
    rows = [
        rng.permutation(np.flatnonzero(library.dataset == t))[:per_task] for t in np.unique(library.dataset)
    ]
    return np.concatenate(rows)


def _forecaster(method: str, dataset: int | None) -> Forecaster:
    if method == "bayes":
        return BayesForecaster(own_scale_prior(dataset), Calibration([]))
    return make_forecaster(method)


def _forecasts(
    library: Library, rows: np.ndarray, method: str, leave_out: bool, seed: int
) -> tuple[Array, Array, Array]:
    """Errors `(R, H)` of the point forecast, and scores against the edges `(R, H, 2)` with half-widths `(R, H, 2)`."""
    rng = np.random.default_rng(seed)
    sizes = SIZES[:OBSERVED]
    ahead = sizes[-1] * np.array(HORIZONS)
    misses, scores, widths = [], [], []
    for row in rows:
        observations = observe(library.error[row], sizes, rng)
        dataset = int(library.dataset[row]) if leave_out else None
        forecaster = _forecaster(method, dataset).fit(observations)
        draws = forecaster.draws(ahead, "structure")
        truth = 1 - true_error(library.error[row], ahead)
        misses.append(forecaster.centre(draws) - truth)
        scores.append([_normalised(t, d) for t, d in zip(truth, draws.T, strict=True)])
        widths.append([_half_widths(d) for d in draws.T])
    return np.array(misses), np.array(scores), np.array(widths)


def _half_widths(draws: Array) -> tuple[float, float]:
    lo80, hi80, lo95, hi95 = edges(draws)
    return (hi80 - lo80) / 2, (hi95 - lo95) / 2


def _normalised(truth: float, draws: Array) -> tuple[float, float]:
    median = float(np.median(draws))
    return tuple(abs(truth - median) / max(w, 1e-6) for w in _half_widths(draws))  # type: ignore[return-value]


def extrapolation(
    tuning: Library, report: Library, methods: Sequence[str], progress: Callable[[str], None]
) -> list[Row]:
    """MAE at x2, x4, x8, conformal coverage and widths, per method."""
    rng = np.random.default_rng(7)
    tuning_rows, report_rows = sample_rows(tuning, rng, 2), sample_rows(report, rng)
    tasks, tuning_tasks = report.dataset[report_rows], tuning.dataset[tuning_rows]
    table: list[Row] = []
    for method in methods:
        progress(f"extrapolation: {method}")
        t_miss, t_score, _ = _forecasts(tuning, tuning_rows, method, True, seed=1)
        miss, score, width = _forecasts(report, report_rows, method, False, seed=2)
        for h, horizon in enumerate(HORIZONS):
            row: dict[str, object] = {"method": method, "horizon": f"x{horizon}", "curves": len(miss)}
            row |= {"tasks": len(np.unique(tasks)), "MAE points": errors(miss[:, h], tasks)}
            for k, level in enumerate((0.8, 0.95)):
                if method in NORMALISED:
                    factor = conformal_quantile(t_score[:, h, k], tuning_tasks, level)
                    inside, half = score[:, h, k] <= factor, factor * width[:, h, k]
                else:
                    factor = conformal_quantile(abs(t_miss[:, h]), tuning_tasks, level)
                    inside, half = abs(miss[:, h]) <= factor, np.full(len(miss), factor)
                row[f"coverage {level:.0%}"] = held(inside, tasks)
                row[f"width {level:.0%} points"] = float(200 * np.mean(half))
            table.append(row)
    return table


def stop_rule(report: Library, progress: Callable[[str], None], per_task: int = 3) -> list[Row]:
    """Decisions after 3 to 6 sizes: is the gain of the next doubling below delta?"""
    rng = np.random.default_rng(8)
    rows = sample_rows(report, rng, per_task)
    prior = own_scale_prior()
    records = []
    for count, row in enumerate(rows):
        if count % 50 == 0:
            progress(f"stop rule: curve {count} of {len(rows)}")
        noisy = observe(report.error[row], SIZES[:7], rng)
        before, task = {0.01: 0.0, 0.02: 0.0}, float(report.dataset[row])
        for k in (3, 4, 5, 6):
            forecaster = BayesForecaster(prior, Calibration([])).fit(noisy[:k])
            draws = forecaster.draws(SIZES[k - 1 : k + 1], "structure")
            gain = draws[:, 1] - draws[:, 0]
            power = make_forecaster("power_law").fit(noisy[:k])
            p = power.centre(power.draws(SIZES[k - 1 : k + 1], "structure"))
            last = (noisy[k - 1].dice or 0.0) - (noisy[k - 2].dice or 0.0)
            actual = float(report.error[row, k - 1] - report.error[row, k])
            for delta in before:
                low = float((gain < delta).mean())
                records.append(
                    (delta, low, before[delta], actual, float(p[1] - p[0]), last, float(gain.mean()), task)
                )
                before[delta] = low
    return _stop_table(np.array(records))


def _stop_table(records: np.ndarray) -> list[Row]:
    """Decisions on one task's curves are no independent ones: intervals are clustered by task."""
    tasks = len(np.unique(records[:, -1]))
    table: list[Row] = []
    for delta in (0.01, 0.02):
        _, low, before, actual, power, last, mean, task = records[records[:, 0] == delta].T
        flat = actual < delta
        rules = {
            "P(gain < delta) >= 0.8": low >= 0.8,
            "the same at two updates running": (low >= 0.8) & (before >= 0.8),
            "P(gain < delta) >= 0.6": low >= 0.6,
            "expected gain < delta": mean < delta,
            "power law's gain < delta": power < delta,
            "last increment < delta": last < delta,
        }
        for name, stop in rules.items():
            table.append(
                {
                    "delta points": 100 * delta,
                    "rule": name,
                    "decisions": len(flat),
                    "tasks": tasks,
                    "truly flat": float(flat.mean()),
                    "precision": clustered_share(flat[stop], task[stop]),
                    "stops of the truly flat": clustered_share(stop[flat], task[flat]),
                    "lost gain points": float(100 * np.clip(actual[stop], 0, None).mean())
                    if stop.any()
                    else float("nan"),
                }
            )
    return [*table, *_reliability_rows(records, tasks), _gain_row(records, tasks)]


def _reliability_rows(records: np.ndarray, tasks: int) -> list[Row]:
    """Stated against observed probability that the next doubling gains less than 1 point."""
    _, low, _, actual, *_, task = records[records[:, 0] == 0.01].T
    rows: list[Row] = []
    for start, stop in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.01)):
        chosen = (low >= start) & (low < stop)
        rows.append(
            {
                "delta points": 1.0,
                "rule": f"stated probability {low[chosen].mean():.2f}",
                "decisions": int(chosen.sum()),
                "tasks": tasks,
                "truly flat": clustered_share(actual[chosen] < 0.01, task[chosen]),
                "precision": "",
                "stops of the truly flat": "",
                "lost gain points": "",
            }
        )
    return rows


def _gain_row(records: np.ndarray, tasks: int) -> Row:
    _, _, _, actual, power, last, mean, _ = records[records[:, 0] == 0.01].T
    gains = {"bayes": mean, "power law": power, "last increment": last}
    text = ", ".join(f"{name} {100 * np.abs(g - actual).mean():.2f}" for name, g in gains.items())
    return {
        "delta points": "",
        "rule": f"MAE of the gain, points: {text}",
        "decisions": len(actual),
        "tasks": tasks,
        "truly flat": "",
        "precision": "",
        "stops of the truly flat": "",
        "lost gain points": "",
    }


def cases_to_target(report: Library, progress: Callable[[str], None], per_task: int = 2) -> list[Row]:
    """Sizes asked for to reach what a random larger size really gives, at a stated 80 %.

    `one shot`: from four observed sizes, the size at which P(target reached) is 0.8; often none can be promised within
    16 times the present. `in rounds`: collect towards that size but at most a fifth more (a fifth more when
    none can be promised), observe there, and stop once P(reached) is 0.8, or at 1,024. At that probability fewer
    fail than one in five; `CALIBRATED` is where one in five failed on the tuning part.
    """
    rng = np.random.default_rng(9)
    rows = sample_rows(report, rng, per_task)
    prior = own_scale_prior()
    calibrated = f"in rounds, P(reached) >= {CALIBRATED}"
    outcome: dict[str, list[tuple[float, float, float]]] = {"one shot": [], "in rounds": [], calibrated: []}
    tried = 0
    for count, row in enumerate(rows):
        if count % 40 == 0:
            progress(f"cases to target: curve {count} of {len(rows)}")
        known = np.isfinite(report.error[row])
        curve = np.where(known, np.minimum.accumulate(np.where(known, report.error[row], np.inf)), np.nan)
        needed = float(np.exp(rng.uniform(np.log(160), np.log(800))))
        target_error, error_now = true_error(curve, np.array([needed, SIZES[OBSERVED - 1]]))
        if error_now - target_error < 0.005:
            continue
        tried += 1
        first, last = _collect_to(prior, curve, 1 - float(target_error), rng)
        _, earlier = _collect_to(prior, curve, 1 - float(target_error), rng, CALIBRATED)
        for name, size in (("one shot", first), ("in rounds", last), (calibrated, earlier)):
            if size is not None:
                shortfall = float(true_error(curve, np.array([size]))[0] - target_error)
                outcome[name].append((size / needed, max(shortfall, 0.0), float(report.dataset[row])))
    return [_target_row(name, values, tried) for name, values in outcome.items()]


def _collect_to(
    prior: CurvePrior, curve: Array, target: float, rng: np.random.Generator, p: float = 0.8
) -> tuple[float | None, float]:
    """The size asked for at first, and the size at which collection in rounds ends."""
    size = float(SIZES[OBSERVED - 1])
    noisy = observe(curve, SIZES[:OBSERVED], rng)
    asked = first = _size_for(prior, noisy, size, target, p)
    while size < 1024 and (asked is None or asked > 1.02 * size):
        size = float(round(min(asked or np.inf, STEP * size, 1024.0)))
        noisy.append(replace(observe(curve, np.array([size]), rng)[0], seed=len(noisy)))
        asked = _size_for(prior, noisy, size, target, p)
    return first, size


def _target_row(name: str, values: list[tuple[float, float, float]], tried: int) -> Row:
    ratio, shortfall, task = np.array(values).T
    failed = ratio < 1.0
    return {
        "protocol": name,
        "answered": f"{len(values)} of {tried}",
        "median collected / needed": float(np.median(ratio)),
        "90th percentile": float(np.quantile(ratio, 0.9)),
        "failures (collected < needed)": clustered_share(failed, task),
        "median shortfall of failures, points": float(100 * np.median(shortfall[failed]))
        if failed.any()
        else 0.0,
    }


def _size_for(
    prior: CurvePrior, observations: list[Score], now: float, target: float, p: float
) -> float | None:
    """The size at which the target is reached with probability p; None beyond 16 times the present."""
    grid = now * np.geomspace(1, 16, 50)
    draws = BayesForecaster(prior, Calibration([])).fit(observations).draws(grid, "structure")
    extra = float(np.quantile(cases_needed(draws, grid, target), p, method="higher"))
    return extra if np.isfinite(extra) else None
