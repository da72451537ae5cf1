"""Figures of the measurements (matplotlib), read from the tables."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from benchmarks.common.tables import read

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
    if (folder / "bank.csv").exists():
        _at_twice(folder)
    if (folder / "bank_by_task.csv").exists():
        _by_task(folder)
    if (folder / "app_sessions_forecasts.csv").exists():
        _app_sessions(folder)


_SHOWN = {"bayes": "this app", "power_law": "a power law", "last_value": "the last value"}
"""The methods that README shows, in its words."""


def _at_twice(folder: Path) -> None:
    """For twice the cases: points off, and how often the 80 % range holds, of gain and level."""
    rows = [row for row in read(folder / "bank.csv") if row["horizon"] == "x2"]
    sizes = sorted({int(row["N"]) for row in rows})
    panels = {
        "gain": ("gain MAE points", "gain coverage 80%", "gain 80% as shown"),
        "Dice reached": ("level MAE points", "coverage 80%", "80% as shown"),
    }
    figure, axes = plt.subplots(2, 2, figsize=(8.4, 5.2), layout="constrained", sharex=True, sharey="row")
    for column, (what, (error, held, shown)) in enumerate(panels.items()):
        off, share = axes[:, column]
        off.set_title(f"{what}, forecast for twice the cases", fontsize=10)
        share.axhline(0.8, color="#999999", lw=1, zorder=0)
        for index, (method, label) in enumerate(_SHOWN.items()):
            own = {int(row["N"]): row for row in rows if row["method"] == method}
            for axis, key, face, aside in (
                (off, error, None, 0.0),
                (share, held, None, 0.0),
                (share, shown, "white", 0.07),
            ):
                at = [position + 0.2 * (index - 1) + aside for position in range(len(sizes))]
                values = [_value(own[n][key]) for n in sizes]
                axis.errorbar(
                    at, [v[0] for v in values], _bars(values), fmt="o", ms=6, color=COLOURS[method], mfc=face, capsize=2,
                    lw=1.2, label=label if axis is off else None,
                )  # fmt: skip
        share.set_xticks(range(len(sizes)), [str(n) for n in sizes])
        share.set_xlabel("cases at hand")
    axes[0, 0].set_ylabel("points of Dice off")
    axes[0, 0].set_ylim(bottom=0)
    axes[1, 0].set_ylabel("share that 80 % ranges hold\n(hollow: as shown)")
    axes[1, 0].set_ylim(-0.03, 1.03)
    axes[0, 1].legend(fontsize=9)
    figure.savefig(folder / "bank_at_twice.png", dpi=130)
    plt.close(figure)


def _by_task(folder: Path) -> None:
    """Level and gain error per data set beside what the truth itself is off by."""
    rows = read(folder / "bank_by_task.csv")
    tasks = sorted({row["data set"] for row in rows})
    sizes = sorted({int(row["N"]) for row in rows})
    kinds = (
        ("level, points", "level MAE points", "truth's own error", "these cases known"),
        ("gain, points", "gain MAE points", "gain: truth's own error", "gain: these cases known"),
    )
    figure, axes = plt.subplots(
        2, len(sizes), figsize=(3.6 * len(sizes), 6), layout="constrained", sharex=True, sharey="row"
    )
    for column, n in enumerate(sizes):
        own = {row["data set"]: row for row in rows if int(row["N"]) == n}
        places = [i for i, task in enumerate(tasks) if task in own]
        shown = [own[tasks[i]] for i in places]
        for line, (title, error, truth, known) in enumerate(kinds):
            axis, values = axes[line, column], [_value(row[error])[0] for row in shown]
            axis.bar(places, values, color="#9fc5e8", label="forecast's error (MAE)")
            axis.plot(
                places, [float(row[known]) for row in shown], "k_", ms=13, mew=2, label="these cases known"
            )
            axis.plot(
                places, [float(row[truth]) for row in shown], ".", color="#c0504d", label="truth's own error"
            )
            axis.set_title(f"N = {n}, at 2 N: {title}", fontsize=9)
            axis.set_xticks(range(len(tasks)), tasks, rotation=60, ha="right", fontsize=7)
    axes[0, -1].legend(fontsize=7)
    figure.savefig(folder / "bank_by_task.png", dpi=110)
    plt.close(figure)


def _app_sessions(folder: Path) -> None:
    """Left: forecast against outcome. Right: share of outcomes that central intervals held."""
    forecasts = read(folder / "app_sessions_forecasts.csv")
    held = read(folder / "app_sessions_reliability.csv")
    figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
    marks = {"8": ("#e69138", "o"), "16": ("#0b5394", "s")}
    for n, (colour, mark) in marks.items():
        own = [row for row in forecasts if row["N"] == n and int(row["n"]) > int(n)]
        x, y = ([100 * float(row[key]) for row in own] for key in ("forecast", "measured"))
        bars = [[abs(100 * float(r[k]) - v) for r, v in zip(own, x, strict=True)] for k in ("lo80", "hi80")]
        axes[0].errorbar(
            x, y, xerr=bars, fmt=mark, ms=4, lw=0.7, color=colour, alpha=0.8, label=f"forecast at N = {n}"
        )
        for axis, quantity in ((axes[1], "level"), (axes[2], "gain")):
            rows = [row for row in held if row["N"] == n and row["quantity"] == quantity]
            shares = [tuple(float(v) for v in re.findall(r"[\d.]+", r["held"].split("=")[1])) for r in rows]
            nominal = [float(row["nominal"]) + (0.006 if n == "16" else -0.006) for row in rows]
            bars = [[s[0] - s[1] for s in shares], [s[2] - s[0] for s in shares]]
            axis.errorbar(nominal, [s[0] for s in shares], yerr=bars, fmt=mark, ms=4, lw=0.8, color=colour)
            axis.set_title(f"{quantity}: share held by central intervals", fontsize=9)
            axis.set_xlabel("nominal", fontsize=8)
            axis.plot([0, 1], [0, 1], color="#999999", lw=0.8, zorder=0)
    low, high = axes[0].get_ylim()
    axes[0].plot([low, high], [low, high], color="#999999", lw=0.8, zorder=0)
    axes[0].set_xlabel("forecast Dice, points (80 % interval)", fontsize=8)
    axes[0].set_ylabel("measured Dice of exactly that many cases", fontsize=8)
    axes[0].set_title("every order, every later size", fontsize=9)
    axes[0].legend(fontsize=7)
    figure.savefig(folder / "app_sessions.png", dpi=110)
    plt.close(figure)


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
        2, len(sizes), figsize=(4 * len(sizes), 6.5), layout="constrained", sharey="row", squeeze=False
    )
    for column, n in enumerate(sizes):
        for method, colour in COLOURS.items():
            own = [row for row in rows if row["method"] == method and int(row["N"]) == n]
            for line, key in enumerate(("level MAE points", "gain MAE points")):
                values = [_value(row[key]) for row in own]
                axes[line, column].errorbar(
                    range(len(own)), [v[0] for v in values], yerr=_bars(values) if method == "bayes" else None,
                    color=colour, marker="o", ms=3, capsize=2, label=method, lw=2 if method == "bayes" else 1,
                )  # fmt: skip
        axes[0, column].set_title(f"N = {n}: level MAE, points")
        axes[1, column].set_title(f"N = {n}: gain MAE, points")
        ticks = [row["horizon"] for row in rows if row["method"] == "bayes" and int(row["N"]) == n]
        for line in (0, 1):
            axes[line, column].set_xticks(range(len(ticks)), ticks)
            axes[line, column].set_ylim(bottom=0)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)
    figure.savefig(folder / f"{name}.png", dpi=110)
    plt.close(figure)


def _bars(values: list[tuple[float, float, float]]) -> list[list[float]]:
    return [[v[0] - v[1] for v in values], [v[2] - v[0] for v in values]]
