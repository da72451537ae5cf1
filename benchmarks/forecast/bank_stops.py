"""The stop rule on the bank's sessions: where the app would say that the next cases bring little, how often is it right?"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from benchmarks.common.tables import Row, clustered_share
from benchmarks.forecast.bank import Curve
from benchmarks.forecast.bank_tests import BANDS, RATIOS, Answer, usable
from scaling_app.forecast.calibration import Factor, widened

QUESTIONS = {1.25: "a quarter more", 2.0: "the next doubling"}
"""About which it is asked whether they are worth it, by how many times as many cases they are."""


def stopping(own: Sequence[Answer]) -> list[Row]:
    """Are the next cases worth it? Decisions on the app's calibrated forecasts, of all sessions and from each N.

    Asked about a quarter more, as the app does from 20 cases on, and about the next doubling. `precision` is against the
    session's truth, which shares no training and no test case with it; beside it stands that against all trainings and
    cases, the session's own among them. A quarter is not measured but read off between sizes, linear in ln n, so that it
    gains 0.32 of what the doubling does. Sessions of a data set are not independent: intervals are clustered by data set.
    """
    asked = itertools.product(QUESTIONS.items(), (0.01, 0.02))
    return [
        _decisions([a for a in own if n_now in ("all", a.session.n_now)], n_now, ratio, question, delta)
        for (ratio, question), delta in asked
        for n_now in ("all", *BANDS)
    ]


def _decisions(own: Sequence[Answer], n_now: int | str, ratio: float, question: str, delta: float) -> Row:
    t = RATIOS.index(ratio)
    asked = usable(own, t)
    tasks = np.array([a.task for a in asked])
    stop = np.array([_stops(a, t, delta) for a in asked], dtype=bool)
    actual = np.array([a.session.truth[t] - a.session.truth[0] for a in asked], dtype=float)
    whole = np.array([true_gain(a.session.curve, a.session.n_now, ratio) for a in asked], dtype=float)
    flat = actual < delta
    return {
        "N": n_now,
        "delta points": 100 * delta,
        "rule": f"P(gain of {question} < delta) >= 0.8",
        "sessions": len(asked),
        "truly flat": clustered_share(flat, tasks),
        "precision": clustered_share(flat[stop], tasks[stop]),
        "precision, all trainings and cases": clustered_share(whole[stop] < delta, tasks[stop]),
        "data sets of the stops": len(np.unique(tasks[stop])),
        "stops of the truly flat": clustered_share(stop[flat], tasks[flat]),
        "lost gain points": float(100 * np.clip(actual[stop], 0, None).mean())
        if stop.any()
        else float("nan"),
    }


def _stops(a: Answer, t: int, delta: float) -> bool:
    gain = widened(a.draws[:, t] - a.draws[:, 0], Factor("gain", "cases", 0, 2, *a.factors[t, 1], 0))
    return float((gain < delta).mean()) >= 0.8


def true_gain(curve: Curve, n: int, ratio: float) -> float:
    """Of mean Dice over all trainings and test cases from n to `ratio` times n, log-linear between sizes."""
    at = np.interp(np.log([n, ratio * n]), np.log(curve.sizes), curve.mean_dice())
    return float(at[1] - at[0])
