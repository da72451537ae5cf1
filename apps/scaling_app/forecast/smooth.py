"""Random smooth functions of ln n that are the same functions, whichever sizes they are read off at.

A Gaussian process drawn at the sizes asked for is another function for every set of sizes, however fixed the seed. Drawn
as weights of fixed features it is not: what is said of one size does not depend on the others.

Reference: C. Williams, M. Seeger: Using the Nystroem Method to Speed Up Kernel Machines. NIPS 13, 2001.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

from scaling_app.forecast.families import Array

FAR = 40.0
"""ln n that stands for infinitely many cases in a kernel: uncorrelated with anything observed."""
_LAST = 28.0
_APART = 0.6
"""Lengths between the places of two features: with these the kernel is right to a millionth."""
_JITTER = 1e-8


def smooth_features(x: Array, length: float) -> Array:
    """`(K, M)` features of places x `(K,)`, ln n, whose products are `exp(-(x - x')^2 / (2 length^2))`.

    M depends on the length alone.
    """
    places = np.append(np.arange(-length, _LAST + length, _APART * length), FAR)

    def kernel(a: Array, b: Array) -> Array:
        return np.exp(-0.5 * ((a[:, None] - b[None]) / length) ** 2)

    root = np.linalg.cholesky(kernel(places, places) + _JITTER * np.eye(len(places)))
    return solve_triangular(root, kernel(places, x), lower=True).T
