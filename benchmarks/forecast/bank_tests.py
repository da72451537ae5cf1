"""The same questions on real segmentation curves, each data set left out of the prior and of the calibration.

A session of N cases is put together from a curve's replays: the scores of N of its test cases, drawn at random, under one
run at each size up to N (`prequential`: each new case under the model of the time) and under the runs nearest to 0.8 N
(`fold`), 0.4 N and 0.2 N (`nested`). The truth at a size is the mean over all runs there, on the other test cases
(structures that are missed count as 0), log-linear between sizes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from bank import Curve, Run
from tables import Row, with_interval

from scaling_app.forecast.bayes import BayesForecaster
from scaling_app.forecast.calibration import Calibration, Factor, conformal_factor, score
from scaling_app.forecast.forecaster import make_forecaster
from scaling_app.forecast.observations import Observation
from scaling_app.forecast.prediction import Forecaster, TooFewPoints
from scaling_app.forecast.prior import learned_prior, shipped_templates

RATIOS = (1.0, 1.25, 1.5, 2.0, 4.0)
BANDS = (8, 16, 32)
REPEATS = 3

Answer = tuple[str, str, np.ndarray, np.ndarray, np.ndarray, list[tuple[float, float]]]
"""data set, structure, point forecasts `(H,)`, draws of the measured truth `(B, H)` (the forecast's draws plus the
truth's own standard error), truth `(H,)` (NaN beyond the measured sizes), and the method's factors of the 80 %
and 95 % interval."""


def bank_session(
    curve: Curve, n_now: int, rng: np.random.Generator
) -> tuple[list[Observation], list[str]] | None:
    """Observations of a session of N cases, and the names of the other test cases; None when there are too few."""
    cases = sorted({case for run in curve.runs for case, dice in run.dice.items() if dice is not None})
    if len(cases) < n_now + 10 or curve.sizes[0] > n_now / 2:
        return None
    order = [str(case) for case in rng.permutation(cases)]
    session, rest = order[:n_now], order[n_now:]
    observations: list[Observation] = []
    sizes = [int(n) for n in curve.sizes if n < n_now]
    for n, following in zip(sizes, [*sizes[1:], n_now], strict=True):
        observations += _scores(_pick(curve, n, rng), "prequential", session[n:following])
    for fold in range(5):
        held_out = session[fold::5]
        for kind, wanted in (("fold", 0.8 * n_now), ("nested", 0.4 * n_now), ("nested", 0.2 * n_now)):
            if kind == "fold" or fold < 3:
                n = min(sizes, key=lambda size: abs(np.log(size / wanted)))
                observations += _scores(_pick(curve, n, rng), kind, held_out, tag=f"{fold}/{wanted:.0f}")
    return observations, rest


def _pick(curve: Curve, n: int, rng: np.random.Generator) -> Run:
    runs = [run for run in curve.runs if run.n == n]
    return runs[int(rng.integers(len(runs)))]


def _scores(run: Run, kind: str, cases: Sequence[str], tag: str = "") -> list[Observation]:
    name = f"{run.draw}/{run.seed}/{tag}"
    return [
        Observation(run.n, run.dice[case], case=case, run=name, kind=kind)
        for case in cases
        if run.dice.get(case) is not None
    ]


def true_dice(curve: Curve, cases: Sequence[str], n: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Mean Dice over runs and the given cases, log-linear between sizes, NaN outside them, and its standard error.

    The error is that of the mean over so few cases and runs, as if independent: what even a perfect
    forecast would miss the measured truth by.
    """
    means, errors = [], []
    for size in curve.sizes:
        table = np.array(
            [
                [np.nan if run.dice.get(c) is None else run.dice[c] for c in cases]
                for run in curve.runs
                if run.n == size
            ],
            dtype=float,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            case_means = np.nanmean(table, axis=0)
        case_means = case_means[np.isfinite(case_means)]
        run_means = np.nanmean(table, axis=1)
        means.append(float(case_means.mean()))
        spread = float(run_means.var(ddof=1)) / len(run_means) if len(run_means) > 1 else 0.0
        errors.append(float(np.sqrt(case_means.var(ddof=1) / len(case_means) + spread)))
    x, sizes = np.log(np.asarray(n, dtype=float)), np.log(curve.sizes)
    truth = np.interp(x, sizes, means, left=np.nan, right=np.nan)
    return truth, np.interp(x, sizes, errors)


def _answers(
    curves: Sequence[Curve], n_now: int, forecaster_for: Callable[[Curve], Forecaster], seed: int
) -> list[Answer]:
    answers = []
    for index, curve in enumerate(curves):
        rng = np.random.default_rng([seed, n_now, index])
        for _ in range(REPEATS):
            made = bank_session(curve, n_now, rng)
            if made is None:
                continue
            observations, rest = made
            try:
                forecaster = forecaster_for(curve).fit(observations, n_now)
            except TooFewPoints:
                continue
            sizes = [n_now * ratio for ratio in RATIOS]
            draws = forecaster.draws(sizes, "structure")
            widths = [(f.f80, f.f95) for f in (forecaster.factor("level", n) for n in sizes)]
            truth, error = true_dice(curve, rest, sizes)
            centre = forecaster.centre(draws)
            noisy = draws + error * rng.standard_normal((len(draws), 1))
            answers.append((curve.dataset, curve.structure, centre, noisy, truth, widths))
    return answers


def _own_curves(curves: Sequence[Curve]) -> list[Curve]:
    return [c for c in curves if c.strategy == "baseline" and c.network.startswith("resunet")]


def _without(curve: Curve) -> BayesForecaster:
    """The app's forecaster, with the shipped calibration and a prior that has not seen the data set."""
    return BayesForecaster(learned_prior(shipped_templates(), without=[curve.dataset]))


def _factors(answers: Sequence[Answer], n_now: int) -> list[Factor]:
    factors = []
    for t, ratio in enumerate(RATIOS):
        usable = [a for a in answers if np.isfinite(a[4][[0, t]]).all()]
        tasks = np.array([a[0] for a in usable])
        if len(np.unique(tasks)) < 4:
            continue
        level = np.array([score(a[4][t], a[3][:, t]) for a in usable])
        factors.append(conformal_factor("level", "cases", n_now, ratio, level, tasks))
        if t:
            gain = np.array([score(a[4][t] - a[4][0], a[3][:, t] - a[3][:, 0]) for a in usable])
            factors.append(conformal_factor("gain", "cases", n_now, ratio, gain, tasks))
    return factors


def accuracy(curves: Sequence[Curve], methods: Sequence[str], progress: Callable[[str], None]) -> list[Row]:
    """Level and gain error and coverage per method, N and horizon; every data set held out."""
    own = _own_curves(curves)
    table: list[Row] = []
    for n_now in BANDS:
        plain = _answers(own, n_now, _without, 2)
        for method in methods:
            progress(f"bank: N={n_now} {method}")
            is_own = method == "bayes"
            answers = plain if is_own else _answers(own, n_now, lambda c, m=method: make_forecaster(m), 2)
            for t, ratio in enumerate(RATIOS):
                row = _row(answers, n_now, method, t, ratio, held_out=is_own)
                if row is not None:
                    table.append(row)
    return table


def _row(
    answers: Sequence[Answer], n_now: int, method: str, t: int, ratio: float, *, held_out: bool
) -> Row | None:
    usable = [a for a in answers if np.isfinite(a[4][[0, t]]).all()]
    if not usable:
        return None
    tasks = np.array([a[0] for a in usable])
    level = np.array([a[2][t] - a[4][t] for a in usable])
    gain = np.array([a[2][t] - a[2][0] - (a[4][t] - a[4][0]) for a in usable])
    scores = np.array([score(a[4][t], a[3][:, t]) for a in usable])
    inside = scores <= np.array([a[5][t] for a in usable])
    row: dict[str, object] = {
        "N": n_now,
        "horizon": f"x{ratio:g}",
        "method": method,
        "sessions": len(usable),
        "tasks": len(np.unique(tasks)),
        "level MAE points": with_interval(abs(level), tasks),
        "gain MAE points": with_interval(abs(gain), tasks),
        "coverage 80%": with_interval(inside[:, 0], tasks, 1.0),
        "coverage 95%": with_interval(inside[:, 1], tasks, 1.0),
        "coverage 80%, factors of the other tasks": "",
    }
    if held_out:
        others = {task: _factors([a for a in answers if a[0] != task], n_now) for task in np.unique(tasks)}
        f80 = [Calibration(others[task])("level", "cases", n_now, ratio).f80 for task in tasks]
        row["coverage 80%, factors of the other tasks"] = with_interval(scores[:, 0] <= f80, tasks, 1.0)
    return row
