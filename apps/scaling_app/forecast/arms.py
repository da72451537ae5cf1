"""What a training strategy is worth: paired differences, and the effective-sample multiplier kappa.

Strategy a trained on n cases is taken to do what the session's own strategy does with kappa_a n:

    eta_a(n) = eta(kappa_a n).

Two runs of the same size tested on the same case of the same folds form a pair; pairs are averaged per
patient. Test-then-train scores form none: the models behind them saw other training cases. A pair's difference
holds what is particular to the patient and the luck of the two trainings, which all patients of a fold share, so
that the standard error of the mean is clustered both ways (Cameron, Gelbach and Miller), and few patients or
folds are given their due by Student's t. The difference on the logit scale has a mean d; kappa follows from d and
the posterior of eta on a grid, with prior ln kappa ~ N(0, 0.5^2): where the curve is flat, a difference says little
about kappa and the interval shows it.

References:
    A. C. Cameron, J. B. Gelbach, D. L. Miller: Robust inference with multiway clustering. Journal of Business and
    Economic Statistics 29(2), 2011.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from scaling_app.forecast.evidence import logit_error
from scaling_app.forecast.families import Array
from scaling_app.forecast.posterior import CurvePosterior
from scaling_app.forecast.scores import Score, by_structure
from scaling_app.words import signed_tenths

LONGER = "longer"
"""`genda+longer` is the arm that trains with `genda` for `LONGER_TIMES` times the steps."""

LONGER_TIMES = 4

MIN_PAIRED = 3
"""Patients that a comparison needs."""
KAPPA_GRID = np.exp(np.linspace(-1.6, 1.6, 65))
_PRIOR_SD = 0.5
_ERROR_FLOOR = 0.03
_DOUBT = 0.1
"""Probability of leaving the session's own strategy for others that are no better, all of them together."""


@dataclass(frozen=True)
class StrategyEffect:
    """A strategy against the session's own.

    Attributes:
        name: of the strategy.
        n_cases: cases in the comparison.
        kappa: mean, lo80, hi80 (None when no curve is known).
        dice_difference: mean, lo80, hi80, lo95, hi95: the strategy's mean Dice minus the session's own.
        p_no_better: one-sided p value of that difference; 1 where the models are the same.
        nsd_difference: the same for the surface Dice; None when it is known for too few of the cases.
    """

    name: str
    n_cases: int
    kappa: Mapping[str, float] | None
    dice_difference: Mapping[str, float]
    p_no_better: float
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
    """Differences of one structure, per pair: size, case, patient index, run, in the score and in its logit error."""

    n: Array
    cases: tuple[str, ...]
    patient: NDArray[Any]
    run: tuple[str, ...]
    score: Array
    logit: Array


@dataclass(frozen=True)
class _Mean:
    """A mean over patients, its standard error and the degrees of freedom of that."""

    mean: float
    error: float
    freedom: int

    def summary(self) -> dict[str, float]:
        """mean, lo80, hi80, lo95, hi95."""
        at = {"lo80": 0.1, "hi80": 0.9, "lo95": 0.025, "hi95": 0.975}
        edges = {k: self.mean + self.error * float(student.ppf(q, self.freedom)) for k, q in at.items()}
        return {"mean": self.mean, **edges}

    def p_no_better(self) -> float:
        """Of a mean of at least this size if the true one were zero; without spread that of so many signs alike."""
        if self.error == 0:
            return 0.5 ** (self.freedom + 1) if self.mean > 0 else 1.0
        return float(student.sf(self.mean / self.error, self.freedom))


def compare_arms(
    observations: Sequence[Score], own: tuple[str, str], posteriors: Mapping[str, CurvePosterior]
) -> list[StrategyEffect]:
    """Every other strategy with at least 3 patients in common with the session's own, in order of appearance.

    Args:
        observations: of all structures and strategies.
        own: (strategy, network) of the session's curve.
        posteriors: of the session's curve, per structure.
    """
    strategies = list(dict.fromkeys(o.strategy for o in observations if o.strategy != own[0]))
    results = (_compare(name, observations, own, posteriors) for name in strategies)
    return [result for result in results if result is not None]


def choose_strategy(observations: Sequence[Score], own: tuple[str, str]) -> Choice:
    """What `auto` trains with: the best strategy that is better on these very cases, else the session's own.

    Better means that the paired Dice difference lies above zero beyond a doubt of 10 %, shared among the
    strategies that are compared (Bonferroni): of one alone, that the lower end of its 80 % interval does. The best is
    the one with the largest mean difference among those. Longer trainings do not compete: the steps are the user's
    to choose.
    """
    results = [arm for arm in compare_arms(observations, own, {}) if trained_longer(arm.name) is None]
    if not results:
        return Choice(own[0], f"{own[0]}: no other strategy has been compared on these cases yet.")
    better = [result for result in results if result.p_no_better < _DOUBT / len(results)]
    if not better:
        said = "; ".join(_effect_in_words(result) for result in results)
        return Choice(own[0], f"{own[0]}: no other strategy is better beyond doubt ({said}).")
    best = max(better, key=lambda result: result.dice_difference["mean"])
    return Choice(best.name, f"{_effect_in_words(best)}, against {own[0]} on the same folds.")


def _effect_in_words(result: StrategyEffect) -> str:
    mean, lo80, hi80 = (signed_tenths(100 * result.dice_difference[key]) for key in ("mean", "lo80", "hi80"))
    return f"{result.name}: {mean} points of Dice on {result.n_cases} cases (80 %: {lo80} to {hi80})"


