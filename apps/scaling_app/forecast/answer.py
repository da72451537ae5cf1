"""The forecast of an annotation session: rows for people, numbers for the service, one piece of advice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_app.forecast.agreement import Readers, p_at_agreement
from scaling_app.forecast.arms import StrategyEffect, longer_name, trained_longer
from scaling_app.forecast.calibration import widened
from scaling_app.forecast.families import Array
from scaling_app.forecast.means import mean_over_patients
from scaling_app.forecast.prediction import MEASURED_FROM, MIN_CASES, Forecaster, TooFewPoints
from scaling_app.forecast.scores import OVERALL, Score, by_structure, own_arm
from scaling_app.forecast.stopping import STEPS, Advice, StopEvidence, advise, check_size, low_gain
from scaling_app.storage import finite
from scaling_app.strategies.catalogue import title_of, what_of
from scaling_app.words import count

PRIOR_DOMINATED_BELOW = 8
SMALLEST_SHARE_TESTED = 0.5
"""A forecast rests on other tasks' curves, too, until a model of so large a share of the cases was tested."""
POINT = 0.01
SEARCHED_TIMES = 32
"""Cases to a target are searched up to this multiple of the present number."""

_DECIMALS = 6

Json = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """What is asked of a session.

    Attributes:
        n_now: labelled cases now.
        horizons: training-set sizes to forecast.
        target: Dice aimed at.
        minutes_per_case: annotation time of a case.
        n_pool: unlabelled cases left.
        n_blind: cases labelled without a prediction on screen, where the ledger knows.
        delta: smallest gain worth having, Dice.
        minutes_saved_per_point: by one Dice point, per case still to be labelled.
        low_gain_before: whether the update that may confirm this one found little to gain.
        evidence: identifies the scores that the answer rests on (`evidence_of`).
        readers: how far two readers agree, where cases were read twice.
    """

    n_now: int
    horizons: tuple[int, ...]
    target: float | None = None
    minutes_per_case: float | None = None
    n_pool: int | None = None
    n_blind: int = 0
    delta: float = POINT
    minutes_saved_per_point: float | None = None
    low_gain_before: bool = False
    evidence: str = ""
    readers: Readers | None = None


@dataclass(frozen=True)
class Answer:
    """What is known of a session. `payload()` is the service's JSON.

    `status` is `too_few`, `prior_dominated` or `ready`; `low_gain` is S2 of the stop rule at this update, `evidence`
    identifies the scores that it rests on.
    """

    status: str
    message: str
    advice: Advice
    n_now: int
    overall: Json | None = None
    structures: tuple[Json, ...] = ()
    target: Json | None = None
    strategies: tuple[Json, ...] = ()
    observed: tuple[Json, ...] = ()
    low_gain: bool = False
    evidence: str = ""
    agreement: Json | None = None
    notes: tuple[str, ...] = field(default=())

    def payload(self) -> Json:
        """The keys of `service.payloads` that a forecast fills."""
        body: Json = {
            "status": self.status,
            "message": " ".join([self.message, *self.notes]),
            "metric": "dice",
            "overall": self.overall,
            "structures": list(self.structures),
            "target": self.target,
            "strategies": list(self.strategies),
            "advice": asdict(self.advice),
            "observed": list(self.observed),
            "low_gain": self.low_gain,
            "evidence": self.evidence,
            "agreement": self.agreement,
        }
        rounded: dict[str, Any] = finite(body, decimals=_DECIMALS)
        return rounded


def default_horizons(n_now: int) -> tuple[int, ...]:
    """N+1, N+5, N+10 and 2N, ascending and distinct."""
    return tuple(sorted({n_now + 1, n_now + 5, n_now + 10, 2 * n_now}))


