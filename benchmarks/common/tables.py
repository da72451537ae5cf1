"""Results as tables: written once, read back when a part is not run again."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from scaling_app.forecast.means import clustered_error

Row = Mapping[str, object]


def write(path: Path, rows: Sequence[Row]) -> None:
    """Writes rows that share their keys; floats with four decimals."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()})
    part.replace(path)


def add_rows(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Adds rows to a table, which is begun where there is none."""
    fresh = not path.is_file()
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        if fresh:
            writer.writeheader()
        writer.writerows(rows)


def finished(path: Path, key: Sequence[str]) -> dict[tuple[str, ...], dict[str, str]]:
    """The rows of a table that grows by runs, by what tells a run; none where there is no table yet."""
    return {tuple(row[name] for name in key): row for row in read(path)} if path.is_file() else {}


def read(path: Path) -> list[dict[str, str]]:
    """Reads rows back, as text."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def markdown(rows: Sequence[Mapping[str, object]]) -> str:
    """The same as a Markdown table."""
    head = list(rows[0])
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = (f"{v:.2f}" if isinstance(v, float) else str(v) for v in row.values())
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def task_mean(values: np.ndarray, tasks: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Mean over tasks of the task means, with a t interval over tasks, of 95 % unless told; no ends for one task alone.

    The percentiles of a bootstrap of eight tasks lie too close together (T. Hesterberg, "What Teachers Should Know About the
    Bootstrap", The American Statistician 69(4), 2015).
    """
    names, index = np.unique(tasks, return_inverse=True)
    means = np.bincount(index, values) / np.bincount(index)
    if len(names) == 1:
        return float(means[0]), float("nan"), float("nan")
    half = float(student.ppf((1 + level) / 2, len(names) - 1) * means.std(ddof=1) / np.sqrt(len(names)))
    return float(means.mean()), float(means.mean()) - half, float(means.mean()) + half


def with_interval(
    values: np.ndarray, tasks: np.ndarray, scale: float = 100.0, least: float = -np.inf, most: float = np.inf
) -> str:
    """`mean [lo, hi]` over tasks, in points; the ends lie within what is possible."""
    mean, lo, hi = task_mean(np.asarray(values, dtype=float), tasks)
    return f"{scale * mean:.2f} [{scale * max(lo, least):.2f}, {scale * min(hi, most):.2f}]"


def errors(values: np.ndarray, tasks: np.ndarray) -> str:
    """The same of absolute errors."""
    return with_interval(np.abs(values), tasks, least=0.0)


def held(inside: np.ndarray, tasks: np.ndarray) -> str:
    """The same of shares, no points; where every task says 1, or every task 0, the Wilson interval of so many tasks."""
    mean = float(np.mean(inside))
    if mean in (0.0, 1.0):
        low, high = _wilson(mean, len(np.unique(tasks)))
        return f"{mean:.2f} [{low:.2f}, {high:.2f}]"
    return with_interval(inside, tasks, 1.0, least=0.0, most=1.0)


def share(successes: int, trials: int) -> str:
    """`k/n = p [lo, hi]` with a 95 % Wilson interval, of independent trials; `-` without trials."""
    if trials == 0:
        return "-"
    low, high = _wilson(successes / trials, trials)
    return f"{successes}/{trials} = {successes / trials:.2f} [{low:.2f}, {high:.2f}]"


def clustered_share(successes: np.ndarray, clusters: np.ndarray) -> str:
    """The same of trials that are alike within clusters: as wide as of the fewer independent ones that they come to.

    Where all succeed, or none, nothing shows how alike they are: then each cluster counts as one trial.

    Reference: E. Korn, B. Graubard, Survey Methodology 24(2), 1998.
    """
    if len(successes) == 0:
        return "-"
    outcome = np.asarray(successes, dtype=float)
    names, index = np.unique(clusters, return_inverse=True)
    mean, trials = float(outcome.mean()), float(len(names))
    if 0.0 < mean < 1.0 and len(names) > 1:
        error = clustered_error(outcome, np.ones(len(outcome)), index)
        few = (norm.ppf(0.975) / student.ppf(0.975, len(names) - 1)) ** 2
        trials = min(float(len(outcome)), few * mean * (1.0 - mean) / max(error**2, 1e-12))
    low, high = _wilson(mean, trials)
    return f"{int(outcome.sum())}/{len(outcome)} = {mean:.2f} [{low:.2f}, {high:.2f}]"


def _wilson(mean: float, trials: float) -> tuple[float, float]:
    """The 95 % interval of a share of so many independent trials, whole or not."""
    z = float(norm.ppf(0.975))
    centre = (mean + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * float(np.sqrt(mean * (1 - mean) / trials + z**2 / (4 * trials**2)))
    return max(0.0, centre - half), min(1.0, centre + half)
