"""What a training strategy is worth: paired differences, and the effective-sample multiplier kappa.

Strategy a trained on n cases is taken to do what the session's own strategy does with kappa_a n:

    eta_a(n) = eta(kappa_a n).

Two runs of the same size tested on the same case of the same folds form a pair; pairs are averaged per
case, since cases, not pairs, are independent. Test-then-train scores form none: the models behind them saw
other training cases. The paired difference on the logit scale has a mean d and a standard error over
cases; kappa follows from d and the posterior of eta on a grid, with prior ln kappa ~ N(0, 0.5^2): where
the curve is flat, a difference says little about kappa and the interval shows it.

The differences in Dice and surface Dice themselves are reported with a bootstrap interval over cases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scaling_app.forecast.evidence import logit_error
from scaling_app.forecast.families import Array
from scaling_app.forecast.observations import Observation, by_structure
from scaling_app.forecast.posterior import CurvePosterior

LONGER = "longer"
"""`genda+longer` is the arm that trains with `genda` for `LONGER_TIMES` times the steps."""

LONGER_TIMES = 4

MOST_STEPS = 1_000_000
"""The longest training that may be asked for."""

MIN_PAIRED = 3
"""Patients that a comparison needs."""
KAPPA_GRID = np.exp(np.linspace(-1.6, 1.6, 65))
_PRIOR_SD = 0.5
_RESAMPLES = 2000


@dataclass(frozen=True)
class ArmResult:
    """A strategy against the session's own.

    Attributes:
        name: of the strategy.
        n_cases: cases in the comparison.
        kappa: mean, lo80, hi80 (None when no curve is known).
        dice_difference: mean, lo80, hi80, lo95, hi95: the strategy's mean Dice minus the session's own.
        nsd_difference: the same for the surface Dice; None when it is known for too few of the cases.
    """

    name: str
    n_cases: int
    kappa: Mapping[str, float] | None
    dice_difference: Mapping[str, float]
    nsd_difference: Mapping[str, float] | None = None


def longer_name(strategy: str) -> str:
    """The arm of this strategy trained longer."""
    return f"{strategy}+{LONGER}"


def trained_longer(arm: str) -> str | None:
    """The strategy that this arm trains longer; None where it does not."""
    strategy, _, last = arm.rpartition("+")
    return strategy if strategy and last == LONGER else None


@dataclass(frozen=True)
class Choice:
    """The strategy to train with, and why, in a sentence."""

    strategy: str
    reason: str


@dataclass(frozen=True)
class _Pairs:
    """Differences of one structure, per pair: size, case, patient index, in the score and in its logit error."""

    n: Array
    cases: tuple[str, ...]
    patient: np.ndarray
    score: Array
    logit: Array


def compare_arms(
    observations: Sequence[Observation], own: tuple[str, str], posteriors: Mapping[str, CurvePosterior]
) -> list[ArmResult]:
    """Every other strategy with at least 3 patients in common with the session's own, in order of appearance.

    Args:
        observations: of all structures and strategies.
        own: (strategy, network) of the session's curve.
        posteriors: of the session's curve, per structure.
    """
    strategies = list(dict.fromkeys(o.strategy for o in observations if o.strategy != own[0]))
    results = (_compare(name, observations, own, posteriors) for name in strategies)
    return [result for result in results if result is not None]


def choose_strategy(observations: Sequence[Observation], own: tuple[str, str]) -> Choice:
    """What `auto` trains with: the best strategy that is better on these very cases, else the session's own.

    Better means that the lower end of the 80 % interval of the paired Dice difference lies above zero; the
    best is the one with the largest mean difference among those. Longer trainings do not compete: the steps
    are the user's to choose.
    """
    results = [arm for arm in compare_arms(observations, own, {}) if trained_longer(arm.name) is None]
    if not results:
        return Choice(own[0], f"{own[0]}: no other strategy has been compared on these cases yet.")
    better = [result for result in results if result.dice_difference["lo80"] > 0]
    if not better:
        said = "; ".join(_in_words(result) for result in results)
        return Choice(own[0], f"{own[0]}: no other strategy is better beyond doubt ({said}).")
    best = max(better, key=lambda result: result.dice_difference["mean"])
    return Choice(best.name, f"{_in_words(best)}, against {own[0]} on the same folds.")


def _in_words(result: ArmResult) -> str:
    mean, lo80, hi80 = (100 * result.dice_difference[key] for key in ("mean", "lo80", "hi80"))
    return f"{result.name}: {mean:+.1f} points of Dice on {result.n_cases} cases (80 %: {lo80:+.1f} to {hi80:+.1f})"


def _compare(
    name: str,
    observations: Sequence[Observation],
    own: tuple[str, str],
    posteriors: Mapping[str, CurvePosterior],
) -> ArmResult | None:
    units = {unit: i for i, unit in enumerate(sorted({o.unit for o in observations if o.case}))}
    patients = {o.case: units[o.unit] for o in observations if o.case}
    pairs = _all_pairs(observations, name, own, patients, "dice")
    difference = _summary(pairs)
    if difference is None:
        return None
    return ArmResult(
        name=name,
        n_cases=len({case for p in pairs.values() for case in p.cases}),
        kappa=_kappa(pairs, posteriors),
        dice_difference=difference,
        nsd_difference=_summary(_all_pairs(observations, name, own, patients, "nsd")),
    )


def _all_pairs(
    observations: Sequence[Observation],
    name: str,
    own: tuple[str, str],
    patients: Mapping[str, int],
    score: Literal["dice", "nsd"],
) -> dict[str, _Pairs]:
    """The pairs of every structure that has any."""
    found = {
        structure: _pairs(group, name, own, patients, score)
        for structure, group in by_structure(observations).items()
    }
    return {structure: pairs for structure, pairs in found.items() if len(pairs.n)}


def _summary(pairs: Mapping[str, _Pairs]) -> dict[str, float] | None:
    """Mean difference over patients with its bootstrap interval; None for fewer than 3 patients."""
    if not pairs:
        return None
    difference = _patient_means(
        np.concatenate([p.patient for p in pairs.values()]),
        np.concatenate([p.score for p in pairs.values()]),
    )
    if len(difference) < MIN_PAIRED:
        return None
    rng = np.random.default_rng(0)
    resampled = difference[rng.integers(len(difference), size=(_RESAMPLES, len(difference)))].mean(1)
    lo80, hi80, lo95, hi95 = (float(v) for v in np.quantile(resampled, [0.1, 0.9, 0.025, 0.975]))
    return {"mean": float(difference.mean()), "lo80": lo80, "hi80": hi80, "lo95": lo95, "hi95": hi95}


def _pairs(
    observations: Sequence[Observation],
    name: str,
    own: tuple[str, str],
    patients: Mapping[str, int],
    score: Literal["dice", "nsd"],
) -> _Pairs:
    """Pairs of runs of equal size on the same case (runs of one case and size averaged per strategy)."""
    cells: dict[tuple[int, str, str], dict[bool, list[float]]] = {}
    for o in observations:
        value = getattr(o, score)
        if value is None or not o.case or o.network != own[1] or o.strategy not in (name, own[0]):
            continue
        if o.kind == "prequential":
            continue
        # arms are trained on the folds of the session's own runs
        kind = "fold" if o.kind == "arm" else o.kind
        cells.setdefault((o.n, o.case, kind), {}).setdefault(o.strategy == name, []).append(value)
    both = [(key, cell) for key, cell in cells.items() if len(cell) == 2]
    ours, theirs = (
        np.array([np.mean(cell[flag]) for _, cell in both], dtype=float) for flag in (False, True)
    )
    return _Pairs(
        n=np.array([key[0] for key, _ in both], dtype=float),
        cases=tuple(key[1] for key, _ in both),
        patient=np.array([patients[key[1]] for key, _ in both], dtype=int),
        score=theirs - ours,
        logit=logit_error(theirs) - logit_error(ours),
    )


def _patient_means(patient: np.ndarray, values: Array) -> Array:
    """Mean per patient, for the patients that are there."""
    counts = np.bincount(patient)
    return (np.bincount(patient, values) / np.maximum(counts, 1))[counts > 0]


def _kappa(pairs: Mapping[str, _Pairs], posteriors: Mapping[str, CurvePosterior]) -> dict[str, float] | None:
    """Posterior of kappa from every structure's logit differences.

    The structures share their patients; each counts `1 / number of structures`, as if they said the same.
    """
    log_posterior = -0.5 * (np.log(KAPPA_GRID) / _PRIOR_SD) ** 2
    used = [s for s in pairs if s in posteriors and len(np.unique(pairs[s].patient)) >= MIN_PAIRED]
    if not used:
        return None
    for structure in used:
        p = pairs[structure]
        differences = _patient_means(p.patient, p.logit)
        error = max(float(differences.std(ddof=1)) / np.sqrt(len(differences)), 0.03)
        n = np.array([float(p.n.mean())])
        eta, _ = posteriors[structure].draws(np.concatenate([n, n * KAPPA_GRID]), 800)
        expected = eta[:, 1:] - eta[:, :1]
        fit = -0.5 * ((differences.mean() - expected) / error) ** 2
        log_posterior += (np.logaddexp.reduce(fit, axis=0) - np.log(len(fit))) / len(used)
    weight = np.exp(log_posterior - log_posterior.max())
    cumulative = np.cumsum(weight) / weight.sum()
    lo80, hi80 = np.interp([0.1, 0.9], cumulative, KAPPA_GRID)
    return {"mean": float(weight @ KAPPA_GRID / weight.sum()), "lo80": float(lo80), "hi80": float(hi80)}
