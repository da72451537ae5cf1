"""One structure's observations as a linear mixed model, and what they say of the curve.

A score `Dice_im` of case i under the model of run m, trained on n_m cases, is modelled on the logit scale
of the error, y = logit(1 - Dice):

    y_im = eta(n_m) + b_kind + b_assist [assisted] + v_p(i) + u_i + w_m + eps_im,
    v_p ~ N(0, r su^2)          a patient's cases are hard or easy together, r = `PATIENT_SHARE`,
    u_i ~ N(0, (1 - r) su^2)    and each of them for every model alike
    w_m ~ N(0, sw^2 / n_m)      the luck of a training; of its cases `SET_SHARE`, the rest of first weights and batches
    eps ~ t_5(0, se^2)          the rest (a Gaussian, reweighted)
    b   ~ N(0, tau^2)           offsets of the kind of run, and of labels drawn on a prediction

With one case for each patient, v and u are one effect of variance su^2. Everything but eta integrates out in
closed form and leaves, for the levels `eta(n_1..n_K)`, a Gaussian likelihood with information matrix `precision`
and vector `pull`. Cases are eliminated one by one (their block is diagonal), then patients, then runs and
offsets, so that the cost grows with runs, not with observations.

Scores without a case are averages with an unknown standard error on the Dice scale; they enter as
`y = eta(n) + w_m + eps` linearised about the current fit. How large w is they cannot tell: the caller says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag
from scipy.sparse import csr_array
from scipy.special import logit

from scaling_app.forecast.families import ERROR_CLIP, Array
from scaling_app.forecast.scores import Score

KIND_SD = 0.07
ASSIST_SD = 0.25
PATIENT_SHARE = 0.8
"""Of the variance over cases: a patient's images are much alike. Not estimated: sessions hardly tell."""
SET_SHARE = 0.8
"""Of the variance over trainings: what those on the same cases share. Set in the light of `benchmarks/luck`, not estimated."""
_DEGREES = 5.0
_LARGEST_LOGIT = 500.0
"""Its odds, times what the effects add, are still a number."""


@dataclass(frozen=True)
class Spread:
    """Standard deviations of the random effects, logit units (`residual` of averages: Dice units)."""

    case: float
    run: float
    residual: float

    def variance_at(self, n: Array) -> Array:
        """Variance of y about eta over patients and training sets of size n."""
        return self.case**2 + self.residual**2 + self.run**2 / n


@dataclass(frozen=True)
class LevelEvidence:
    """Gaussian likelihood of the levels t `(K,)`: `constant - (t, -1)' form (t, -1) / 2`.

    `form (K + 1, K + 1)` holds the information matrix, the vector `pull` and the square of the scores.
    """

    form: Array
    constant: float

    @property
    def precision(self) -> Array:
        """`(K, K)` information about the levels."""
        return self.form[:-1, :-1]

    @property
    def pull(self) -> Array:
        """`(K,)`: precision times the best levels."""
        return self.form[:-1, -1]


@dataclass(frozen=True)
class StructureData:
    """The arrays behind the mixed model of one structure.

    Attributes:
        sizes: `(K,)` distinct training-set sizes, ascending.
        y: `(M,)` logit errors (averages: the errors themselves).
        level: `(M,)` index into `sizes`.
        case: `(M,)` index of the test case.
        patient: `(C,)` index of each case's patient.
        run: `(M,)` index of the run.
        run_sizes: `(R,)`.
        run_set: `(R,)` index of each run's training cases.
        offsets: `(M, Q)` design of the offsets, the last column being assistance.
        offset_sd: `(Q,)`.
        case_weight: `(C,)` sampling weights; their sum is the number of equally likely cases that they are worth.
        averaged: whether the scores are averages over cases.
    """

    sizes: Array
    y: Array
    level: NDArray[Any]
    case: NDArray[Any]
    patient: NDArray[Any]
    run: NDArray[Any]
    run_sizes: Array
    run_set: NDArray[Any]
    offsets: Array
    offset_sd: Array
    case_weight: Array
    averaged: bool

    @property
    def weighted(self) -> bool:
        """Whether some cases count for more than others."""
        return bool(np.ptp(self.case_weight) > 0)

    def unweighted(self) -> StructureData:
        """The same scores, every case counting alike."""
        return replace(self, case_weight=np.ones_like(self.case_weight))

    @property
    def n_cases(self) -> int:
        """Distinct test cases (0 for averages)."""
        return 0 if self.averaged else len(self.case_weight)


