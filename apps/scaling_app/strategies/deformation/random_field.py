"""Random smooth velocity fields with one intuitive strength.

White noise on the nodes of a lattice, smoothed along each axis by Gaussians of two widths and brought to
unit variance at every node, is a Gaussian random field whose covariance is that of a Sobolev-like metric:
the wide scale moves organs, the narrow one reshapes them. Across the faces of the box the velocity fades to
zero in its *normal* component alone, so that the box is mapped onto itself while points may slide along it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from scaling_app.strategies.deformation.velocity import Lattice, derivative_bound

SCALES = ((0.20, 0.8), (0.09, 0.2))
"""(width as a share of the image size, share of the variance) of the Gaussians."""

STRONGEST_BOUND = 2.03
"""Fields above this rho are scaled down: three certified factors, a caricature beyond."""


@dataclass(frozen=True)
class Strength:
    """How far points move: the standard deviation of a displacement component, at most.

    Either in mm or as a share of the image size (see `imaging.extents`).
    """

    value: float
    unit: str = "%"

    @classmethod
    def parse(cls, text: str) -> Strength:
        """Reads "4%" or "6 mm" (a bare number means per cent).

        Raises:
            ValueError: it is neither.
        """
        found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(mm|%)?\s*", text)
        if found is None:
            raise ValueError(f"a strength is written like '4%' or '6 mm', got {text!r}")
        return cls(float(found[1]), found[2] or "%")

    def in_mm(self, size_mm: float) -> float:
        """The displacement in mm for an image of that size."""
        return self.value if self.unit == "mm" else self.value / 100.0 * size_mm


def smooth(field: Tensor, lattice: Lattice, width_mm: float, *, unit_variance: bool) -> Tensor:
    """Gaussian smoothing of `(C, *G)` along every axis.

    Args:
        field: values on the lattice.
        lattice: its nodes.
        width_mm: standard deviation of the Gaussian; along an axis of few slices no more than a quarter
            of the extent, so that slices keep some freedom.
        unit_variance: keep the variance of white noise (rows of unit length) and not the mean of the
            field (rows of unit sum).
    """
    for axis, (nodes, step) in enumerate(zip(lattice.shape, lattice.step_mm, strict=True)):
        kernel = _kernel(nodes, min(width_mm / step, 0.25 * (nodes - 1)), unit_variance).to(field)
        field = torch.tensordot(field, kernel, dims=([axis + 1], [1])).movedim(-1, axis + 1)
    return field


@lru_cache(maxsize=512)
def _kernel(nodes: int, width: float, unit_variance: bool) -> Tensor:
    """`(nodes, nodes)`: a Gaussian of `width` nodes about each; a row has unit length or unit sum."""
    at = torch.arange(nodes, dtype=torch.float32)
    kernel = torch.exp(-0.5 * ((at[:, None] - at[None, :]) / width) ** 2)
    kernel = kernel * (kernel > 1e-6)  # denormal numbers are slow
    return kernel / (
        kernel.pow(2).sum(1, keepdim=True).sqrt() if unit_variance else kernel.sum(1, keepdim=True)
    )


def fade_normal(field: Tensor, lattice: Lattice, share: float = 0.12) -> Tensor:
    """Fades component i of `(D, *G)` to zero towards the two faces across axis i, over `share` of the extent."""
    faded = []
    for axis, (nodes, component) in enumerate(zip(lattice.shape, field, strict=True)):
        depth = torch.linspace(0.0, 1.0, nodes, dtype=field.dtype, device=field.device)
        depth = torch.minimum(depth, 1.0 - depth) / share
        ramp = torch.sin(0.5 * torch.pi * depth.clamp(0.0, 1.0))
        faded.append(component * ramp.reshape(-1, *([1] * (lattice.dims - 1 - axis))))
    return torch.stack(faded)


def random_velocity(
    lattice: Lattice, amplitude_mm: float, size_mm: float, generator: torch.Generator
) -> Tensor:
    """A random velocity field `(D, *G)` in mm, standard deviation `amplitude_mm` away from the faces."""
    total = torch.zeros(lattice.dims, *lattice.shape, device=generator.device)
    for width, variance in SCALES:
        noise = torch.randn(total.shape, generator=generator, device=generator.device)
        total += variance**0.5 * smooth(noise, lattice, width * size_mm, unit_variance=True)
    return fade_normal(amplitude_mm * total, lattice)


def tempered(velocity_mm: Tensor, lattice: Lattice, strongest: float = STRONGEST_BOUND) -> Tensor:
    """The field, scaled down if its `derivative_bound` exceeds `strongest`."""
    rho = derivative_bound(velocity_mm, lattice.step_mm)
    return velocity_mm * (strongest / rho) if rho > strongest else velocity_mm
