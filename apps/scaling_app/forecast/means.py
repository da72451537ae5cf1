"""A mean over cases and how sure it is, where the patients are what is drawn at random."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from scaling_app.forecast.families import Array

_FEWEST = 0.3
"""Degrees of freedom, where one patient has nearly all the weight."""
_LEAST = 1e-9


@dataclass(frozen=True)
class PatientMean:
    """A mean within [0, 1].

    Attributes:
        mean: of the cases, by their weights.
        error: standard error; None where patients show no spread: of one alone, or where all values are the same, as of a
            model that finds nothing.
        freedom: of Student's t: patients less one, fewer where some count for more than others.
    """

    mean: float
    error: float | None
    freedom: float

    def edges(self, share: float) -> tuple[float, float] | None:
        """The t interval that holds the mean over all patients with that probability; None without an error."""
        if self.error is None:
            return None
        half = float(student.ppf((1 + share) / 2, self.freedom) * self.error)
        return max(0.0, self.mean - half), min(1.0, self.mean + half)


def mean_over_patients(values: Array, weights: Array, patients: NDArray[Any]) -> PatientMean:
    """The mean of values `(M,)`; `patients` `(M,)` says whose each is."""
    patient = np.unique(patients, return_inverse=True)[1]
    freedom = freedom_of(np.bincount(patient, weights))
    told = patient.max() > 0 and np.ptp(values) > 0
    error = clustered_error(values, weights, patient) if told else None
    return PatientMean(float(np.average(values, weights=weights)), error, max(_FEWEST, freedom))


def freedom_of(weights: NDArray[Any]) -> float:
    """Degrees of freedom of patients by their weights.

    Where weights differ, the heavy patients have the mean to themselves, and the degrees of freedom are of so many equally
    likely ones as all are worth (L. Kish, Survey Sampling, 1965).
    """
    shares = weights / weights.sum()
    return 1.0 / float((shares**2).sum()) - 1.0


def clustered_error(values: Array, weights: Array, cluster: NDArray[Any]) -> float:
    """Standard error of the weighted mean of values `(M,)` in two or more clusters (their indices from 0).

    Values are alike within a cluster. What a cluster pulls the mean towards itself is made up for. With one value in each and
    equal weights it is the usual one. References: K.-Y. Liang, S. Zeger, Biometrika 73(1), 1986; R. Bell, D. McCaffrey, Survey Methodology 28(2), 2002.
    """
    shares = np.bincount(cluster, weights) / weights.sum()
    rest = np.bincount(cluster, weights * (values - np.average(values, weights=weights))) / weights.sum()
    return math.sqrt(float((rest**2 / np.maximum(1.0 - shares, _LEAST)).sum()))