def too_few(
    missing: str, question: Question, observations: Sequence[Score], cases: int | None = None
) -> Answer:
    """The answer when there is not enough to say; `cases` further ones would do, where that is known."""
    sentence = f"Not enough to say yet: {missing}."
    target = None if question.target is None else _unknown_target(question.target)
    return Answer(
        status="too_few",
        message=sentence,
        advice=Advice("wait", cases, None, sentence, missing),
        n_now=question.n_now,
        target=target,
        observed=observed_points(observations),
        agreement=None if question.readers is None else question.readers.payload(None),
    )


def answer(forecaster: Forecaster, question: Question, observations: Sequence[Score]) -> Answer:
    """The forecast of a session by an unfitted method; never raises for want of points."""
    untested = all(seen.dice is None for seen in observations)
    still_to_label = max(0, (MEASURED_FROM if untested else MIN_CASES) - question.n_now) or None
    if question.n_now < MIN_CASES:
        missing = f"{count(question.n_now, 'usable labelled case')} so far, at least {MIN_CASES} are needed"
        return too_few(missing, question, observations, still_to_label)
    if untested:
        return too_few("no model has been tested on these cases yet", question, observations, still_to_label)
    try:
        forecaster.fit(observations, question.n_now)
    except TooFewPoints as error:
        return too_few(error.missing, question, observations)
    table = _DrawTable(forecaster, question)
    largest = max(
        o.n for o in observations if (o.strategy, o.network) == forecaster.arm and o.dice is not None
    )
    prior_dominated = (
        question.n_now < PRIOR_DOMINATED_BELOW or largest < SMALLEST_SHARE_TESTED * question.n_now
    )
    nothing_found = set(forecaster.not_found()) == set(forecaster.structures)
    arms = forecaster.strategies(observations)
    evidence = _stop_evidence(table, observations, arms, prior_dominated)
    return Answer(
        status="prior_dominated" if prior_dominated or nothing_found else "ready",
        message=_message(question.n_now, largest, prior_dominated),
        advice=advise(evidence),
        n_now=question.n_now,
        overall=_curve_json(table, OVERALL),
        structures=tuple({"name": name, **_curve_json(table, name)} for name in forecaster.structures),
        target=_target_json(table),
        observed=observed_points(observations),
        strategies=tuple(effect_payload(arm) for arm in arms),
        low_gain=low_gain(evidence),
        evidence=question.evidence,
        agreement=None if question.readers is None else question.readers.payload(evidence.p_agreement),
        notes=forecaster.notes(),
    )


def _message(n_now: int, largest: int, prior_dominated: bool) -> str:
    if n_now < PRIOR_DOMINATED_BELOW:
        return (
            f"Early forecast from {n_now} cases: what it says of gains rests mostly on other tasks' curves, and it "
            "can change much with the next cases."
        )
    if prior_dominated:
        return (
            f"Early forecast from {n_now} cases: the models tested so far had learned from {largest} of them at most; "
            "what it says beyond rests on other tasks' curves."
        )
    return f"Forecast from {n_now} cases for further cases of the same kind."


class _DrawTable:
    """All draws that a session's answer needs, made once.

    Args:
        forecaster: fitted.
        question: what is asked; its sizes become columns.
    """

    def __init__(self, forecaster: Forecaster, question: Question) -> None:
        self.forecaster, self.question = forecaster, question
        now = question.n_now
        wanted: set[float] = {now, now + check_size(now), *question.horizons, *(now + k for k in STEPS)}
        self.towards: list[float] = []
        """Sizes among which cases to the target are searched: whatever else is asked, the same ones."""
        if question.target is not None:
            spread = np.round(now * np.geomspace(1, SEARCHED_TIMES, 40))
            self.towards = sorted({float(n) for n in (*range(now, now + 12), *spread)})
        wanted |= {*self.towards}
        self.sizes = np.array([*sorted(float(n) for n in wanted), math.inf])
        self.column = {n: t for t, n in enumerate(self.sizes)}
        self.draws = forecaster.draw_table(self.sizes)

    def at(self, name: str, n: float) -> Array:
        """Draws `(B,)` at one size."""
        return self.draws[name][:, self.column[n]]

    def centre(self, name: str, n: float) -> float:
        """The point forecast at one size."""
        return float(self.forecaster.centre(self.draws[name])[self.column[n]])

    def level(self, name: str, n: float) -> Array:
        """Draws `(B,)` of the Dice at size n, as wide as the calibration asks."""
        return widened(self.at(name, n), self.forecaster.factor("level", n))

    def gain(self, name: str, n: float) -> Array:
        """Draws `(B,)` of the gain from now to size n, as wide as the calibration asks."""
        gain = self.at(name, n) - self.at(name, self.question.n_now)
        return widened(gain, self.forecaster.factor("gain", n))


