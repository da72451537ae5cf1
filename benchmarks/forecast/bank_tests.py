"""The same questions on real segmentation curves, each data set left out of the prior and of the calibration.

A session of N cases is put together from a curve's replays: the scores of N of its test cases, drawn at random, under one
run at each size up to N (`prequential`: each new case under the model of the time) and under the runs nearest to 0.8 N
(`fold`), 0.4 N and 0.2 N (`nested`). The truth at a size is the mean over all runs there, on the other test cases
(structures that are missed count as 0), log-linear between sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from bank import Curve, Run
from tables import Row, with_interval

from scaling_app.forecast.bayes import BayesForecaster
from scaling_app.forecast.calibration import Calibration, Factor, conformal_factor, score
from scaling_app.forecast.forecaster import METHODS, make_forecaster
from scaling_app.forecast.observations import Observation
from scaling_app.forecast.prediction import Forecaster, TooFewPoints
from scaling_app.forecast.prior import learned_prior, shipped_templates

RATIOS = (1.0, 1.25, 1.5, 2.0, 4.0)
BANDS = (8, 16, 32)
REPEATS = 3

Answer = tuple[str, str, np.ndarray, np.ndarray, np.ndarray]
"""data set, structure, point forecasts `(H,)`, draws `(B, H)`, truth `(H,)` (NaN beyond the measured sizes)."""


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


def true_dice(curve: Curve, cases: Sequence[str], n: Sequence[float]) -> np.ndarray:
    """Mean Dice over runs and the given cases, log-linear between sizes, NaN outside them."""
    kept = set(cases)
    means = [
        np.mean(
            [
                d
                for run in curve.runs
                if run.n == size
                for c, d in run.dice.items()
                if c in kept and d is not None
            ]
        )
        for size in curve.sizes
    ]
    x = np.log(np.asarray(n, dtype=float))
    return np.interp(x, np.log(curve.sizes), means, left=np.nan, right=np.nan)


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
            answers.append(
                (
                    curve.dataset,
                    curve.structure,
                    forecaster.centre(draws),
                    draws,
                    true_dice(curve, rest, sizes),
                )
            )
    return answers


def _own_curves(curves: Sequence[Curve]) -> list[Curve]:
    return [c for c in curves if c.strategy == "baseline" and c.network.startswith("resunet")]


def _without(curve: Curve, calibration: Calibration) -> BayesForecaster:
    return BayesForecaster(learned_prior(shipped_templates(), without=[curve.dataset]), calibration)


def calibration_factors(curves: Sequence[Curve], exclude: str | None = None) -> list[Factor]:
    """Conformal factors from the bank, one data set excluded."""
    factors = []
    for n_now in BANDS:
        answers = _answers(
            [c for c in _own_curves(curves) if c.dataset != exclude],
            n_now,
            lambda c: _without(c, Calibration([])),
            1,
        )
        factors += _factors(answers, n_now)
    return factors


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


def accuracy(curves: Sequence[Curve], progress: Callable[[str], None]) -> list[Row]:
    """Level and gain error and coverage per method, N and horizon; every data set held out."""
    own = _own_curves(curves)
    table: list[Row] = []
    for n_now in BANDS:
        plain = _answers(own, n_now, lambda c: _without(c, Calibration([])), 2)
        for method in METHODS:
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
    inside = scores <= 1.0
    if held_out:
        factors = {task: _factors([a for a in answers if a[0] != task], n_now) for task in np.unique(tasks)}
        for i, task in enumerate(tasks):
            f = Calibration(factors[task])("level", "cases", n_now, ratio)
            inside[i] = scores[i] <= (f.f80, f.f95)
    return {
        "N": n_now,
        "horizon": f"x{ratio:g}",
        "method": method,
        "sessions": len(usable),
        "tasks": len(np.unique(tasks)),
        "level MAE points": with_interval(abs(level), tasks),
        "gain MAE points": with_interval(abs(gain), tasks) if t else "",
        "coverage 80%": with_interval(inside[:, 0], tasks, 1.0),
        "coverage 95%": with_interval(inside[:, 1], tasks, 1.0),
    }