def structure_data(observations: Sequence[Score]) -> StructureData:
    """Arranges one structure's scores; misses and undefined Dice are left out.

    Scores count as averages when fewer than half of them name a case.
    """
    found = [o for o in observations if o.dice is not None and not o.missed]
    averaged = 2 * sum(bool(o.case) for o in found) < len(found)
    error = np.array([1.0 - float(o.dice) for o in found if o.dice is not None])
    sizes, level = np.unique([float(o.n) for o in found], return_inverse=True)
    case_names = [o.case or f"row {i}" for i, o in enumerate(found)]
    cases, case = np.unique(case_names, return_inverse=True)
    owners = {name: o.unit or name for o, name in zip(found, case_names, strict=True)}
    weight = np.ones(len(cases))
    weight[case] = [o.weight for o in found]
    runs: dict[tuple[object, ...], int] = {}
    sets: dict[tuple[object, ...], int] = {}
    # an average of no named run is a point of its own
    alone = [(o.n, row) if averaged and not o.run else () for row, o in enumerate(found)]
    names = [point or o.run_key for point, o in zip(alone, found, strict=True)]
    run = np.array([runs.setdefault(name, len(runs)) for name in names], dtype=int)
    run_sizes = np.array([float(str(key[0])) for key in runs])
    set_of = {
        name: sets.setdefault(point or o.set_key, len(sets))
        for name, point, o in zip(names, alone, found, strict=True)
    }
    kinds = sorted({o.kind for o in found})
    columns = [[float(o.kind == kind) for o in found] for kind in kinds] if len(kinds) > 1 else []
    columns.append([float(o.assisted) for o in found])
    return StructureData(
        sizes=sizes,
        y=error if averaged else logit_error(1.0 - error),
        level=level,
        case=case,
        patient=np.unique([owners[name] for name in cases.tolist()], return_inverse=True)[1],
        run=run,
        run_sizes=run_sizes,
        run_set=np.array([set_of[key] for key in runs], dtype=int),
        offsets=np.array(columns).T.reshape(len(found), -1),
        offset_sd=np.array([KIND_SD] * (len(columns) - 1) + [ASSIST_SD]),
        case_weight=weight * (weight.sum() / float((weight**2).sum())),
        averaged=averaged,
    )


def one_set_a_size(data: StructureData) -> bool:
    """Whether all trainings of each size are on the same cases, so that nothing shows what other cases would do."""
    return len(np.unique(data.run_set)) == len(data.sizes)


def logit_error(dice: Array) -> Array:
    """`logit(1 - Dice)`, the error kept 0.002 away from 0 and 1."""
    return logit(np.clip(1.0 - dice, ERROR_CLIP, 1 - ERROR_CLIP))


