"""Did something change in the middle of the session?

Another scanner, another reader or another protocol moves the test-then-train scores away from what
the session's own past says. Each score has a predictive distribution given the scores before it, under
the very model of the forecast; its position in it, as a standard normal deviate, would be white noise if
nothing had changed (Dawid's prequential principle). A two-sided cumulative sum of the deviates, reset at
zero, raises the alarm.

With allowance 0.5 and threshold 5 a false alarm is expected once in some 460 scores, and a shift by 1.5
standard deviations is found after about 5. Several structures are watched at once: the threshold grows with
the logarithm of their number, which keeps the expectation for the session (the mean time between false alarms
of a sum grows with exp(2 allowance threshold); Siegmund 1985). An alarm stands until its sum is back at zero: either
it was chance, or the forecast has learned the new state.

References:
    A. P. Dawid: Statistical theory: the prequential approach. JRSS A 147(2), 1984.
    E. S. Page: Continuous inspection schemes. Biometrika 41, 1954.
    D. Siegmund: Sequential Analysis, 1985, chapter II.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.special import ndtr, ndtri

from scaling_app.forecast.evidence import PATIENT_SHARE, Spread, structure_data
from scaling_app.forecast.families import Array
from scaling_app.forecast.prior import CurvePrior
from scaling_app.forecast.scores import Score

ALLOWANCE = 0.5
THRESHOLD = 5.0
LEARNING = 4
"""Scores at the start that only set the level."""
_CAP = 3.0
_NEGLIGIBLE = -28.0
"""ln of a template's mass relative to the heaviest, below which it is not asked."""
MOST_SCORES = 1000
"""Only so many of the newest are looked at: the time grows with their third power, the memory with the second."""


@dataclass(frozen=True)
class Shift:
    """An alarm: the case at which the drift began, and its direction."""

    case: str
    lower: bool


def find_shift(
    observations: Sequence[Score], prior: CurvePrior, spread: Spread, n_watched: int = 1
) -> Shift | None:
    """Looks for a lasting change in one structure's test-then-train scores, in the order given.

    Args:
        observations: of one structure; of each case only its first `prequential` score is looked at.
        prior: over curves.
        spread: of cases, runs and residuals.
        n_watched: structures that are watched in this session.
    """
    scores = [o for o in first_scores(observations) if o.case and not o.missed][-MOST_SCORES:]
    if len(scores) <= 2 * LEARNING:
        return None
    deviates = prequential_deviates(scores, prior, spread)
    deviates[:LEARNING] = 0.0
    threshold = THRESHOLD + np.log(n_watched) / (2 * ALLOWANCE)
    for sign in (1.0, -1.0):
        start = standing_alarm(sign * np.clip(deviates, -_CAP, _CAP), threshold)
        if start is not None:
            return Shift(case=scores[start].case, lower=sign > 0)
    return None


def first_scores(observations: Sequence[Score]) -> list[Score]:
    """The test-then-train scores of one structure, in the order given, without what tests a case again.

    Every published model is tested on the held-out patients anew. Given its first score a case's next ones
    are as expected: they would wear a sum down and tell of no new patient.
    """
    first: dict[str, Score] = {}
    for row, o in enumerate(observations):
        if o.kind == "prequential" and o.dice is not None:
            first.setdefault(o.case or f"row {row}", o)
    return list(first.values())


def prequential_deviates(scores: Sequence[Score], prior: CurvePrior, spread: Spread) -> Array:
    """`(M,)` standard normal deviates of each score's logit error given those before it.

    Every template predicts through the Cholesky factor of the scores' covariance, which they share; the
    mixture weights follow the scores.
    """
    data = structure_data([replace(o, weight=1.0) for o in scores])
    patient = data.patient[data.case]
    same_case = (1 - PATIENT_SHARE) * (data.case[:, None] == data.case[None])
    same_case = same_case + PATIENT_SHARE * (patient[:, None] == patient[None])
    same_run = (data.run[:, None] == data.run[None]) / data.run_sizes[data.run]
    noise = spread.case**2 * same_case + spread.run**2 * same_run + spread.residual**2 * np.eye(len(data.y))
    noise += (data.offsets * data.offset_sd**2) @ data.offsets.T
    sizes = data.sizes[data.level]
    standard, log_weight, log_scale = [], [], []
    for component, weight in zip(prior.components, prior.weights, strict=True):
        factor = cholesky(noise + component.deviation.covariance(sizes, sizes), lower=True)
        errors = data.y[:, None] - component.eta(data.sizes)[:, data.level].T
        standard.append(solve_triangular(factor, errors, lower=True))
        scale = np.log(np.diag(factor))[:, None]
        log_scale.append(np.repeat(scale, errors.shape[1], axis=1))
        log_weight.append(np.log(weight) + component.log_weights)
    z = np.concatenate(standard, axis=1)
    step = -0.5 * z**2 - np.concatenate(log_scale, axis=1)
    log_mass = np.concatenate(log_weight)[None] + np.vstack(
        [np.zeros(z.shape[1]), np.cumsum(step, axis=0)[:-1]]
    )
    log_mass -= log_mass.max(axis=1, keepdims=True)
    heavy = log_mass > _NEGLIGIBLE
    mass, below = np.zeros_like(z), np.zeros_like(z)
    mass[heavy], below[heavy] = np.exp(log_mass[heavy]), ndtr(z[heavy])
    position = (mass * below).sum(1) / mass.sum(1)
    return ndtri(np.clip(position, 1e-9, 1 - 1e-9))


def standing_alarm(deviates: Array, threshold: float) -> int | None:
    """Index at which the sum that has crossed the threshold, and not come back to zero since, left zero."""
    total, start, crossed = 0.0, 0, False
    for index, z in enumerate(deviates):
        if total == 0.0:
            start, crossed = index, False
        total = max(0.0, total + z - ALLOWANCE)
        crossed = (crossed or total > threshold) and total > 0
    return start if crossed else None
