"""How far two readers of a case agree: a Dice that a model need not pass.

The interval is a t interval over patients. With few cases it holds what it promises where the bootstrap's percentiles
do not (T. Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69(4), 2015). It is
about these readers and further cases; how much other readers would differ, one pair cannot say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from scaling_app.forecast.families import Array
from scaling_app.forecast.means import PatientMean, mean_over_patients
from scaling_app.forecast.scores import OVERALL

MIN_READ_TWICE = 6
"""Patients read twice from which on something is said."""

_SEED = 20


@dataclass(frozen=True)
class TwoReadings:
    """One structure of one case as two readers drew it.

    Attributes:
        dice, nsd: one reader's label scored against the other's; None where that has none of the structure.
        one_only: just one of them drew it.
        weight: of the case, as in `Score`.
    """

    case: str
    patient: str
    structure: str
    dice: float | None
    nsd: float | None = None
    one_only: bool = False
    weight: float = 1.0


@dataclass(frozen=True)
class Agreement:
    """How far two readers agree on a structure.

    Attributes:
        dice, nsd: mean over cases; NSD may not be known.
        n_cases, n_patients: that Dice rests on.
        one_only: cases in which just one of the two drew it.
    """

    dice: PatientMean
    nsd: PatientMean | None
    n_cases: int
    n_patients: int
    one_only: int

    def payload(self) -> dict[str, Any]:
        """The service's JSON."""
        nsd = None if self.nsd is None else _interval(self.nsd)
        counts = {"n_cases": self.n_cases, "n_patients": self.n_patients, "one_only": self.one_only}
        return {"dice": _interval(self.dice), "nsd": nsd, **counts}


@dataclass(frozen=True)
class Readers:
    """What is known of the readers of a session.

    Attributes:
        n_cases: cases read twice.
        n_readers: people who read them.
        tolerance_mm: of NSD.
        known: agreement by structure, and of `OVERALL`, where enough patients were read twice.
    """

    n_cases: int
    n_readers: int
    tolerance_mm: float
    known: Mapping[str, Agreement]

    @property
    def overall(self) -> Agreement | None:
        """The mean over structures."""
        return self.known.get(OVERALL)

    def payload(self, p_reached: float | None) -> dict[str, Any]:
        """The service's JSON.

        Args:
            p_reached: probability that the model is within a point of it now, or above.
        """
        overall = self.overall
        named = {name: found for name, found in self.known.items() if name != OVERALL}
        return {
            "n_cases": self.n_cases,
            "n_readers": self.n_readers,
            "n_needed": MIN_READ_TWICE,
            "nsd_tolerance_mm": self.tolerance_mm,
            "overall": None if overall is None else overall.payload(),
            "structures": [{"name": name, **found.payload()} for name, found in named.items()],
            "p_reached": p_reached,
        }


def readers_of(readings: Sequence[TwoReadings], n_readers: int, tolerance_mm: float) -> Readers | None:
    """What two readers agree to; None where no case was read twice.

    Args:
        readings: where more than two read a case, one for each of the others; they count as their mean.
        n_readers: people who read them.
        tolerance_mm: of NSD.
    """
    if not readings:
        return None
    groups: dict[str, list[TwoReadings]] = defaultdict(list)
    cases: dict[str, list[TwoReadings]] = defaultdict(list)
    for one in _one_a_case(readings):
        groups[one.structure].append(one)
        cases[one.case].append(one)
    found = {OVERALL: _agreement([_mean(OVERALL, group) for group in cases.values()])}
    found |= {name: _agreement(group) for name, group in groups.items()}
    known = {name: one for name, one in found.items() if one is not None}
    return Readers(len(cases), n_readers, tolerance_mm, known)


def p_at_agreement(levels: Mapping[str, Array], readers: Readers | None, near: float) -> float | None:
    """Probability that every structure's level is within `near` of what two readers agree to, or above.

    Args:
        levels: draws `(B,)` of the Dice of each structure, rows belonging together.
        readers: None where no case was read twice.

    Returns:
        None unless the agreement is known for each structure, with its error.
    """
    if readers is None or not levels:
        return None
    agreed = {name: found.dice for name, found in readers.known.items() if found.dice.error is not None}
    if any(name not in agreed for name in levels):
        return None
    random = np.random.default_rng(_SEED)
    reached = []
    for name, draws in levels.items():
        mean = agreed[name]
        bound = mean.mean + (mean.error or 0.0) * random.standard_t(mean.freedom, len(draws))
        reached.append(draws >= np.clip(bound, 0.0, 1.0) - near)
    return float(np.all(reached, axis=0).mean())


def _one_a_case(readings: Sequence[TwoReadings]) -> list[TwoReadings]:
    cells: dict[tuple[str, str], list[TwoReadings]] = defaultdict(list)
    for one in readings:
        cells[one.case, one.structure].append(one)
    return [_mean(structure, cell) for (_, structure), cell in cells.items()]


def _mean(structure: str, group: Sequence[TwoReadings]) -> TwoReadings:
    """Of one case: over its readers, or over its structures."""
    dice = [one.dice for one in group if one.dice is not None]
    nsd = [one.nsd for one in group if one.nsd is not None]
    return TwoReadings(
        group[0].case,
        group[0].patient,
        structure,
        fmean(dice) if dice else None,
        fmean(nsd) if nsd else None,
        any(one.one_only for one in group),
        group[0].weight,
    )


def _agreement(cases: Sequence[TwoReadings]) -> Agreement | None:
    """None where too few patients have both readings of it."""
    scored = [one for one in cases if one.dice is not None]
    patients = {one.patient for one in scored}
    if len(patients) < MIN_READ_TWICE:
        return None
    surfaces = [one for one in scored if one.nsd is not None]
    enough = len({one.patient for one in surfaces}) >= MIN_READ_TWICE
    return Agreement(
        _over(scored, [one.dice for one in scored]),
        _over(surfaces, [one.nsd for one in surfaces]) if enough else None,
        len(scored),
        len(patients),
        sum(one.one_only for one in cases),
    )


def _over(cases: Sequence[TwoReadings], values: Sequence[float | None]) -> PatientMean:
    weights = np.array([one.weight for one in cases])
    return mean_over_patients(np.array(values, dtype=float), weights, np.array([o.patient for o in cases]))


def _interval(found: PatientMean) -> dict[str, float | None]:
    lo80, hi80 = found.edges(0.8) or (None, None)
    lo95, hi95 = found.edges(0.95) or (None, None)
    return {"mean": found.mean, "lo80": lo80, "hi80": hi80, "lo95": lo95, "hi95": hi95}
