"""Results as tables: written once, read back when a part is not run again."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

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


def task_mean(values: np.ndarray, tasks: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean over tasks of the task means, with a 95 % bootstrap interval over tasks."""
    names, index = np.unique(tasks, return_inverse=True)
    means = np.bincount(index, values) / np.bincount(index)
    resampled = means[np.random.default_rng(seed).integers(len(names), size=(2000, len(names)))].mean(1)
    lo, hi = np.quantile(resampled, [0.025, 0.975])
    return float(means.mean()), float(lo), float(hi)


def with_interval(values: np.ndarray, tasks: np.ndarray, scale: float = 100.0) -> str:
    """`mean [lo, hi]` over tasks, in points."""
    mean, lo, hi = (scale * v for v in task_mean(np.asarray(values, dtype=float), tasks))
    return f"{mean:.2f} [{lo:.2f}, {hi:.2f}]"


def share(successes: int, trials: int) -> str:
    """`k/n = p [lo, hi]` with a 95 % Wilson interval; `-` without trials."""
    if trials == 0:
        return "-"
    interval = binomtest(successes, trials).proportion_ci(method="wilson")
    return f"{successes}/{trials} = {successes / trials:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
