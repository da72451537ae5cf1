"""Does a run know its end? What it could see of itself against what four times the steps bring.

    python -m benchmarks.engine.own_end > benchmarks/engine/results/own_end.md

For each branch of `lengths.csv` whose run has one at four times its steps: the gain between the two, beside what stood in
the row of the shorter one. A signal that knows falls or rises with the gain in most tasks; the interval is over tasks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from benchmarks.common.tables import markdown

LENGTHS = Path(__file__).resolve().parent / "results" / "lengths.csv"
CELL = ["task", "n", "draw", "candidate"]
TIMES = 4
WITHIN = 0.01
"""Dice: what four times the steps may bring where a run was long enough."""
RESAMPLES = 2000
SIGNALS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "loss of its own batches": lambda t: t["train_loss"],
    "loss of the mean of its weights, plain patches": lambda t: t["mean_loss"],
    "fall of that loss since half the steps, as a share": lambda t: t["fall"],
    "slower mean's loss over the mean's": lambda t: t["slow_loss"] / t["mean_loss"],
    "agreement of last weights and mean": lambda t: t["agreement"],
    "agreement of two means": lambda t: t["slow_agreement"],
    "passes over its cases' voxels": lambda t: t["passes"],
}


def pairs(lengths: pd.DataFrame) -> pd.DataFrame:
    """Branches with their gain `gain` by `TIMES` the steps, in Dice."""
    table = lengths.copy()
    patch = table["patch"].map(lambda text: np.prod([int(side) for side in text.split("x")]))
    table["passes"] = table["trunk"] * table["batch"] * patch / table["voxels"]
    before = table[[*CELL, "trunk", "mean_loss"]].assign(trunk=2 * table["trunk"])
    later = table[[*CELL, "trunk", "dice"]].assign(trunk=table["trunk"] / TIMES)
    table = table.merge(later, on=[*CELL, "trunk"], suffixes=("", "_later"))
    table = table.merge(before, on=[*CELL, "trunk"], how="left", suffixes=("", "_before"))
    return table.assign(
        gain=table["dice_later"] - table["dice"], fall=1 - table["mean_loss"] / table["mean_loss_before"]
    )


def interval(table: pd.DataFrame, values: pd.Series) -> tuple[float, float, float]:
    """Spearman's correlation of a signal with the gain, and its 95 % interval by drawing tasks anew."""
    generator = np.random.default_rng(0)
    rows = [np.flatnonzero(table["task"] == task) for task in table["task"].unique()]
    drawn = []
    for _ in range(RESAMPLES):
        chosen = np.concatenate([rows[k] for k in generator.integers(len(rows), size=len(rows))])
        drawn.append(_rank_correlation(values.iloc[chosen], table["gain"].iloc[chosen]))
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return _rank_correlation(values, table["gain"]), low, high


def _rank_correlation(values: pd.Series, gains: pd.Series) -> float:
    if values.nunique() < 2 or gains.nunique() < 2:
        return np.nan
    return float(spearmanr(values, gains).statistic)


def report(table: pd.DataFrame) -> str:
    """The table in Markdown."""
    signals = []
    for name, signal in SIGNALS.items():
        values = signal(table)
        known = values.notna()
        mean, low, high = interval(table[known], values[known])
        signals.append(
            {
                "signal": name,
                "pairs": known.sum(),
                "tasks": table.loc[known, "task"].nunique(),
                "rank correlation with the gain": f"{mean:.2f} ({low:.2f} to {high:.2f})",
            }
        )
    lengths = [
        {
            "task": row["task"],
            "n": row["n"],
            "steps": row["steps"],
            "Dice": f"{row['dice']:.3f}",
            "gain by four times the steps, points": f"{100 * row['gain']:+.1f}",
            "within a point": "yes" if row["gain"] <= WITHIN else "no",
        }
        for _, row in table.iterrows()
    ]
    title = "# What a run sees of itself, and what four times the steps bring"
    return f"{title}\n\n{markdown(signals)}\n\n{markdown(lengths)}"


if __name__ == "__main__":
    print(report(pairs(pd.read_csv(sys.argv[1] if len(sys.argv) > 1 else LENGTHS))))
