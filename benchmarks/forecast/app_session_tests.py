"""Forecasts of whole sessions of the app against what then happened (`app_sessions.py` made them).

At each N the forecast sees what the ledger held then. Its prior has not seen the data set. What happened: a model of
the first n cases of the same order, tested on cases set aside. `measured` intervals add to the forecast what such
a measurement is off by (60 test cases and one training, as the scatter over the *other* orders tells: an order's own
outcome never widens the interval that it is held against); plain intervals are of the mean over patients and training
sets and should cover the mean over orders.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common.tables import Row, clustered_share, errors, share, with_interval
from scaling_app.forecast.bayes import BayesForecaster
from scaling_app.forecast.calibration import Calibration, edges, widened
from scaling_app.forecast.forecaster import make_forecaster
from scaling_app.forecast.prediction import Forecaster
from scaling_app.forecast.prior import learned_prior, shipped_templates
from scaling_app.forecast.scores import OVERALL, Score

TABLE = Path(__file__).parent / "data" / "app_sessions.csv.gz"
DATASET = "msd_hippocampus"
NOMINAL = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class Outcome:
    """One forecast of one order: draws `(B, T)` at `sizes (T,)`, the first being N, and what was measured there."""

    order: int
    n_now: int
    sizes: tuple[int, ...]
    draws: np.ndarray
    centre: np.ndarray
    factors: np.ndarray
    measured: np.ndarray


@dataclass(frozen=True)
class Sessions:
    """The table, read.

    Attributes:
        observed: (order, N) -> what the ledger held then.
        truth: order -> n -> mean Dice on the cases set aside.
        case_error: order -> n -> standard error of that mean over the cases.
        calibration: has not seen the data set.
    """

    observed: dict[tuple[int, int], list[Score]]
    truth: dict[int, dict[int, float]]
    case_error: dict[int, dict[int, float]]
    calibration: Calibration

    @property
    def orders(self) -> list[int]:
        """Numbers of the sessions."""
        return sorted(self.truth)

    def mean_truth(self, sizes: Sequence[int]) -> np.ndarray:
        """`(T,)` mean over orders."""
        return np.array([np.mean([self.truth[order][n] for order in self.orders]) for n in sizes])

    def training_error(self, n: int, order: int) -> float:
        """Standard deviation (Dice) over the trainings at n of the orders other than `order`.

        Needs three orders; the one under test is left out, since a scatter that holds its own outcome would always
        make room for it.
        """
        return float(np.std([self.truth[o][n] for o in self._others(order)], ddof=1))

    def error(self, n: int, order: int) -> float:
        """Standard error (Dice) of one measurement about the mean over patients and training sets.

        From the orders other than `order`, as `training_error`.
        """
        cases = np.mean([self.case_error[o][n] for o in self._others(order)])
        return float(np.hypot(cases, self.training_error(n, order)))

    def _others(self, order: int) -> list[int]:
        return [o for o in self.orders if o != order]


def read_sessions(path: Path, calibration: Calibration) -> Sessions:
    """Reads the table of `app_sessions.py`; the calibration is one that has not seen the data set."""
    observed: dict[tuple[int, int], list[Score]] = {}
    scores: dict[tuple[int, int], dict[str, list[float]]] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            order, n = int(row["order"]), int(row["n"])
            dice = float(row["dice"]) if row["dice"] else None
            if row["kind"] != "truth":
                observed.setdefault((order, int(row["n_now"])), []).append(
                    Score(n, dice, row["structure"], row["case"], row["run"], kind=row["kind"])
                )
            elif dice is not None:
                scores.setdefault((order, n), {}).setdefault(row["case"], []).append(dice)
    truth: dict[int, dict[int, float]] = {}
    case_error: dict[int, dict[int, float]] = {}
    for (order, n), cases in scores.items():
        means = np.array([np.mean(values) for values in cases.values()])
        truth.setdefault(order, {})[n] = float(means.mean())
        case_error.setdefault(order, {})[n] = float(means.std(ddof=1) / np.sqrt(len(means)))
    return Sessions(observed, truth, case_error, calibration)


def outcomes(sessions: Sessions, method: str) -> list[Outcome]:
    """Every forecast of a method."""
    found = []
    for (order, n_now), observations in sorted(sessions.observed.items()):
        if order not in sessions.truth:
            continue
        forecaster: Forecaster = make_forecaster(method)
        if method == "bayes":
            forecaster = BayesForecaster(
                learned_prior(shipped_templates(), without=[DATASET]), sessions.calibration
            )
        forecaster.fit(observations, n_now)
        sizes = tuple(n for n in sorted(sessions.truth[order]) if n >= n_now)
        draws = forecaster.draws([float(n) for n in sizes], OVERALL)
        factors = [(forecaster.factor("level", n), forecaster.factor("gain", n)) for n in sizes]
        measured = np.array([sessions.truth[order][n] for n in sizes])
        found.append(
            Outcome(
                order,
                n_now,
                sizes,
                draws,
                forecaster.centre(draws),
                np.array(factors, dtype=object),
                measured,
            )
        )
    return found


def accuracy(sessions: Sessions, methods: Sequence[str], progress: Callable[[str], None]) -> list[Row]:
    """Errors against what happened and coverage, per method, N and size; intervals over orders."""
    table: list[Row] = []
    for method in methods:
        progress(f"app sessions: {method}")
        found = outcomes(sessions, method)
        for n_now in sorted({o.n_now for o in found}):
            group = [o for o in found if o.n_now == n_now]
            for t, n in enumerate(group[0].sizes):
                table.append({"N": n_now, "n": n, "method": method, **_row(group, t, sessions)})
    return sorted(table, key=lambda row: (row["N"], methods.index(str(row["method"])), row["n"]))


def _row(group: Sequence[Outcome], t: int, sessions: Sessions) -> Row:
    n = group[0].sizes[t]
    orders = np.array([o.order for o in group])
    level = np.array([o.centre[t] - o.measured[t] for o in group])
    gain = np.array([o.centre[t] - o.centre[0] - (o.measured[t] - o.measured[0]) for o in group])
    mean = float(sessions.mean_truth([n])[0])
    plain = [edges(o.draws[:, t], o.factors[t, 0]) for o in group]
    wide = [edges(_measured(o, t, sessions), o.factors[t, 0]) for o in group]
    inside = [
        (e[0] <= o.measured[t] <= e[1], e[2] <= o.measured[t] <= e[3])
        for e, o in zip(wide, group, strict=True)
    ]
    return {
        "orders": len(group),
        "measured Dice": f"{100 * mean:.1f} (SD over orders {100 * np.std([o.measured[t] for o in group], ddof=1):.1f})",
        "level MAE points": errors(level, orders),
        "level bias points": with_interval(level, orders),
        "gain MAE points": errors(gain, orders) if t else "",
        "80% covers the mean over orders": share(sum(e[0] <= mean <= e[1] for e in plain), len(group)),
        "95% covers the mean over orders": share(sum(e[2] <= mean <= e[3] for e in plain), len(group)),
        "80% measured": share(sum(i[0] for i in inside), len(group)),
        "95% measured": share(sum(i[1] for i in inside), len(group)),
        "width 80% points": float(100 * np.mean([e[1] - e[0] for e in plain])),
    }


def reliability(sessions: Sessions) -> list[Row]:
    """How often central intervals of every nominal level held what was measured; level beyond N, gain beyond N.

    `level, as shown` is the 80 % interval that a user sees, of the mean over trainings and patients. Outcomes of one order
    are no independent ones: intervals are clustered by order.
    """
    found = outcomes(sessions, "bayes")
    table: list[Row] = []
    for n_now in sorted({o.n_now for o in found}):
        depth: dict[str, list[float]] = {"level": [], "gain": []}
        shown, orders = [], []
        for o in (o for o in found if o.n_now == n_now):
            noise = np.random.default_rng(o.order + 100).standard_normal((2, len(o.draws)))
            for t in range(1, len(o.sizes)):
                gain = o.draws[:, t] - o.draws[:, 0]
                gain = widened(gain, o.factors[t, 1])
                # the test cases are the same on both sides: what is left is the luck of two training sets
                luck = [sessions.training_error(n, o.order) for n in (o.sizes[t], o.n_now)]
                gain = gain + noise[1] * np.hypot(*luck)
                depth["gain"].append(_depth(gain, float(o.measured[t] - o.measured[0])))
                draws = widened(_measured(o, t, sessions), o.factors[t, 0])
                depth["level"].append(_depth(draws, float(o.measured[t])))
                low, high, *_ = edges(o.draws[:, t], o.factors[t, 0])
                shown.append(bool(low <= o.measured[t] <= high))
                orders.append(o.order)
        asked = [(kind, level, np.array(d) <= level) for kind, d in depth.items() for level in NOMINAL]
        for quantity, nominal, inside in [*asked, ("level, as shown", 0.8, np.array(shown))]:
            table.append(
                {
                    "N": n_now,
                    "quantity": quantity,
                    "nominal": nominal,
                    "held": clustered_share(inside, np.array(orders)),
                    "observed": float(inside.mean()),
                }
            )
    return table


def forecasts(sessions: Sessions) -> list[Row]:
    """Every forecast beside what happened, for the figure."""
    table: list[Row] = []
    for o in outcomes(sessions, "bayes"):
        for t, n in enumerate(o.sizes):
            lo, hi, _, _ = edges(o.draws[:, t], o.factors[t, 0])
            row = {
                "order": o.order,
                "N": o.n_now,
                "n": n,
                "forecast": float(o.centre[t]),
                "lo80": lo,
                "hi80": hi,
            }
            table.append({**row, "measured": float(o.measured[t])})
    return table


def _measured(o: Outcome, t: int, sessions: Sessions) -> np.ndarray:
    noise = np.random.default_rng(o.order).standard_normal(len(o.draws))
    return o.draws[:, t] + sessions.error(o.sizes[t], o.order) * noise


def _depth(draws: np.ndarray, value: float) -> float:
    """The level of the smallest central interval that holds the value."""
    return float(abs(2 * (draws < value).mean() - 1))
