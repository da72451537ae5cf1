"""The same questions on real segmentation curves, each data set left out of the prior and of the calibration.

A session of N cases is put together from a curve's trainings. Its test cases are drawn at random, as many as leave
`REST` others; its runs are those of some label draws. Folds are trained on N or N / 2 cases (3 to 2, a geometric
mean of 0.76 N; no run has 0.8 N), two of them have nested subsets of a half and a quarter, and each case is tested
by the model of the time before it trains on it (`prequential`). No test of a case by a training is used twice.
The truth at a size is the mean over the trainings of the *other* draws on the *other* test cases (misses count as 0),
log-linear between sizes: a forecast shares neither cases nor trainings with what it is held against.

Two floors come with it. `truth's own error`: what the truth is off by for being a mean of so few cases and trainings.
`these cases known`: the error of one who knows how the truth's own trainings do on the session's cases, and so lacks
nothing but the other cases.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.common.tables import Row, errors, held, task_mean, with_interval
from benchmarks.forecast.bank import Curve, Run, own_curves
from benchmarks.forecast.lstm_curves import read_held_out
from scaling_app.forecast.bayes import BayesForecaster
from scaling_app.forecast.calibration import Calibration, Factor, conformal_quantile, edges, score
from scaling_app.forecast.forecaster import make_forecaster
from scaling_app.forecast.prediction import Forecaster, TooFewPoints
from scaling_app.forecast.prior import learned_prior, shipped_templates
from scaling_app.forecast.rivals.lstm import LstmForecaster
from scaling_app.forecast.scores import Score

RATIOS = (1.0, 1.25, 1.5, 2.0, 4.0)
BANDS = (8, 16, 32)
REST = 14
"""Test cases kept for the truth; a session whose N cases would leave fewer is tested on fewer cases."""
FEWEST = 8
"""Test cases below which there is no session."""
FOLDS = 5
NOTHING = {"level MAE above bayes'": "", "gain MAE above bayes'": ""}
SPLITS = 3
"""Ways in which the test cases of a choice of draws are parted."""


@dataclass(frozen=True)
class BankSession:
    """One session and what it is held against.

    Attributes:
        curve: where it is from.
        n_now: N.
        observations: of the session.
        truth: `(H,)` Dice at `RATIOS` times N; NaN beyond the measured sizes.
        error: `(H,)` the truth's standard error.
        gain_error: `(H,)` that of its gain from N.
        known: `(H,)` the truth's trainings on the session's own cases.
    """

    curve: Curve
    n_now: int
    observations: list[Score]
    truth: np.ndarray
    error: np.ndarray
    gain_error: np.ndarray
    known: np.ndarray

    @property
    def sizes(self) -> list[float]:
        """Sizes that are asked for."""
        return [self.n_now * ratio for ratio in RATIOS]


def bank_sessions(curves: Sequence[Curve], n_now: int, seed: int = 2) -> Iterator[BankSession]:
    """`SPLITS` sessions of N cases per curve and choice of draws, where its runs and cases allow them."""
    for index, curve in enumerate(curves):
        rng = np.random.default_rng([seed, n_now, index])
        cases = sorted({case for run in curve.runs for case, dice in run.dice.items() if dice is not None})
        draws = sorted({run.draw for run in curve.runs})
        used = min(n_now, len(cases) - REST)
        if used < FEWEST or len(draws) < 2 or not {n_now, n_now // 2} <= {int(n) for n in curve.sizes}:
            continue
        for turn in [turn for turn in range(len(draws)) for _ in range(SPLITS)]:
            order = [str(case) for case in rng.permutation(cases)]
            turned = [*draws[turn:], *draws[:turn]]
            split = len(draws) // 2
            own = [run for run in curve.runs if run.draw in turned[:split]]
            others = [run for run in curve.runs if run.draw in turned[split:]]
            made = _session(curve, n_now, own, others, order[:used], order[used:])
            if made is not None:
                yield made


def _session(
    curve: Curve,
    n_now: int,
    own: Sequence[Run],
    others: Sequence[Run],
    cases: Sequence[str],
    rest: Sequence[str],
) -> BankSession | None:
    arm = {"strategy": curve.strategy, "network": curve.network, "capacity": curve.capacity}
    observations = [replace(o, **arm) for o in _observations(own, n_now, cases)]
    wanted = [n_now * ratio for ratio in RATIOS]
    if len(observations) < 3 or n_now not in {run.n for run in others}:
        return None
    truth, error, gain_error = _truth(others, rest, wanted, n_now)
    known, *_ = _truth(others, cases, wanted, n_now)
    return BankSession(curve, n_now, observations, truth, error, gain_error, known)


def _observations(runs: Sequence[Run], n_now: int, cases: Sequence[str]) -> list[Score]:
    """What the app would have observed; the order of `cases` is that in which they were labelled."""
    by_size: dict[int, list[Run]] = {}
    for run in runs:
        by_size.setdefault(run.n, []).append(run)
    plan: list[tuple[str, int, int, Sequence[str]]] = []
    for fold in range(FOLDS):
        held_out = cases[fold::FOLDS]
        n = n_now if fold % 2 == 0 else n_now // 2
        plan.append(("fold", n, fold, held_out))
        if fold < 2:
            plan += [("nested", n // 2, fold, held_out), ("nested", n // 4, fold, held_out)]
    updates = sorted(n for n in by_size if n < n_now)
    for turn, (n, following) in enumerate(zip(updates, [*updates[1:], n_now], strict=True)):
        share = len(cases) / n_now
        plan.append(("prequential", n, turn, cases[round(share * n) : round(share * following)]))
    seen: set[tuple[int, int, int, str]] = set()
    observations = []
    for kind, n, turn, tested in plan:
        if n not in by_size:
            continue
        run = by_size[n][turn % len(by_size[n])]
        for case in tested:
            key = (run.n, run.draw, run.seed, case)
            if run.dice.get(case) is not None and key not in seen:
                seen.add(key)
                observations.append(
                    Score(n, run.dice[case], case=case, run=f"{run.draw}/{run.seed}", kind=kind)
                )
    return observations


def _truth(
    runs: Sequence[Run], cases: Sequence[str], wanted: Sequence[float], n_now: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean Dice at the wanted sizes, its standard error, and that of its difference from N.

    The error is that of the mean over so few cases and trainings, as if the two were independent. A draw's trainings on
    N cases and on more share these, so the difference is taken draw by draw.
    """
    sizes = sorted({run.n for run in runs})
    tables = [_table([run for run in runs if run.n == n], cases) for n in sizes]
    now = tables[sizes.index(n_now)]
    x, known = np.log(np.asarray(wanted, dtype=float)), np.log(sizes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        means = [float(np.nanmean(list(table.values()))) for table in tables]
        errors = [_standard_error(np.array(list(table.values()))) for table in tables]
        of_gain = [
            0.0 if n == n_now else _standard_error(np.array([table[d] - now[d] for d in table if d in now]))
            for n, table in zip(sizes, tables, strict=True)
        ]
    truth = np.interp(x, known, means, left=np.nan, right=np.nan)
    return truth, np.interp(x, known, errors), np.interp(x, known, of_gain)


def _table(runs: Sequence[Run], cases: Sequence[str]) -> dict[int, np.ndarray]:
    """Scores `(C,)` by draw: a mean over the trainings of each."""
    by_draw: dict[int, list[Run]] = {}
    for run in runs:
        by_draw.setdefault(run.draw, []).append(run)
    return {
        draw: np.nanmean([[_score(run, case) for case in cases] for run in own], axis=0)
        for draw, own in by_draw.items()
    }


def _standard_error(table: np.ndarray) -> float:
    """Of a mean over draws and cases `(D, C)`."""
    per_case = np.nanmean(table, axis=0)
    per_case = per_case[np.isfinite(per_case)]
    variance = float(per_case.var(ddof=1)) / len(per_case)
    if len(table) > 1:
        variance += float(np.nanmean(table, axis=1).var(ddof=1)) / len(table)
    return float(np.sqrt(variance))


def _score(run: Run, case: str) -> float:
    dice = run.dice.get(case)
    return np.nan if dice is None else dice


@dataclass(frozen=True)
class Answer:
    """A method's forecast of one session.

    Attributes:
        session: what was asked.
        centre: `(H,)` point forecasts.
        draws: `(B, H)` of the forecast.
        factors: `(H, 2, 2)`: of level and gain, of the 80 % and the 95 % interval.
    """

    session: BankSession
    centre: np.ndarray
    draws: np.ndarray
    factors: np.ndarray

    @property
    def task(self) -> str:
        """The data set."""
        return self.session.curve.dataset

    def missed_by(self, t: int) -> tuple[float, float]:
        """Error of level and of gain at one horizon."""
        truth = self.session.truth
        level = float(self.centre[t] - truth[t])
        return level, level - float(self.centre[0] - truth[0])

    def scores(self, t: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """Conformal scores of level and gain, against draws of the truth as measured: with its own error."""
        session, noise = self.session, np.random.default_rng(t).standard_normal(len(self.draws))
        level = score(float(session.truth[t]), self.draws[:, t] + session.error[t] * noise)
        gain = self.draws[:, t] - self.draws[:, 0] + session.gain_error[t] * noise
        return level, score(float(session.truth[t] - session.truth[0]), gain)

    def shown(self, t: int) -> tuple[bool, bool]:
        """Whether the 80 % ranges of level and gain hold the truth as measured, as they are shown: without its error."""
        truth = self.session.truth
        level, gain = truth[t], truth[t] - truth[0]
        found = ((level, self.draws[:, t]), (gain, self.draws[:, t] - self.draws[:, 0]))
        inside = []
        for (value, draws), factor in zip(found, self.factors[t], strict=True):
            low, high, *_ = edges(draws, Factor("", "cases", 0, 0, *factor, 0))
            inside.append(bool(low <= value <= high))
        return inside[0], inside[1]


def answers(sessions: Sequence[BankSession], forecaster_for: Callable[[Curve], Forecaster]) -> list[Answer]:
    """A method's forecasts; sessions that it finds too short are left out."""
    found = []
    for session in sessions:
        try:
            forecaster = forecaster_for(session.curve).fit(session.observations, session.n_now)
        except TooFewPoints:
            continue
        draws = forecaster.draws(session.sizes, "structure")
        factors = [
            [(f.f80, f.f95) for f in (forecaster.factor(kind, n) for kind in ("level", "gain"))]
            for n in session.sizes
        ]
        found.append(Answer(session, forecaster.centre(draws), draws, np.array(factors)))
    return found


def without(curve: Curve, calibration: Calibration | None = None) -> BayesForecaster:
    """The app's forecaster with a prior that has not seen the data set."""
    return BayesForecaster(learned_prior(shipped_templates(), without=[curve.dataset]), calibration)


def maker(method: str) -> Callable[[Curve], Forecaster]:
    """What makes a method's forecaster for a curve; nothing learned beforehand is from the curve's data set.

    Raises:
        FileNotFoundError: the LSTM has not been trained without each data set; the message says how to.
    """
    if method != "lstm":
        return lambda curve: make_forecaster(method)
    weights, _ = read_held_out()
    return lambda curve: LstmForecaster(weights[curve.dataset])


def calibrated(found: Sequence[Answer], calibration_for: Callable[[str], Calibration]) -> list[Answer]:
    """The same forecasts with the factors of a calibration that has not seen their data set."""
    calibrations = {task: calibration_for(task) for task in {a.task for a in found}}

    def factors(a: Answer) -> np.ndarray:
        looked_up = [
            [calibrations[a.task](kind, "cases", a.session.n_now, ratio) for kind in ("level", "gain")]
            for ratio in RATIOS
        ]
        return np.array([[(f.f80, f.f95) for f in pair] for pair in looked_up])

    return [replace(a, factors=factors(a)) for a in found]


def accuracy(
    curves: Sequence[Curve], methods: Sequence[str], own: Sequence[Answer], progress: Callable[[str], None]
) -> list[Row]:
    """Level and gain error and coverage per method, N and horizon; `own` are those of `bayes`."""
    table: list[Row] = []
    makers = {method: maker(method) for method in methods if method != "bayes"}
    for n_now in BANDS:
        sessions = list(bank_sessions(own_curves(curves), n_now))
        for method in methods:
            progress(f"bank: N={n_now} {method}, {len(sessions)} sessions")
            of_app = found = [a for a in own if a.session.n_now == n_now]
            if method in makers:
                found = answers(sessions, makers[method])
            for t, ratio in enumerate(RATIOS):
                group = usable(found, t)
                if group:
                    row = {"N": n_now, "horizon": f"x{ratio:g}", "method": method, **row_of(group, t)}
                    table.append(
                        row | (_farther_off(group, usable(of_app, t), t) if method in makers else NOTHING)
                    )
    return table


def _farther_off(group: Sequence[Answer], of_app: Sequence[Answer], t: int) -> dict[str, object]:
    """How much larger than the app's errors a method's are, on the same sessions; intervals over data sets."""
    same = len(group) == len(of_app) and all(
        np.array_equal(a.session.truth, b.session.truth, equal_nan=True)
        for a, b in zip(group, of_app, strict=True)
    )
    if same:
        tasks = np.array([a.task for a in group])
        theirs, own = (np.abs([a.missed_by(t) for a in found]) for found in (group, of_app))
        more = theirs - own
        return {key: with_interval(more[:, k], tasks) for k, key in enumerate(NOTHING)}
    return NOTHING


def usable(found: Sequence[Answer], t: int) -> list[Answer]:
    """Those whose truth was measured at N and at the horizon."""
    return [a for a in found if np.isfinite(a.session.truth[[0, t]]).all()]


def row_of(found: Sequence[Answer], t: int, units: np.ndarray | None = None) -> dict[str, object]:
    """Means and intervals over units: data sets when None."""
    tasks = np.array([a.task for a in found]) if units is None else units
    missed = np.array([a.missed_by(t) for a in found])
    shown = np.array([a.shown(t) for a in found])
    scores = np.array([a.scores(t) for a in found])
    inside = scores <= np.array([a.factors[t] for a in found])
    own = np.array([[a.session.error[t], a.session.gain_error[t]] for a in found]) * np.sqrt(2 / np.pi)
    missing = np.array([a.session.known - a.session.truth for a in found])
    gain_missing = missing[:, t] - missing[:, 0]
    width = [a.factors[t, 0, 0] * float(np.subtract(*np.quantile(a.draws[:, t], [0.9, 0.1]))) for a in found]
    return {
        "sessions": len(found),
        "tasks": len(np.unique(tasks)),
        "level MAE points": errors(missed[:, 0], tasks),
        "level bias points": with_interval(missed[:, 0], tasks),
        "truth's own error": _mean(own[:, 0], tasks),
        "these cases known": _mean(abs(missing[:, t]), tasks),
        "gain MAE points": errors(missed[:, 1], tasks),
        "gain: truth's own error": _mean(own[:, 1], tasks),
        "gain: these cases known": _mean(abs(gain_missing), tasks),
        "coverage 80%": held(inside[:, 0, 0], tasks),
        "coverage 95%": held(inside[:, 0, 1], tasks),
        "gain coverage 80%": held(inside[:, 1, 0], tasks) if t else "",
        "80% as shown": held(shown[:, 0], tasks),
        "gain 80% as shown": held(shown[:, 1], tasks) if t else "",
        "width 80% points": _mean(np.array(width), tasks),
        "conformal width 80% points": "" if units is not None else _conformal_width(abs(missed[:, 0]), tasks),
    }


def _mean(values: np.ndarray, tasks: np.ndarray) -> float:
    return 100 * task_mean(values, tasks)[0]


def _conformal_width(error: np.ndarray, tasks: np.ndarray) -> object:
    """Width of an interval about the point forecast that covers 80 % on the other data sets, averaged."""
    names = np.unique(tasks)
    if len(names) < 6:
        return ""
    return 200 * float(
        np.mean([conformal_quantile(error[tasks != name], tasks[tasks != name], 0.8) for name in names])
    )
