"""A component of the prior met with Gaussian evidence about the levels: all in closed form.

With templates t_j (their levels at the K observed sizes), deviation covariance C = R R' and evidence
`-(t' P t)/2 + t' p`, integrating the deviation out gives each template's marginal likelihood, and
conditioning on it gives the deviation's posterior. The Cholesky factor of `I + R' P R` serves all templates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_app.forecast.evidence import LevelEvidence, Spread, schur_complement
from scaling_app.forecast.families import Array
from scaling_app.forecast.prior import Component, CurvePrior

_JITTER = 1e-7


class ComponentAt:
    """A component with what does not change while the evidence does.

    Args:
        component: of the prior.
        weight: of the component in the mixture.
        sizes: `(K,)` observed sizes.
    """

    def __init__(self, component: Component, weight: float, sizes: Array) -> None:
        self.component, self.sizes = component, sizes
        self.levels = component.eta(sizes)
        self.covariance = component.deviation.covariance(sizes, sizes)
        self.root = np.linalg.cholesky(self.covariance + _JITTER * np.eye(len(sizes)))
        self.log_weights = np.log(weight) + component.log_weights


@dataclass(frozen=True)
class Piece:
    """Posterior of one component at one spread: a mixture of Gaussians over its templates.

    Given template j, the deviation at sizes n has mean `C(n, sizes) innovation_j` and covariance
    `C(n, n) - C(n, sizes) precision C(sizes, n)`.

    Attributes:
        at: the component.
        spread: standard deviations of the random effects.
        log_mass: `(J,)`, unnormalised.
        precision: `(K, K)`.
        innovation: `(J, K)`.
    """

    at: ComponentAt
    spread: Spread
    log_mass: Array
    precision: Array
    innovation: Array


def condition(components: Sequence[ComponentAt], evidence: LevelEvidence, spread: Spread) -> list[Piece]:
    """Scores each component's templates and finds their deviations' posteriors."""
    root = np.stack([at.root for at in components])
    k = root.shape[-1]
    whitened = root.swapaxes(1, 2) @ evidence.form[:-1]
    joint = np.empty((len(components), 2 * k + 1, 2 * k + 1))
    joint[:, :k, :k] = np.eye(k) + whitened[..., :-1] @ root
    joint[:, :k, k:], joint[:, k:, :k], joint[:, k:, k:] = whitened, whitened.swapaxes(1, 2), evidence.form
    pieces = []
    for at, form, log_det in zip(components, *schur_complement(joint, k), strict=True):
        precision, pull = form[:-1, :-1], form[:-1, -1]
        shrunk = at.levels @ precision
        fit = np.einsum("jk,jk->j", at.levels, pull - 0.5 * shrunk)
        constant = evidence.constant - 0.5 * (float(form[-1, -1]) + float(log_det))
        pieces.append(Piece(at, spread, at.log_weights + fit + constant, precision, pull - shrunk))
    return pieces


class Target:
    """A component at the sizes that are asked for.

    Args:
        at: the component at the observed sizes.
        n: `(T,)`.
    """

    def __init__(self, at: ComponentAt, n: Array) -> None:
        kernel = at.component.deviation.covariance
        self.levels = at.component.eta(n)
        self.cross = kernel(n, at.sizes)
        self.covariance = kernel(n, n)

    def predictive(self, piece: Piece, template: NDArray[Any]) -> tuple[Array, Array]:
        """Mean `(len(template), T)` and a root `(T, T)` of the covariance of eta.

        A Cholesky root, which follows rounding errors continuously; eigenvectors of equal values do not.
        """
        covariance = self.covariance - self.cross @ piece.precision @ self.cross.T
        mean = self.levels[template] + piece.innovation[template] @ self.cross.T
        return mean, covariance_root(covariance)


def covariance_root(covariance: Array) -> Array:
    """Cholesky root of a covariance `(T, T)` that rounding may have made slightly indefinite."""
    for power in range(6):
        try:
            return np.linalg.cholesky(covariance + 10**power * _JITTER * np.eye(len(covariance)))
        except np.linalg.LinAlgError:
            continue
    raise np.linalg.LinAlgError("not a covariance, even within a standard deviation of 0.1")


def components_at(prior: CurvePrior, sizes: Array) -> list[ComponentAt]:
    """Every component of a prior at the observed sizes."""
    return [ComponentAt(c, w, sizes) for c, w in zip(prior.components, prior.weights, strict=True)]


def level_mean(pieces: list[Piece]) -> Array:
    """`(K,)` posterior mean of eta at the observed sizes."""
    mass = np.concatenate([piece.log_mass for piece in pieces])
    levels = np.concatenate([p.at.levels + p.innovation @ p.at.covariance for p in pieces])
    weight = np.exp(mass - mass.max())
    return weight @ levels / weight.sum()