def effect_payload(arm: StrategyEffect) -> Json:
    """One strategy as the service's JSON."""
    longer = trained_longer(arm.name)
    return {
        "name": arm.name,
        "title": f"{title_of(longer)}, longer training" if longer else title_of(arm.name),
        "what": what_of(longer or arm.name),
        "kappa": arm.kappa,
        "dice_difference": {**arm.dice_difference, "n_cases": arm.n_cases},
        "nsd_difference": arm.nsd_difference,
    }


def observed_points(observations: Sequence[Score]) -> tuple[Json, ...]:
    """Mean Dice per structure, kind and size over `n_cases` cases, misses counting as 0, with an 80 % t interval.

    Cases count by their sampling weights. Patients are independent, their cases are not: the interval is over patients, and there is none for one
    alone. Other strategies (kind `arm`) have a point each, with the strategy's name.
    """
    points: list[Json] = []
    for structure, group in by_structure(o for o in observations if o.dice is not None).items():
        cells: dict[tuple[str, str, int], list[Score]] = {}
        for o in group:
            cells.setdefault((o.kind, o.strategy if o.kind == "arm" else "", o.n), []).append(o)
        for (kind, strategy, n), tests in sorted(cells.items()):
            values, weights, patients = _by_case(tests)
            over = mean_over_patients(values, weights, patients)
            lo80, hi80 = over.edges(0.8) or (None, None)
            point: Json = {"n": n, "dice": over.mean, "lo80": lo80, "hi80": hi80, "n_cases": len(values)}
            named = {"strategy": strategy} if strategy else {}
            points.append({**point, "kind": kind, "structure": structure, **named})
    return tuple(points)


def _by_case(tests: Sequence[Score]) -> tuple[Array, Array, NDArray[Any]]:
    """Mean Dice `(C,)` of each case over its tests, its weight and the index of its patient."""
    cases: dict[object, int] = {}
    patients: dict[object, int] = {}
    case = [cases.setdefault(o.case or row, len(cases)) for row, o in enumerate(tests)]
    patient = [patients.setdefault(o.unit or row, len(patients)) for row, o in enumerate(tests)]
    first = np.unique(case, return_index=True)[1]
    values = np.bincount(case, [o.dice or 0.0 for o in tests]) / np.bincount(case)
    return values, np.array([o.weight for o in tests])[first], np.array(patient)[first]


def _curve_json(table: _DrawTable, name: str) -> Json:
    now = table.question.n_now
    ceiling = _interval(table, name, math.inf)
    return {
        "now": _interval(table, name, now),
        "forecast": [_row(table, name, n) for n in table.question.horizons],
        "ceiling": {key: ceiling[key] for key in ("mean", "lo80", "hi80")},
        "prior_share": table.forecaster.prior_share(name),
    }


def _row(table: _DrawTable, name: str, n: int) -> Json:
    now, minutes = table.question.n_now, table.question.minutes_per_case
    gain = table.gain(name, n)
    lo, hi = np.quantile(gain, [0.1, 0.9])
    return {
        "extra": n - now,
        "n": n,
        **_interval(table, name, n),
        "gain": {
            "mean": table.centre(name, n) - table.centre(name, now),
            "lo80": float(lo),
            "hi80": float(hi),
            "p_at_least_1pt": float((gain >= POINT).mean()),
        },
        "minutes": None if minutes is None else (n - now) * minutes,
    }


