"""Draws of a smooth Gaussian process that are whole curves: what one is at a place does not depend on where else it is read.

The squared exponential kernel as a Fourier series over a period, which must be twice the width of the places at least.
"""

from __future__ import annotations

import numpy as np

from scaling_app.forecast.families import Array


def fourier_basis(x: Array, length: float, period: float, harmonics: int) -> Array:
    """`(T, 1 + 2 harmonics)`: its product with standard normal numbers is a draw of unit variance at places x `(T,)`.

    Its product with itself is `exp(-(x - x')^2 / (2 length^2))`, as long as the kernel of that length has died out after
    half a period and `harmonics` waves reach down to it.
    """
    step = 2.0 * np.pi / period
    order = np.arange(harmonics + 1)
    power = step * length / np.sqrt(2.0 * np.pi) * np.exp(-0.5 * (step * length * order) ** 2)
    height = np.sqrt(power * np.where(order > 0, 2.0, 1.0))
    angle = step * x[:, None] * order
    return np.concatenate([height * np.cos(angle), (height * np.sin(angle))[:, 1:]], axis=1)
