"""Reads replays of segmentation trainings: one row per (run, test case, structure).

The format is that of `scaling-app replay`: columns dataset, network, strategy, n, draw, seed, case, structure,
dice, steps (a number, or `auto`) and more, optionally capacity. A curve is one (dataset, structure, network, capacity,
strategy, steps); the dataset is the unit of independence.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit

from scaling_app.forecast.evidence import logit_error
from scaling_app.forecast.scores import miss_dice
from scaling_app.imaging.network_table import DEFAULT_NETWORK
from scaling_app.trials.length import AUTO_STEPS


@dataclass(frozen=True)
class Run:
    """One training of the bank: case -> Dice (None where the structure is absent)."""

    n: int
    draw: int
    seed: int
    dice: dict[str, float | None]


@dataclass(frozen=True)
class Curve:
    """All runs of one (dataset, structure, network, capacity, strategy, steps)."""

    dataset: str
    structure: str
    network: str
    capacity: str
    strategy: str
    steps: str
    runs: tuple[Run, ...]

    @property
    def sizes(self) -> np.ndarray:
        """Distinct training-set sizes, ascending."""
        return np.unique([run.n for run in self.runs]).astype(float)

    def mean_dice(self) -> np.ndarray:
        """`(K,)` mean Dice per size, over runs and cases."""
        return np.array([np.mean(self._scores(n)) for n in self.sizes])

    def typical_error(self) -> np.ndarray:
        """`(K,)` expit of the mean logit error per size, misses left out: the level of the median case."""
        levels = []
        bound = miss_dice([d for n in self.sizes for d in self._scores(n)])
        for n in self.sizes:
            found = np.array([d for d in self._scores(n) if d > bound])
            levels.append(float(expit(logit_error(found).mean())) if len(found) else 0.98)
        return np.array(levels)

    def _scores(self, n: float) -> list[float]:
        return [d for run in self.runs if run.n == n for d in run.dice.values() if d is not None]


def bank_files(folder: Path) -> list[Path]:
    """The bank's tables in a folder: `bank` and `product`, `.csv` or `.csv.gz`."""
    names = (f"{name}.csv{ending}" for name in ("bank", "product") for ending in ("", ".gz"))
    return [folder / name for name in names if (folder / name).is_file()]


def read_bank(paths: Sequence[Path], *, min_sizes: int = 4) -> list[Curve]:
    """Reads the tables; curves with fewer than `min_sizes` sizes are left out."""
    groups: dict[tuple[str, str, str, str, str, str], dict[tuple[int, int, int], dict[str, float | None]]]
    groups = defaultdict(lambda: defaultdict(dict))
    for row in _rows(paths):
        key = (row["dataset"], row["structure"], row["network"], row.get("capacity", ""), row["strategy"])
        key = (*key, row.get("steps", "0"))
        text = row["dice"].strip().lower()
        dice = None if text in ("", "nan", "none") else float(text)
        if dice is not None and not math.isfinite(dice):
            dice = None
        run = (int(row["n"]), int(row["draw"]), int(row["seed"]))
        groups[key][run][row["case"]] = dice
    curves = [
        Curve(*key, tuple(Run(*run, dice) for run, dice in sorted(runs.items())))
        for key, runs in groups.items()
    ]
    return [curve for curve in curves if len(curve.sizes) >= min_sizes]


def own_curves(curves: Sequence[Curve]) -> list[Curve]:
    """The curves that the prior learns from and that are asked about: what the app trains unless told otherwise."""
    own = ("baseline", DEFAULT_NETWORK, AUTO_STEPS)
    return [c for c in curves if (c.strategy, c.network, c.steps) == own and c.capacity in ("small", "")]


def _rows(paths: Sequence[Path]) -> Iterator[dict[str, str]]:
    for path in paths:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8", newline="") as stream:
            yield from csv.DictReader(stream)