def _interval(table: _DrawTable, name: str, n: float) -> Json:
    lo80, hi80, lo95, hi95 = table.forecaster.level_edges(table.at(name, n), n)
    return {"mean": table.centre(name, n), "lo80": lo80, "hi80": hi80, "lo95": lo95, "hi95": hi95}


def _unknown_target(target: float) -> Json:
    return {"dice": target, "p_reached": None, "cases": None, "p_unreachable": None}


def _target_json(table: _DrawTable) -> Json | None:
    target, now = table.question.target, table.question.n_now
    if target is None:
        return None
    sizes = [*table.towards, math.inf]
    levels = np.stack([table.level(OVERALL, n) for n in sizes], axis=1)
    further: Array = np.array(sizes[:-1], dtype=np.float64) - float(now)
    needed = cases_needed(levels[:, :-1], further, target)
    quantiles = np.quantile(needed, [0.5, 0.1, 0.9], method="higher")
    median, lo80, hi80 = (float(q) if math.isfinite(q) else None for q in quantiles)
    return {
        "dice": target,
        "p_reached": float((levels[:, 0] >= target).mean()),
        "cases": {"median": median, "lo80": lo80, "hi80": hi80},
        "p_unreachable": float((levels < target).all(axis=1).mean()),
    }


def cases_needed(draws: Array, extra: Array, target: float) -> Array:
    """Further cases `(B,)` until each drawn curve first reaches the target; infinity where it does not.

    Args:
        draws: `(B, T)` Dice.
        extra: `(T,)` further cases, ascending.
        target: Dice.
    """
    reached = draws >= target
    return np.where(reached.any(1), extra[reached.argmax(1)], np.inf)


def _stop_evidence(
    table: _DrawTable, observations: Sequence[Score], arms: Sequence[StrategyEffect], prior_dominated: bool
) -> StopEvidence:
    question, structures = table.question, table.forecaster.structures
    now, delta, minutes = question.n_now, question.delta, question.minutes_per_case
    cases = check_size(now)
    centre = {k: table.centre(OVERALL, now + k) - table.centre(OVERALL, now) for k in (cases, *STEPS)}
    named = any(o.case for o in observations)
    unassisted = len({o.case for o in observations if o.case and not o.assisted})
    own, _ = own_arm(observations)
    at_target: dict[str, NDArray[np.bool_]] = {}
    if question.target is not None:
        at_target = {name: table.level(name, now) >= question.target for name in structures}
    return StopEvidence(
        n_now=now,
        cases=cases,
        delta=delta,
        p_gain=float((table.gain(OVERALL, now + cases) >= delta).mean()),
        gain=centre[cases],
        p_gain_by_structure={
            name: float((table.gain(name, now + cases) >= delta).mean()) for name in structures
        },
        low_gain_before=question.low_gain_before,
        target=question.target,
        p_target=float(np.all(list(at_target.values()), axis=0).mean()) if at_target else None,
        p_target_by_structure={name: float(reached.mean()) for name, reached in at_target.items()},
        p_agreement=p_at_agreement({s: table.level(s, now) for s in structures}, question.readers, delta),
        readers=question.readers,
        level=table.centre(OVERALL, now),
        minutes=None if minutes is None else cases * minutes,
        net_value=_net_value(question, centre),
        n_pool=question.n_pool,
        n_blind=max(question.n_blind, unassisted) if named else None,
        prior_dominated=prior_dominated,
        alarms=table.forecaster.alarms(observations),
        longer=next((arm.dice_difference for arm in arms if arm.name == longer_name(own)), None),
    )


def _net_value(question: Question, gains: Mapping[int, float]) -> dict[int, float]:
    """Minutes won by k further cases: faster work on the rest of the pool, less their own minutes."""
    value, cost, pool = question.minutes_saved_per_point, question.minutes_per_case, question.n_pool
    if value is None or cost is None or pool is None:
        return {}
    return {k: 100 * gains[k] * value * max(pool - k, 0) - cost * k for k in STEPS if k <= pool}
