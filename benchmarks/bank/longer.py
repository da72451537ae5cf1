"""Train longer, or label more? What each gains on the bank's data sets; used by `figures.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.common.paired_runs import Measured, Runs, draws_of, said


@dataclass(frozen=True)
class Longer:
    """What four times the steps, and four times the cases, gain on one data set, and how much more the steps do.

    Each: mean, low, high, points of Dice; None where nothing was trained on four times the cases.
    """

    dataset: str
    n: int
    draws: int
    cases: int
    patients: int
    by_steps: Measured
    by_cases: Measured | None
    more: Measured | None


def longer_trainings(short: pd.DataFrame, long: pd.DataFrame) -> list[Longer]:
    """Paired gains at every size that has long trainings, on the draws that both have."""
    found = []
    both = pd.concat([short.assign(strategy="short"), long.assign(strategy="long")])
    for dataset, rows in both.groupby("dataset"):
        runs = Runs(rows, "dice", ())
        if runs.arms != ["long", "short"]:
            continue
        longer, shorter = (dict(zip(runs.sizes, runs.of(arm), strict=True)) for arm in runs.arms)
        for n in runs.sizes:
            draws = draws_of(longer[n] - shorter[n])
            if not len(draws):
                continue
            steps, here = longer[n][draws], shorter[n][draws]
            gains = [runs.difference(steps, here), None, None]
            if 4 * n in shorter and len(draws_of(cases := shorter[4 * n][draws])) == len(draws):
                gains[1:] = runs.difference(cases, here), runs.difference(steps, cases)
            found.append(Longer(dataset, n, len(draws), len(runs.cases), len(runs.patients), *gains))
    return found


def longer_rows(found: Sequence[Longer]) -> list[dict[str, str]]:
    """The same as a table."""
    return [
        {
            "data set": one.dataset,
            "cases": str(one.n),
            "draws": str(one.draws),
            "test cases": str(one.cases),
            "patients": str(one.patients),
            "4 times the steps": said(one.by_steps, 1, "+"),
            "4 times the cases": said(one.by_cases, 1, "+") if one.by_cases else "-",
            "the steps more": said(one.more, 1, "+") if one.more else "-",
        }
        for one in found
    ]


def draw_longer(found: Sequence[Longer], out: Path) -> Path:
    """One panel per size: both gains of each data set with their intervals."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    sizes = sorted({one.n for one in found})
    names = sorted({one.dataset for one in found}, reverse=True)
    figure, axes = plt.subplots(1, len(sizes), figsize=(10, 3.6), sharey=True, layout="constrained")
    for axis, n in zip(axes, sizes, strict=True):
        here = [one for one in found if one.n == n]
        for aside, colour, label, gains in (
            (0.16, "#c0504d", "4 times the steps", {one.dataset: one.by_steps for one in here}),
            (
                -0.16,
                "#0b5394",
                "4 times the cases",
                {one.dataset: one.by_cases for one in here if one.by_cases},
            ),
        ):
            mean, low, high = np.array([*gains.values()]).T
            rows = np.array([names.index(name) for name in gains]) + aside
            bars = np.nan_to_num([mean - low, high - mean])
            axis.errorbar(mean, rows, xerr=bars, fmt="o", ms=4, lw=1.2, color=colour, label=label)
        axis.axvline(0, color="#999999", lw=0.8)
        axis.set(title=f"from {n} cases", xlabel="points of Dice gained")
    axes[0].set_yticks(range(len(names)), names)
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize="small", loc="outside upper center", ncols=2)
    path = out / "bank_longer.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
