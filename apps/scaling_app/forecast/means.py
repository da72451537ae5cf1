"""A mean over cases and how sure it is, where the patients are what is drawn at random."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from scaling_app.forecast.families import Array


@dataclass(frozen=True)
class PatientMean:
    """A mean within [0, 1].

    Attributes:
        mean: of the cases, by their weights.
        error: standard error; None where patients show no spread: of one alone, or where all values are the same, as of a
            model that finds nothing.
        freedom: patients less one.
    """

    mean: float
    error: float | None
    freedom: int

    def edges(self, share: float) -> tuple[float, float] | None:
        """The t interval that holds the mean over all patients with that probability; None without an error."""
        if self.error is None:
            return None
        half = float(student.ppf((1 + share) / 2, self.freedom) * self.error)
        return max(0.0, self.mean - half), min(1.0, self.mean + half)


def mean_over_patients(values: Array, weights: Array, patients: NDArray[Any]) -> PatientMean:
    """The mean of values `(M,)`; `patients` `(M,)` says whose each is."""
    patient = np.unique(patients, return_inverse=True)[1]
    freedom = int(patient.max())
    error = clustered_error(values, weights, patient) if freedom > 0 and np.ptp(values) > 0 else None
    return PatientMean(float(np.average(values, weights=weights)), error, freedom)


def clustered_error(values: Array, weights: Array, cluster: NDArray[Any]) -> float:
    """Standard error of the weighted mean of values `(M,)` in two or more clusters (their indices from 0).

    Values are alike within a cluster. With one value in each and equal weights it is the usual one. Reference: K.-Y. Liang, S. Zeger, Biometrika 73(1), 1986.
    """
    sums = np.bincount(cluster, weights * (values - np.average(values, weights=weights)))
    return math.sqrt(len(sums) / (len(sums) - 1) * float((sums**2).sum())) / float(weights.sum())
