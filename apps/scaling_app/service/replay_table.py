"""Learning curves from the table of a replay: per dataset, network and strategy, mean Dice against n.

A draw is one random set of n training cases. The mean over test cases, structures and seeds of a draw is one
value; intervals are over draws (Student's t), because that is what another radiologist's n cases would be.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, linear_regression, stdev
from typing import Any

from scipy.stats import t as student

from scaling_app.forecast.score_table import (
    CurveError,
    rows_of,
    score_of,
    steps_asked,
    steps_of,
    table_text,
    whole_of,
)
from scaling_app.forecast.scores import MOST_CASES
from scaling_app.service.table_lengths import cut_short
from scaling_app.words import whole_number

COLUMNS = ("dataset", "network", "strategy", "n", "draw", "case", "structure", "dice")
"""What this reader needs of the table."""
SCORE = (*COLUMNS[:-1], "seed", "steps")
"""The columns that tell scores apart."""
FLAT = 0.01


_Training = tuple[int, str, str | None]
"""Size, draw and seed."""


class ReplayTableError(CurveError):
    """The table cannot be read; the message says what is wrong and where."""


@dataclass(frozen=True)
class Level:
    """Mean Dice at one size, with an 80 % interval over draws where there are at least two."""

    n: int
    dice: float
    lo80: float | None
    hi80: float | None
    draws: int


@dataclass(frozen=True)
class ReplayCurve:
    """The curve of one network, strategy and length of training on one dataset."""

    dataset: str
    network: str
    strategy: str
    levels: tuple[Level, ...]
    cases: int
    """Test cases."""
    structures: int
    """Structures of them."""
    steps: str = ""
    """Training steps asked for, where the table holds runs of several."""
    trained: tuple[int, ...] = ()
    """Steps that the trainings took, each once; none where the table does not tell."""
    cut: int = 0
    """So many of the trainings made fewer steps than were asked for."""
    trainings: int = 0

    @property
    def name(self) -> str:
        """Network, strategy and steps, in words."""
        return f"{self.network}, {self.strategy}" + (f", {self.steps} steps" if self.steps else "")

    @property
    def flat(self) -> bool:
        """Whether the last of its sizes brought less than a point of Dice."""
        return len(self.levels) > 1 and self.levels[-1].dice - self.levels[-2].dice < FLAT

    @property
    def falls(self) -> bool:
        """Whether it took a point of Dice or more."""
        return len(self.levels) > 1 and self.levels[-2].dice - self.levels[-1].dice >= FLAT

    @property
    def exponent(self) -> float | None:
        """c of the power law `1 - Dice = A n^-c` through the levels, by least squares in logarithms."""
        inside = [level for level in self.levels if level.dice < 1]
        if len(inside) < 3:
            return None
        x = [math.log(level.n) for level in inside]
        return -linear_regression(x, [math.log(1 - level.dice) for level in inside]).slope


def read_replay(path: Path) -> list[ReplayCurve]:
    """Reads a replay's table.

    Raises:
        ReplayTableError: it is no text, a column is missing, a value is no number, a score is there twice and
            the table does not tell repeats from other runs, or there is no row with a Dice.
    """
    draws: dict[tuple[str, ...], dict[int, dict[str, list[float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    lengths: dict[tuple[str, ...], dict[_Training, int | None]] = defaultdict(dict)
    tested: dict[tuple[str, ...], set[tuple[str, str]]] = defaultdict(set)
    seen: dict[tuple[str | None, ...], int] = {}
    for number, row in _rows(path):
        dice = _dice(row, path, number)
        if dice is None:
            continue
        score = tuple(row.get(name) for name in SCORE)
        if score in seen:
            raise ReplayTableError(f"{path}, line {number} repeats line {seen[score]}; remove one of them")
        seen[score] = number
        key = (row["dataset"], row["network"], row["strategy"], steps_asked(row))
        tested[key].add((row["case"], row["structure"]))
        n = _size(row, path, number)
        lengths[key][n, row["draw"], row.get("seed")] = steps_of(row)
        draws[key][n][row["draw"]].append(dice)
    if not draws:
        raise ReplayTableError(f"{path} has no row with a Dice; run the replay first")
    several = len({steps for *_, steps in draws}) > 1
    return [
        ReplayCurve(
            dataset,
            network,
            strategy,
            tuple(_level(n, sizes[n].values()) for n in sorted(sizes)),
            cases=len({case for case, _ in tested[dataset, network, strategy, steps]}),
            structures=len({structure for _, structure in tested[dataset, network, strategy, steps]}),
            steps=steps if several else "",
            **_lengths(steps, lengths[dataset, network, strategy, steps]),
        )
        for (dataset, network, strategy, steps), sizes in sorted(draws.items(), key=_by_name_and_length)
    ]


def _lengths(asked: str, trainings: Mapping[_Training, int | None]) -> dict[str, Any]:
    """What a curve tells of how long its trainings were."""
    return {
        "trained": tuple(sorted({made for made in trainings.values() if made is not None})),
        "cut": sum(cut_short(n, asked, made) for (n, *_), made in trainings.items()),
        "trainings": len(trainings),
    }


def _by_name_and_length(item: tuple[tuple[str, ...], object]) -> tuple[object, ...]:
    (*names, steps), _ = item
    return (*names, whole_number(steps) or 0)


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The rows with their line numbers."""
    try:
        text = table_text(path)
    except UnicodeDecodeError:
        raise ReplayTableError(f"{path} is neither a table (CSV, UTF-8) nor a ledger") from None
    for number, row in rows_of(text, path):
        lacking = [name for name in COLUMNS if name not in row]
        if lacking:
            raise ReplayTableError(
                f"{path} is no table of `scaling-app replay`: it has no column {', '.join(lacking)}; "
                "of other curves `scaling-app forecast` makes a forecast"
            )
        yield number, row


def _dice(row: Mapping[str, str], path: Path, number: int) -> float | None:
    try:
        dice = score_of(row["dice"], "dice")
    except CurveError:
        dice = math.nan
    if dice is not None and not 0 <= dice <= 1:
        raise ReplayTableError(
            f"{path}, line {number}: dice must be a number from 0 to 1, got {row['dice']!r}"
        )
    return dice


def _size(row: Mapping[str, str], path: Path, number: int) -> int:
    n = whole_of(row["n"])
    if n is None or not 1 <= n <= MOST_CASES:
        raise ReplayTableError(
            f"{path}, line {number}: n must be a whole number from 1 to {MOST_CASES}, got {row['n']!r}"
        )
    return n


def _level(n: int, draws: Iterable[list[float]]) -> Level:
    means = [fmean(scores) for scores in draws]
    mean = fmean(means)
    if len(means) < 2:
        return Level(n, mean, None, None, len(means))
    half = float(student.ppf(0.9, len(means) - 1)) * stdev(means) / math.sqrt(len(means))
    return Level(n, mean, max(0.0, mean - half), min(1.0, mean + half), len(means))
