"""Figures of the measurements (matplotlib), read from the tables."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from tables import read

COLOURS = {
    "bayes": "#0b5394", "last_value": "#7f7f7f", "power_law": "#c0504d", "power_law_floor": "#e69138", "exponential": "#8e7cc3",
    "mmf": "#6aa84f", "gp": "#45818e", "lstm": "#a64d79",
}  # fmt: skip
_NUMBER = re.compile(r"^([-\d.]+) \[([-\d.]+), ([-\d.]+)\]$")


def draw_all(folder: Path) -> None:
    """Draws what there are tables for."""
    if (folder / "extrapolation.csv").exists():
        _extrapolation(folder)
    for name in ("sessions_simulated", "sessions_real", "bank"):
        if (folder / f"{name}.csv").exists():
            _sessions(folder, name)


def _value(text: str) -> tuple[float, float, float]:
    found = _NUMBER.match(text)
    if found is None:
        return (float("nan"),) * 3
    mean, lo, hi = (float(v) for v in found.groups())
    return mean, lo, hi


def _extrapolation(folder: Path) -> None:
    rows = read(folder / "extrapolation.csv")
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    for method, colour in COLOURS.items():
        own = [row for row in rows if row["method"] == method]
        if not own:
            continue
        x = range(len(own))
        mae = [_value(row["MAE points"]) for row in own]
        axes[0].errorbar(
            x,
            [m[0] for m in mae],
            yerr=_bars(mae),
            color=colour,
            marker="o",
            label=method,
            capsize=2,
            lw=2 if method == "bayes" else 1,
        )
        covered = [_value(row["coverage 80%"]) for row in own]
        axes[1].errorbar(
            x,
            [c[0] for c in covered],
            yerr=_bars(covered),
            color=colour,
            marker="o",
            capsize=2,
            lw=2 if method == "bayes" else 1,
        )
    axes[1].axhspan(0.76, 0.86, color="#dddddd", zorder=0)
    for axis, title in zip(
        axes, ("mean absolute error, points", "coverage of the conformal 80 % interval"), strict=True
    ):
        axis.set_xticks(range(3), ["x2", "x4", "x8"])
        axis.set_title(title)
    axes[0].legend(fontsize=8)
    figure.savefig(folder / "extrapolation.png", dpi=110)
    plt.close(figure)


def _sessions(folder: Path, name: str) -> None:
    rows = read(folder / f"{name}.csv")
    sizes = sorted({int(row["N"]) for row in rows})
    figure, axes = plt.subplots(
        2, len(sizes), figsize=(4 * len(sizes), 6.5), constrained_layout=True, sharey="row", squeeze=False
    )
    for column, n in enumerate(sizes):
        for method, colour in COLOURS.items():
            own = [row for row in rows if row["method"] == method and int(row["N"]) == n]
            for line, key in enumerate(("level MAE points", "gain MAE points")):
                values = [_value(row[key]) for row in own]
                axes[line, column].errorbar(
                    range(len(own)), [v[0] for v in values], yerr=_bars(values), color=colour, marker="o", ms=3, capsize=2,
                    label=method, lw=2 if method == "bayes" else 1,
                )  # fmt: skip
        axes[0, column].set_title(f"N = {n}: level MAE, points")
        axes[1, column].set_title(f"N = {n}: gain MAE, points")
        ticks = [row["horizon"] for row in rows if row["method"] == "bayes" and int(row["N"]) == n]
        for line in (0, 1):
            axes[line, column].set_xticks(range(len(ticks)), ticks)
            axes[line, column].set_ylim(0, 12 if line == 0 else 6)
    axes[0, 0].legend(fontsize=7)
    figure.savefig(folder / f"{name}.png", dpi=110)
    plt.close(figure)


def _bars(values: list[tuple[float, float, float]]) -> list[list[float]]:
    return [[v[0] - v[1] for v in values], [v[2] - v[0] for v in values]]