def _compare(
    name: str,
    observations: Sequence[Score],
    own: tuple[str, str],
    posteriors: Mapping[str, CurvePosterior],
) -> StrategyEffect | None:
    units = {unit: i for i, unit in enumerate(sorted({o.unit for o in observations if o.case}))}
    patients = {o.case: units[o.unit] for o in observations if o.case}
    pairs = _all_pairs(observations, name, own, patients, "dice")
    difference = _mean_of(list(pairs.values()), "score")
    if difference is None:
        return None
    surface = _mean_of(list(_all_pairs(observations, name, own, patients, "nsd").values()), "score")
    return StrategyEffect(
        name=name,
        n_cases=len({case for p in pairs.values() for case in p.cases}),
        kappa=_kappa(pairs, posteriors),
        dice_difference=difference.summary(),
        p_no_better=difference.p_no_better(),
        nsd_difference=surface.summary() if surface else None,
    )


def _all_pairs(
    observations: Sequence[Score],
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


def _mean_of(pairs: Sequence[_Pairs], scale: Literal["score", "logit"]) -> _Mean | None:
    """The mean difference, every patient counting the same; None for fewer than 3 patients.

    Its error is clustered by patient and by run. Where runs are not told apart their luck cannot be seen, and it is
    clustered by patient alone.
    """
    patient = np.concatenate([p.patient for p in pairs]) if pairs else np.zeros(0, dtype=int)
    patient = np.unique(patient, return_inverse=True)[1]
    run = np.unique([r for p in pairs for r in p.run], return_inverse=True)[1]
    if not len(patient) or patient.max() + 1 < MIN_PAIRED:
        return None
    values = np.concatenate([getattr(p, scale) for p in pairs])
    weight = 1.0 / (np.bincount(patient)[patient] * (patient.max() + 1))
    mean = float(weight @ values)
    rest = weight * (values - mean)
    clusters = [patient] if run.max() == 0 else [patient, run]
    variances = [_clustered(rest, cluster) for cluster in clusters]
    if len(clusters) == 2:
        both = np.unique(patient * (run.max() + 1) + run, return_inverse=True)[1]
        variances.append(variances[0] + variances[1] - _clustered(rest, both))
    # the two-way estimate may fall below one-way ones, or zero, by chance
    freedom = min(int(cluster.max()) for cluster in clusters)
    return _Mean(mean, float(np.sqrt(max(variances))), freedom)


def _clustered(rest: Array, cluster: NDArray[Any]) -> float:
    """Variance of a sum of `rest` whose terms are independent between clusters only."""
    count = int(cluster.max()) + 1
    return float((np.bincount(cluster, rest) ** 2).sum()) * count / (count - 1)


def _pairs(
    observations: Sequence[Score],
    name: str,
    own: tuple[str, str],
    patients: Mapping[str, int],
    score: Literal["dice", "nsd"],
) -> _Pairs:
    """Pairs of runs of equal size on the same case (runs of one case and size averaged per strategy)."""
    cells: dict[tuple[int, str, str], dict[bool, list[float]]] = {}
    runs: dict[tuple[int, str, str], set[str]] = {}
    for o in observations:
        value = getattr(o, score)
        if value is None or not o.case or o.network != own[1] or o.strategy not in (name, own[0]):
            continue
        if o.kind == "prequential":
            continue
        # arms are trained on the folds of the session's own runs
        kind = "fold" if o.kind == "arm" else o.kind
        cell = (o.n, o.case, kind)
        cells.setdefault(cell, {}).setdefault(o.strategy == name, []).append(value)
        if o.strategy != name:
            runs.setdefault(cell, set()).add(f"{o.n} {o.run} {o.seed}")
    both = [(key, cell) for key, cell in cells.items() if len(cell) == 2]
    ours, theirs = (
        np.array([np.mean(cell[flag]) for _, cell in both], dtype=float) for flag in (False, True)
    )
    return _Pairs(
        n=np.array([key[0] for key, _ in both], dtype=float),
        cases=tuple(key[1] for key, _ in both),
        patient=np.array([patients[key[1]] for key, _ in both], dtype=int),
        run=tuple(", ".join(sorted(runs[key])) for key, _ in both),
        score=theirs - ours,
        logit=logit_error(theirs) - logit_error(ours),
    )


def _kappa(pairs: Mapping[str, _Pairs], posteriors: Mapping[str, CurvePosterior]) -> dict[str, float] | None:
    """Posterior of kappa from every structure's logit differences.

    The structures share their patients; each counts `1 / number of structures`, as if they said the same.
    """
    log_posterior = -0.5 * (np.log(KAPPA_GRID) / _PRIOR_SD) ** 2
    found = {s: _mean_of([pairs[s]], "logit") for s in pairs if s in posteriors}
    used = {s: difference for s, difference in found.items() if difference is not None}
    if not used:
        return None
    for structure, difference in used.items():
        error = max(difference.error, _ERROR_FLOOR)
        n = np.array([float(pairs[structure].n.mean())])
        eta, _ = posteriors[structure].draws(np.concatenate([n, n * KAPPA_GRID]), 800)
        expected = eta[:, 1:] - eta[:, :1]
        fit = student.logpdf((difference.mean - expected) / error, difference.freedom)
        log_posterior += (np.logaddexp.reduce(fit, axis=0) - np.log(len(fit))) / len(used)
    weight = np.exp(log_posterior - log_posterior.max())
    cumulative = np.cumsum(weight) / weight.sum()
    lo80, hi80 = np.interp([0.1, 0.9], cumulative, KAPPA_GRID)
    return {"mean": float(weight @ KAPPA_GRID / weight.sum()), "lo80": float(lo80), "hi80": float(hi80)}
