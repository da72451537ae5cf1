"""A uni-directional LSTM that reads a learning curve and says how it goes on.

After Lee et al., who train one on 200 finished configurations of the very task and take its last output as
the final score. This one is trained beforehand on other tasks (`benchmarks/forecast/train_lstm.py`): on the bank
of segmentation trainings, on the tuning part of a public curve library and on simulated curves, so that it answers
without any training on the user's side. Steps are (n, mean Dice, number of scores, network, capacity, strategy), the
query is a size, the answer a change of the logit error since the last step with a standard deviation.
Inference is written out in NumPy.

Reference: Lee, Chung, Suh, Lee, Choi: PLOS One, 2025, 10.1371/journal.pone.0339064 (idea; written anew).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from scaling_app.forecast.evidence import logit_error
from scaling_app.forecast.families import Array
from scaling_app.forecast.prediction import Forecaster
from scaling_app.forecast.prior import DATA
from scaling_app.forecast.rivals.published_methods import RESAMPLES, mean_curves
from scaling_app.forecast.scores import Score
from scaling_app.strategies.catalogue import families_of

STEPS = 8
"""Longest sequence read; of longer curves the sizes nearest to an even spread in ln n are kept."""
FARTHEST = 64.0
"""Queries beyond this multiple of the last size are answered for it."""
NETWORKS = ("resunet", "swinunetr", "resenc")
CAPACITY_CODES = {"small": -1.0, "medium": 1.0}
"""Both of the curves that it learned from, and so part of its weights: what came later is not told to it."""
FAMILIES = ("none", "baseline", "deformation", "generation")
"""Kinds of strategy: nothing; affine and intensity changes; deformed cases; generated cases."""
CODES = len(NETWORKS) + 1 + len(FAMILIES)
INPUTS = 3 + CODES


def training_codes(network: str, capacity: str, strategy: str) -> Array:
    """`(CODES,)`: a 1 for the network, capacity as -1 or 1, then a 1 for each family that the strategy belongs to.

    0 means "not told"; names that no bank has seen are not told.
    """
    families = families_of(strategy)
    return np.array(
        [
            *(float(network == name) for name in NETWORKS),
            CAPACITY_CODES.get(capacity, 0.0),
            *(float(f in families) for f in FAMILIES),
        ]
    )


def step_features(n: Array, dice: Array, count: Array, codes: Array) -> Array:
    """`(B, K, INPUTS)` from sizes `(K,)` or `(B, K)`, mean Dice and numbers of scores `(B, K)`.

    `codes` are those of `training_codes`, `(CODES,)` for all curves or `(B, CODES)`.
    """
    shape = dice.shape
    scores = [np.broadcast_to(np.log(n) / 5.0, shape), logit_error(dice) / 2.0, np.log1p(count) / 5.0]
    told = np.broadcast_to(np.atleast_2d(codes)[:, None], (*shape, CODES))
    return np.concatenate([np.stack(scores, axis=-1), told], axis=-1)


def run_lstm(weights: Mapping[str, Array], features: Array) -> Array:
    """The last hidden state `(B, H)` of one layer (gate order input, forget, cell, output)."""
    hidden = np.zeros((len(features), weights["recurrent"].shape[1]))
    cell = np.zeros_like(hidden)
    for step in np.moveaxis(features, 1, 0):
        gates = step @ weights["input"].T + hidden @ weights["recurrent"].T + weights["bias"]
        i, f, g, o = np.split(gates, 4, axis=1)
        cell = expit(f) * cell + expit(i) * np.tanh(g)
        hidden = expit(o) * np.tanh(cell)
    return hidden


def change(weights: Mapping[str, Array], hidden: Array, log_ratio: Array) -> tuple[Array, Array]:
    """Mean and standard deviation `(B, T)` of the change of logit error over `ln(n / n_last)` `(T,)`.

    At the last size itself what is left is the noise of its score.
    """
    x = np.concatenate(
        [
            np.repeat(hidden[:, None], len(log_ratio), axis=1),
            np.broadcast_to(log_ratio[None, :, None] / 3.0, (len(hidden), len(log_ratio), 1)),
        ],
        axis=-1,
    )
    inner = np.tanh(x @ weights["head_1"].T + weights["head_1_bias"])
    outer = inner @ weights["head_2"].T + weights["head_2_bias"]
    return outer[..., 0], np.exp(np.clip(outer[..., 1], -5.0, 1.0))


@lru_cache(maxsize=1)
def shipped_weights() -> dict[str, Array]:
    """The trained weights that come with the package, by name."""
    with np.load(DATA / "lstm.npz") as archive:
        return {name: archive[name].astype(float) for name in archive.files}


class LstmForecaster(Forecaster):
    """See the module.

    Args:
        weights: as `shipped_weights` names them; the shipped ones when None.
    """

    method: ClassVar[str] = "lstm"

    def __init__(self, weights: Mapping[str, Array] | None = None) -> None:
        self.weights = shipped_weights() if weights is None else weights

    def _fit(self, groups: dict[str, list[Score]]) -> None:
        self._states = {name: self._read(group) for name, group in groups.items()}

    def _read(self, group: list[Score]) -> tuple[float, Array, Array]:
        """Last size, its logit errors `(B,)` and hidden states `(B, H)`, row 0 for the scores as they are."""
        curves = mean_curves(group)
        error = np.where(curves.weight > 0, curves.error, curves.error[:1])
        kept = _evenly_spread(curves.n)
        capacities = {o.capacity for o in group}
        capacity = capacities.pop() if len(capacities) == 1 else ""
        codes = training_codes(group[0].network, capacity, group[0].strategy)
        features = step_features(curves.n[kept], 1.0 - error[:, kept], curves.weight[:, kept], codes)
        return float(curves.n[-1]), logit_error(1.0 - error[:, -1]), run_lstm(self.weights, features)

    def _draws(self, n: Array, structure: str) -> Array:
        last, level, hidden = self._states[structure]
        ratio = np.log(np.clip(n / last, 1.0 / FARTHEST, FARTHEST))
        mean, sd = change(self.weights, hidden, ratio)
        noise = np.random.default_rng(self.structures.index(structure)).standard_normal((RESAMPLES + 1, 1))
        noise[0] = 0.0
        return 1.0 - expit(level[:, None] + mean + sd * noise)

    def centre(self, draws: Array) -> Array:
        """The answer to the scores as they are, which is row 0."""
        return draws[0]

    def plateau(self, structure: str, delta: float = 0.01) -> int | None:
        """Smallest multiple of the last size (by doublings) whose own doubling gains less than `delta`.

        Returns:
            The size, or None when the curve still rises at the farthest query.
        """
        last = self._states[structure][0]
        sizes = last * 2.0 ** np.arange(7)
        gains = np.diff(self.centre(self._draws(sizes, structure)))
        flat = np.flatnonzero(gains < delta)
        return int(sizes[flat[0]]) if len(flat) else None


def _evenly_spread(n: Array) -> NDArray[Any]:
    """Indices of at most `STEPS` sizes, the first and the last among them."""
    if len(n) <= STEPS:
        return np.arange(len(n))
    wanted = np.linspace(np.log(n[0]), np.log(n[-1]), STEPS)
    nearest = np.abs(np.log(n)[None] - wanted[:, None]).argmin(1)
    return np.unique(nearest)
