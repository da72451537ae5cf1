"""The shapes that learning curves take.

`e(n)` is the error, 1 - Dice, of a model trained on n cases. The session's own model is the power law
with a floor and an offset,

    e(n) = e_inf + A (n + d)^-c,

whose floor keeps it from promising what more cases of the same kind cannot give. The others are what
the literature fits; all of them are linear in two coefficients once their shape parameters are fixed,
so that the best least-squares fit is found on a grid of shapes, for many resampled curves at once and
with no starting values to depend on (variable projection: Golub and Pereyra, SIAM J. Numer. Anal. 10,
1973).

References:
    T. Viering, M. Loog: The Shape of Learning Curves: A Review. IEEE TPAMI 45(6), 2023.
    F. Mohr et al.: LCDB 1.0: An Extensive Learning Curves Database. ECML PKDD 2022.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Array = NDArray[np.float64]

ERROR_CLIP = 0.002
"""Errors are kept this far from 0 and 1 before a logit is taken."""


def power_law_error(parameters: Array, n: Array) -> Array:
    """`e_inf + A (n + d)^-c` in ]0, 1[.

    Args:
        parameters: `(..., 4)`: logit e_inf, ln A, ln c, ln d.
        n: `(K,)` training-set sizes; infinity is allowed.

    Returns:
        `(..., K)`, clipped to [0.0005, 0.98].
    """
    floor, scale, power, offset = (parameters[..., i : i + 1] for i in range(4))
    decay = np.exp(scale) * (n + np.exp(offset)) ** (-np.exp(power))
    return np.clip(expit(floor) + decay, 5e-4, 0.98)


@dataclass(frozen=True)
class Family:
    """A curve `e(n) = a f1(n) + b f2(n)` whose basis depends on a grid of shapes.

    Attributes:
        name: as in the literature.
        basis: `(shapes (G, S), n (K,)) -> (G, K, 2)`; the first column is the floor's.
        shapes: `(G, S)`.
        bounds: `(2, 2)`: lower and upper bound of the two coefficients.
    """

    name: str
    basis: Callable[[Array, Array], Array]
    shapes: Array
    bounds: Array

    def predict(self, shape: Array, coefficients: Array, n: Array) -> Array:
        """`(B, K)` errors for `shape (B, S)` and `coefficients (B, 2)`, clipped to [0, 1]."""
        return np.clip(np.einsum("bkp,bp->bk", self.basis(shape, n), coefficients), 0.0, 1.0)


def fit_family(family: Family, n: Array, error: Array, weights: Array) -> tuple[Array, Array]:
    """Bounded weighted least squares, for B curves on the same sizes.

    Args:
        family: what to fit.
        n: `(K,)` sizes.
        error: `(B, K)`.
        weights: `(B, K)`, >= 0.

    Returns:
        The best shapes `(B, S)` and coefficients `(B, 2)`.
    """
    basis = family.basis(family.shapes, n)
    gram = np.einsum("bk,gkp,gkq->bgpq", weights, basis, basis, optimize=True)
    moment = np.einsum("bk,gkp->bgp", weights * error, basis, optimize=True)
    best_loss = np.full(error.shape[0], np.inf)
    best_grid = np.zeros(error.shape[0], dtype=int)
    best_coefficients = np.zeros((error.shape[0], 2))
    for candidate in _candidates(gram, moment, family.bounds):
        loss = np.einsum("bgp,bgpq,bgq->bg", candidate, gram, candidate) - 2 * (candidate * moment).sum(-1)
        grid = loss.argmin(1)
        rows = np.arange(error.shape[0])
        better = loss[rows, grid] < best_loss
        best_loss = np.where(better, loss[rows, grid], best_loss)
        best_grid = np.where(better, grid, best_grid)
        best_coefficients[better] = candidate[rows, grid][better]
    return family.shapes[best_grid], best_coefficients


def _candidates(gram: Array, moment: Array, bounds: Array) -> list[Array]:
    """The solutions that can be optimal in a box: inside it, or on one of its four sides."""
    ridge = gram + 1e-9 * np.eye(2)
    determinant = ridge[..., 0, 0] * ridge[..., 1, 1] - ridge[..., 0, 1] ** 2
    inside = (
        np.stack(
            [
                ridge[..., 1, 1] * moment[..., 0] - ridge[..., 0, 1] * moment[..., 1],
                ridge[..., 0, 0] * moment[..., 1] - ridge[..., 0, 1] * moment[..., 0],
            ],
            axis=-1,
        )
        / np.maximum(determinant, 1e-12)[..., None]
    )
    low, high = bounds
    candidates = []
    for fixed in (0, 1):
        free = 1 - fixed
        for value in (low[fixed], high[fixed]):
            side = np.full_like(inside, value)
            best = (moment[..., free] - gram[..., 0, 1] * value) / np.maximum(gram[..., free, free], 1e-12)
            side[..., free] = np.clip(best, low[free], high[free])
            candidates.append(side)
    feasible = ((inside >= low) & (inside <= high)).all(-1)
    candidates.append(np.where(feasible[..., None], inside, candidates[0]))
    return candidates


def _with_ones(column: Array) -> Array:
    return np.stack([np.ones_like(column), column], axis=-1)


def _power_basis(shape: Array, n: Array) -> Array:
    return _with_ones(n[None] ** -shape)


def _plain_power_basis(shape: Array, n: Array) -> Array:
    column = n[None] ** -shape
    return np.stack([np.zeros_like(column), column], axis=-1)


def _exponential_basis(shape: Array, n: Array) -> Array:
    return _with_ones(np.exp(-n[None] / shape))


def _mmf_basis(shape: Array, n: Array) -> Array:
    half, power = shape[:, :1], shape[:, 1:]
    share = n[None] ** power / (half**power + n[None] ** power)
    return np.stack([share, 1.0 - share], axis=-1)


def _grid(*axes: Array) -> Array:
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=-1)


_EXPONENTS = np.geomspace(0.02, 3.0, 60)

POWER_LAW = Family("power_law", _plain_power_basis, _EXPONENTS[:, None], np.array([[0.0, 0.0], [0.0, 3.0]]))
"""`A n^-c`, as Figueroa et al. (BMC Med. Inform. Decis. Mak. 12:8, 2012) and many others fit it."""

POWER_LAW_FLOOR = Family(
    "power_law_floor", _power_basis, _EXPONENTS[:, None], np.array([[0.0, 0.0], [1.0, 3.0]])
)
"""`e_inf + A n^-c`."""

EXPONENTIAL = Family(
    "exponential",
    _exponential_basis,
    np.geomspace(0.5, 2000.0, 70)[:, None],
    np.array([[0.0, 0.0], [1.0, 3.0]]),
)
"""`e_inf + A exp(-n / tau)`, the plateau that medical papers favour (Mayo et al., J. Digit. Imaging 2023)."""

MMF = Family(
    "mmf",
    _mmf_basis,
    _grid(np.geomspace(1.0, 300.0, 16), np.geomspace(0.3, 1.5, 10)),
    np.array([[0.0, 0.0], [1.0, 1.2]]),
)
"""`(a b + c n^d) / (b + n^d)` (Morgan, Mercer, Flodin), first of 16 in LCDB 1.0's extrapolation ranks; d within [0.3, 1.5],
since four parameters follow the noise of few points otherwise."""

_REFERENCE_SIZE = 16.0


def _offset_basis(shape: Array, n: Array) -> Array:
    offset, power = shape[:, :1], shape[:, 1:]
    return _with_ones(((n[None] + offset) / (_REFERENCE_SIZE + offset)) ** -power)


POWER_LAW_OFFSET = Family(
    "power_law_offset",
    _offset_basis,
    _grid(np.concatenate([[0.05], np.geomspace(0.5, 300.0, 13)]), np.geomspace(0.05, 4.0, 28)),
    np.array([[1e-3, 0.0], [1.0, 1.2]]),
)
"""`e_inf + A (n + d)^-c`, scaled so that A is the excess error at 16; what templates are fitted with."""


def fit_templates(n: Array, error: Array) -> Array:
    """Power laws with floor and offset, fitted so that errors on the logit scale count alike.

    Args:
        n: `(K,)` sizes.
        error: `(B, K)` mean errors.

    Returns:
        `(B, 4)` parameters of `power_law_error`.
    """
    safe = np.clip(error, ERROR_CLIP, 1 - ERROR_CLIP)
    shape, coefficients = fit_family(POWER_LAW_OFFSET, n, safe, 1.0 / (safe * (1.0 - safe)) ** 2)
    floor = logit(np.clip(coefficients[:, 0], 1e-3, 0.97))
    scale = np.log(np.maximum(coefficients[:, 1], 1e-4))
    scale += shape[:, 1] * np.log(_REFERENCE_SIZE + shape[:, 0])
    return np.stack([floor, scale, np.log(shape[:, 1]), np.log(shape[:, 0])], axis=1)
