"""The table of runs as Markdown: `python benchmarks/engine/table.py [results/runs.csv] > results/runs.md`."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

RUNS = Path(__file__).resolve().parent / "results" / "runs.csv"


def table(runs: pd.DataFrame) -> str:
    """One line for each task, size, budget and candidate; means over its draws, with how many there are."""
    whole = runs[(runs["share"] == 1) & (runs["weights"] == "average")]
    half = runs[(runs["share"] == 0.5) & (runs["weights"] == "average")]
    keys = ["task", "n", "seconds", "candidate"]
    lines = [
        "| task | n | CPU s | candidate | Dice | at half time | steps | loss | loader | draws | cases |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    middle = half.groupby(keys)["dice"].mean()
    for key, rows in whole.groupby(keys):
        mean = rows.mean(numeric_only=True)
        lines.append(
            f"| {key[0]} | {key[1]} | {key[2]:.0f} | {key[3]} | {mean['dice']:.3f} | {middle[key]:.3f} | "
            f"{mean['steps']:.0f} | {mean['loss']:.2f} | {100 * mean['loader_share']:.0f} % | {len(rows)} | {mean['cases']:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(pd.read_csv(sys.argv[1] if len(sys.argv) > 1 else RUNS)))