class Elimination:
    """Sums over observations that do not depend on the spread, for a given set of row weights.

    They are kept by run, which has one size: those by level are sums of theirs.

    Args:
        data: the structure's arrays.
        row_weight: `(M,)` robustness weights, 1 for a Gaussian.
        level_error: `(K,)` current fit of the error, needed for averages only.
    """

    def __init__(self, data: StructureData, row_weight: Array, level_error: Array | None = None) -> None:
        self.data = data
        slope = np.ones_like(data.y)
        y = data.y
        if data.averaged:
            fitted = np.full(len(data.y), data.y.mean()) if level_error is None else level_error[data.level]
            fitted = np.clip(fitted, 0.01, 0.99)
            slope = fitted * (1.0 - fitted)
            y = logit(fitted) + (data.y - fitted) / slope
        self.weight = row_weight * data.case_weight[data.case] * slope**2
        self.y = y
        self.log_weight = float(np.log(self.weight).sum())
        if data.averaged:
            return
        count, cases = len(data.run_sizes), len(data.case_weight)
        rest = np.column_stack([data.offsets, y])
        weighted = self.weight[:, None] * rest
        beside = _sums(data.run, count, weighted)
        own: Array = np.diag(np.bincount(data.run, self.weight, count))
        self._base = np.block([[own, beside], [beside.T, rest.T @ weighted]])
        self._of_level = np.zeros((len(self._base), len(data.sizes)))
        self._of_level[data.run, data.level] = 1.0
        table = np.bincount(data.case * count + data.run, self.weight, cases * count)
        self.case_weight = np.bincount(data.case, self.weight)
        self.case_sum = np.column_stack([table.reshape(cases, count), _sums(data.case, cases, weighted)])
        ones = (np.ones(cases), (data.patient, np.arange(cases)))
        self._by_patient = csr_array(ones)
        self._luck = _precision_of_luck(data)
        self._log_luck = float(np.linalg.slogdet(self._luck)[1])

    def evidence(self, spread: Spread) -> LevelEvidence:
        """Integrates cases, runs and offsets out."""
        if self.data.averaged:
            return self._evidence_of_averages(spread)
        gram, log_det = self._without_cases(spread)
        prior = self._side_precision(spread)
        k, last = len(self.data.sizes), len(gram) - 1
        order = np.r_[k:last, :k, last]
        arranged = gram[np.ix_(order, order)]
        arranged[: len(prior), : len(prior)] += prior
        reduced, log_det_side = schur_complement(arranged, len(prior))
        log_det += float(log_det_side) - self._log_side_precision(spread)
        rows = len(self.data.y)
        return LevelEvidence(reduced, -0.5 * (log_det + rows * float(np.log(2 * np.pi))))

    def _evidence_of_averages(self, spread: Spread) -> LevelEvidence:
        """Of averages, each with luck of its own, of which those on the same cases share `SET_SHARE`.

        A set of trainings has one size, and what they share is one number: its cost grows with the scores alone.
        """
        data = self.data
        luck = spread.run**2 / data.sizes[data.level]
        alone = spread.residual**2 / self.weight + (1.0 - SET_SHARE) * luck
        of_set = data.run_set[data.run]
        information = np.bincount(of_set, 1.0 / alone)
        level = np.zeros(len(information), dtype=int)
        level[of_set] = data.level
        gain = 1.0 + SET_SHARE * spread.run**2 / data.sizes[level] * information
        pulled = np.bincount(of_set, self.y / alone)
        known, pull = (np.bincount(level, sums / gain, len(data.sizes)) for sums in (information, pulled))
        square = float((self.y**2 / alone).sum() - ((gain - 1.0) / gain * pulled**2 / information).sum())
        form = np.block([[np.diag(known), pull[:, None]], [pull[None], np.array([[square]])]])
        log_det = float(np.log(alone).sum() + np.log(gain).sum())
        return LevelEvidence(form, -0.5 * (log_det + len(self.y) * float(np.log(2 * np.pi))))

    def residuals(self, spread: Spread, levels: Array) -> Array:
        """`(M,)` residuals of y after the best linear predictions of all effects, given the levels; not of averages."""
        gram, _ = self._without_cases(spread)
        k = len(self.data.sizes)
        side = slice(k, -1)
        rest = self.y - levels[self.data.level]
        inner = gram[side, side] + self._side_precision(spread)
        effects = np.linalg.solve(inner, gram[side, -1] - gram[side, :k] @ levels)
        of_run, of_offset = np.split(effects, [len(self.data.run_sizes)])
        rest = rest - of_run[self.data.run] - self.data.offsets @ of_offset
        own, shared, gain = self._nested(spread)
        patient = self.data.patient
        left = np.bincount(self.data.case, self.weight * rest) / spread.residual**2
        known = np.bincount(patient, self.case_weight / gain) / spread.residual**2
        of_patient = (shared * np.bincount(patient, left / gain) / (1.0 + shared * known))[patient]
        of_case = own * (left - self.case_weight / spread.residual**2 * of_patient) / gain
        return rest - (of_patient + of_case)[self.data.case]

    def offset_posterior(self, spread: Spread, levels: Array, covariance: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the offsets, each `(Q,)`, over levels of mean `(K,)` and covariance `(K, K)`."""
        gram, _ = self._without_cases(spread)
        k, q = len(self.data.sizes), self.data.offsets.shape[1]
        side = slice(k, -1)
        inner: Array = np.linalg.inv(gram[side, side] + self._side_precision(spread))
        effects: Array = inner @ (gram[side, -1] - gram[side, :k] @ levels)
        answer = (inner @ gram[side, :k])[-q:]
        offsets: Array = effects[-q:]
        return offsets, np.sqrt(np.diag(inner)[-q:] + np.diag(answer @ covariance @ answer.T))

    def _without_cases(self, spread: Spread) -> tuple[Array, float]:
        """The sums by level, run and offset, and of y, once the cases are integrated out; and ln of their determinant."""
        rows = len(self.data.y)
        base = self._base / spread.residual**2
        log_det = rows * 2 * np.log(spread.residual) - self.log_weight
        own, shared, gain = self._nested(spread)
        base = base - self.case_sum.T @ ((own / gain / spread.residual**4)[:, None] * self.case_sum)
        log_det += float(np.log(gain).sum())
        if shared.any():
            patients = self._by_patient @ (self.case_sum / (gain * spread.residual**2)[:, None])
            known = (
                1.0 + shared * np.bincount(self.data.patient, self.case_weight / gain) / spread.residual**2
            )
            base = base - patients.T @ ((shared / known)[:, None] * patients)
            log_det += float(np.log(known).sum())
        with_levels = np.concatenate([self._of_level.T @ base, base])
        return np.concatenate([with_levels @ self._of_level, with_levels], axis=1), log_det

    def _nested(self, spread: Spread) -> tuple[Array, Array, Array]:
        """Variance of u `(C,)` and of v `(P,)`, and `1 + var u * information` of each case `(C,)`."""
        patient = self.data.patient
        variance = spread.case**2 / self.data.case_weight
        count = np.bincount(patient)
        shared = PATIENT_SHARE * np.bincount(patient, variance) / count
        own = variance - shared[patient]
        alone = count[patient] == 1
        own, shared = np.where(alone, variance, np.maximum(own, 0.0)), np.where(count == 1, 0.0, shared)
        return own, shared, 1.0 + own * self.case_weight / spread.residual**2

    def _side_precision(self, spread: Spread) -> Array:
        """`(R + Q, R + Q)` of runs and offsets, before the scores."""
        of_offsets: Array = np.diag(1.0 / self.data.offset_sd**2)
        return block_diag(self._luck / spread.run**2, of_offsets)

    def _log_side_precision(self, spread: Spread) -> float:
        """Its ln determinant."""
        runs = self._log_luck - 2.0 * len(self.data.run_sizes) * float(np.log(spread.run))
        return runs - 2.0 * float(np.log(self.data.offset_sd).sum())


def _precision_of_luck(data: StructureData) -> Array:
    """`(R, R)` precision of the runs' effects for `sw = 1`: those on the same cases share `SET_SHARE` of their variance."""
    trainings = np.bincount(data.run_set)[data.run_set]
    apart = data.run_sizes / (1.0 - SET_SHARE)
    shared = SET_SHARE / (1.0 - SET_SHARE + SET_SHARE * trainings)
    same = data.run_set[:, None] == data.run_set
    return np.diag(apart) - (apart * shared)[:, None] * same


def schur_complement(matrix: Array, size: int) -> tuple[Array, Array]:
    """Eliminates the first `size` rows and columns of positive semi-definite matrices `(..., N, N)`.

    The complement is read off the Cholesky factor of the whole: one call, and no triangular solves, which
    multi-threaded libraries slow down at these sizes.

    Returns:
        The complements `(..., N - size, N - size)`, and the log-determinants `(...)` of the eliminated blocks.
    """
    whole = matrix.copy()
    nugget = 1e-10 * np.abs(_diagonal(whole)).max(-1, keepdims=True)
    _diagonal(whole)[..., size:] += nugget
    factor = np.linalg.cholesky(whole)
    rest = factor[..., size:, size:]
    complement = rest @ rest.swapaxes(-1, -2)
    _diagonal(complement)[...] -= nugget
    return complement, 2.0 * np.log(_diagonal(factor)[..., :size]).sum(-1)


def _diagonal(matrix: Array) -> Array:
    """A view of the diagonals `(..., N)`."""
    return np.einsum("...ii->...i", matrix)


def _sums(index: NDArray[Any], count: int, columns: Array) -> Array:
    """`(count, C)`: the columns `(M, C)` summed by index."""
    return np.column_stack([np.bincount(index, column, count) for column in columns.T])


def robust_weights(residuals: Array, spread: Spread) -> Array:
    """`(nu + 1) / (nu + r^2 / se^2)`, the expectation step for Student's t with 5 degrees of freedom.

    Reference: K. Lange, R. Little, J. Taylor, JASA 84(408), 1989.
    """
    scaled = residuals**2 / spread.residual**2
    return (_DEGREES + 1.0) / (_DEGREES + scaled)


def population_dice(eta: Array, variance: Array) -> Array:
    """`E[1 - expit(eta + N(0, variance))]` by 9-point Gauss-Hermite; shapes broadcast.

    The plug-in `1 - expit(eta)` is biased wherever cases differ (Jensen).
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    weights = weights / weights.sum()
    total = np.zeros(np.broadcast_shapes(eta.shape, variance.shape))
    odds = np.exp(np.minimum(eta, _LARGEST_LOGIT))
    root = np.sqrt(variance)
    middle = len(nodes) // 2
    for node, weight in zip(nodes[middle:], weights[middle:], strict=True):  # nodes come in pairs, +- node
        if node == 0:
            total += weight / (1.0 + odds)
            continue
        factor = np.exp(node * root)
        total += weight / (1.0 + odds * factor) + weight / (1.0 + odds / factor)
    return total
