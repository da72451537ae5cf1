"""Tables from `run.py`'s runs: Dice of each arm, and paired differences with 80 % intervals.

A difference is the mean over test cases and structures within a draw; intervals come from resampling
draws and, within them, test cases (both, because both are few).
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

PAIRS = (("genseg", "none"), ("genseg", "separate"), ("genseg", "baseline"), ("genda+genseg", "genda"))
RESAMPLES = 2000

Scores = dict[tuple[str, ...], dict[int, dict[str, float]]]  # (task, network, n, arm) -> draw -> case -> Dice


def main() -> None:
    """Writes the tables as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    scores, seconds = read(options.runs)
    lines = ["| task | network | n | arm | draws | Dice | CPU s |", "|---|---|---|---|---|---|---|"]
    for key, draws in scores.items():
        task, network, n, arm = key
        values = [100 * np.mean(list(cases.values())) for cases in draws.values()]
        each = ", ".join(f"{v:.1f}" for v in values)
        lines.append(
            f"| {task} | {network} | {n} | {arm} | {len(draws)} | {np.mean(values):.1f} ({each}) "
            f"| {np.mean(seconds[key]):.0f} |"
        )
    lines += [
        "",
        "| task | network | n | difference | draws | points | 80 % interval |",
        "|---|---|---|---|---|---|---|",
    ]
    for task, network, n in dict.fromkeys(key[:3] for key in scores):
        for one, other in PAIRS:
            lines += difference_row(scores, (task, network, n), one, other)
    options.out.write_text("\n".join(lines) + "\n")


def read(path: Path) -> tuple[Scores, dict[tuple[str, ...], list[float]]]:
    """Mean Dice over structures, per (task, network, n, arm), draw and case; seconds per run."""
    found: dict = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    seconds: dict = defaultdict(dict)
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            key = (row["task"], row["network"], row["n"], row["arm"])
            seconds[key][row["draw"]] = float(row["cpu_seconds"])
            if row["dice"]:
                found[key][int(row["draw"])][row["case"]].append(float(row["dice"]))
    scores = {
        key: {draw: {case: float(np.mean(v)) for case, v in cases.items()} for draw, cases in draws.items()}
        for key, draws in found.items()
    }
    return scores, {key: list(by_draw.values()) for key, by_draw in seconds.items()}


def difference_row(scores: Scores, where: tuple[str, str, str], one: str, other: str) -> list[str]:
    """One line of the second table, or none where an arm is missing."""
    first, second = scores.get((*where, one)), scores.get((*where, other))
    if not first or not second:
        return []
    gains = []
    for draw in sorted(first.keys() & second.keys()):
        shared = sorted(first[draw].keys() & second[draw].keys())
        gains.append(100 * np.array([first[draw][c] - second[draw][c] for c in shared]))
    low, high = interval(gains)
    mean = np.mean([g.mean() for g in gains])
    task, network, n = where
    return [
        f"| {task} | {network} | {n} | {one} - {other} | {len(gains)} | {mean:+.1f} | {low:+.1f} to {high:+.1f} |"
    ]


def interval(gains: list[np.ndarray]) -> tuple[float, float]:
    """80 % bootstrap interval of the mean over draws and cases."""
    rng = np.random.default_rng(0)
    means = []
    for _ in range(RESAMPLES):
        draws = rng.integers(len(gains), size=len(gains))
        means.append(
            np.mean([gains[d][rng.integers(len(gains[d]), size=len(gains[d]))].mean() for d in draws])
        )
    return tuple(np.percentile(means, [10, 90]))


if __name__ == "__main__":
    main()
