"""The geodesic subspace: what the registrations of a group span, as a linear space of velocity fields.

At the template, exp(t v) are the geodesics of the Cartan-Schouten connection, so the span of the logarithms
v_i is the geodesic subspace of the group. Principal components are taken in the first-order Sobolev inner
product `<v, w> = mean(v . w + a^2 grad v . grad w)`, in which a rough field is longer than a smooth one of
the same size; only the N x N Gram matrix is needed.

Few samples overstate the variance along their own span. The covariance is therefore shrunk towards that of
a random smooth field of the same energy (Ledoit and Wolf's intensity): a sample is
`sqrt(1 - s) * subspace part + sqrt(s) * random field`.

Sources: Vaillant et al., "Statistics on diffeomorphisms via tangent space representations", NeuroImage 2004;
Lorenzi and Pennec, "Geodesics, parallel transport and one-parameter subgroups for diffeomorphic image
registration", IJCV 2013; Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance
matrices", J. Multivariate Analysis 2004.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scaling_app.imaging.extents import image_size_mm
from scaling_app.strategies.deformation.velocity import Lattice

SOBOLEV_WIDTH = 0.07
"""The length a of the inner product, as a share of the frame's size."""
MOST_MODES = 16


@dataclass(frozen=True)
class Subspace:
    """Principal modes of a group of velocity fields.

    Attributes:
        nodes: where the fields are known.
        mean: `(D, *G)` in mm.
        modes: `(K, D, *G)`, orthonormal in the Sobolev inner product.
        deviations: `(K,)` in mm, decreasing.
        coefficients: `(N, K)` of the fields it was made from.
        shrinkage: share of the variance that a random field supplies, 0 to 1.
        energy: mean squared Sobolev length of the deviations, mm^2.
    """

    nodes: Lattice
    mean: Tensor
    modes: Tensor
    deviations: Tensor
    coefficients: Tensor
    shrinkage: float
    energy: float

    @property
    def modes_90(self) -> int:
        """Number of modes that hold 90 % of the variance; 0 where nothing varies."""
        variance = self.deviations**2
        if len(variance) == 0:
            return 0
        return int((variance.cumsum(0) / variance.sum() < 0.9).sum()) + 1

    def field(self, coefficients: Tensor) -> Tensor:
        """The velocity `(D, *G)` of coefficients `(K,)`."""
        return self.mean + torch.tensordot(coefficients, self.modes, dims=1)

    def project(self, velocity: Tensor) -> Tensor:
        """Coefficients `(K,)` of a velocity's nearest field in the subspace."""
        if len(self.modes) == 0:
            return torch.zeros(0)
        return embed(self.modes, self.nodes) @ embed((velocity - self.mean)[None], self.nodes)[0]


def embed(fields: Tensor, nodes: Lattice) -> Tensor:
    """Fields `(N, D, *G)` as vectors `(N, M)` whose dot product is the Sobolev inner product (mm^2)."""
    width = SOBOLEV_WIDTH * image_size_mm(nodes.extent_mm)
    parts = [fields.flatten(1)]
    for axis, step in enumerate(nodes.step_mm):
        slope = fields.diff(dim=axis + 2) * (width / step)
        scale = (nodes.shape[axis] / (nodes.shape[axis] - 1)) ** 0.5
        parts.append(slope.flatten(1) * scale)
    points = fields[0, 0].numel()
    return torch.cat(parts, dim=1) / points**0.5


def fit_subspace(velocities: Sequence[Tensor], nodes: Lattice) -> Subspace:
    """The subspace of velocities `(D, *G)` in mm; without modes when there are fewer than two, or all agree.

    Raises:
        ValueError: no velocity at all.
    """
    if not velocities:
        raise ValueError("a subspace needs at least one velocity field")
    fields = torch.stack(list(velocities))
    mean = fields.mean(dim=0)
    vectors = embed(fields - mean, nodes)
    gram = vectors @ vectors.T
    energy = float(gram.diagonal().mean())
    values, basis = torch.linalg.eigh(gram.double())
    keep = [k for k in range(len(values) - 1, -1, -1) if values[k] > max(1e-4 * float(values.sum()), 1e-8)]
    keep = keep[:MOST_MODES]
    roots = values[keep].clamp(min=0).sqrt().float()
    weights = basis[:, keep].float()
    modes = torch.tensordot(weights.T / roots[:, None], fields - mean, dims=1).reshape(-1, *fields.shape[1:])
    deviations = roots / max(len(fields) - 1, 1) ** 0.5
    coefficients = (weights * roots) if keep else torch.zeros(len(fields), 0)
    return Subspace(nodes, mean, modes, deviations, coefficients, _shrinkage(gram), energy)


def _shrinkage(gram: Tensor) -> float:
    """Ledoit and Wolf's intensity for N centred vectors with this Gram matrix, in very many dimensions."""
    count = len(gram)
    if count < 2 or float(gram.diagonal().sum()) <= 1e-8:
        return 1.0
    spread = float((gram**2).sum()) / count**2
    error = (float((gram.diagonal() ** 2).sum()) / count - spread) / count
    return min(max(error / spread, 0.0), 1.0)


def bracket(a: Tensor, b: Tensor, nodes: Lattice) -> Tensor:
    """The Lie bracket `[a, b] = Da b - Db a` of velocity fields `(D, *G)`, by central differences."""
    total, both = torch.zeros_like(a), torch.stack([a, b])
    for axis, step in enumerate(nodes.step_mm):
        of_a, of_b = torch.gradient(both, spacing=step, dim=axis + 2)[0]
        total += of_a * b[axis] - of_b * a[axis]
    return total


def logarithm_of_pair(velocity_i: Tensor, velocity_j: Tensor, nodes: Lattice) -> Tensor:
    """Velocity of `exp(-v_i) o exp(v_j)`, which carries case i onto case j, to third order (BCH)."""
    a, b = -velocity_i, velocity_j
    first = bracket(a, b, nodes)
    third = bracket(a - b, first, nodes)  # [a, [a, b]] + [b, [b, a]]
    return a + b + first / 2 + third / 12
