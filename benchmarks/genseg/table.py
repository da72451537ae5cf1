"""Tables from `run.py`'s runs: Dice of each arm, paired differences, and kappa.

    python -m benchmarks.genseg.table runs.csv --out benchmarks/genseg/results

Dice and kappa with 95 % intervals, differences with 80 % and 95 % ones, over label draws and test patients; of one draw
over test patients alone.
Kappa is read off the baseline's own curve where that has two sizes, and bounded by them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.common.data_sets import BY_NAME
from benchmarks.common.paired_runs import Measured, Runs, draws_of, said
from benchmarks.common.tables import markdown
from benchmarks.genseg.run import ARMS, TASKS
from scaling_app.experiments.cohort import patient_of

PAIRS = (
    ("genseg", "none"),
    ("genseg", "baseline"),
    ("genseg", "separate"),
    ("genseg without proof", "none"),
    ("genseg without proof", "separate"),
    ("genda+genseg", "none"),
    ("genda+genseg", "baseline"),
    ("genda+genseg", "genda"),
    ("genda+genseg", "genda with carried labels"),
    ("genda+genseg without proof", "none"),
    ("genda+genseg without proof", "baseline"),
    ("genda+genseg without proof", "genseg without proof"),
    ("genda+genseg without proof", "genda with carried labels"),
    ("genda+genseg without proof", "genda+genseg without carrying"),
    ("genda+genseg without carrying", "none"),
    ("genda+genseg without carrying", "baseline"),
    ("genda+genseg without carrying", "genda"),
    ("genda with carried labels", "baseline"),
    ("genseg+fields", "none"),
    ("genseg+fields", "baseline"),
    ("genseg+fields", "genseg without proof"),
)
SHOWN = (
    ("genseg", "none"),
    ("genseg", "baseline"),
    ("genseg", "separate"),
    ("genseg without proof", "none"),
    ("genseg without proof", "baseline"),
    ("genseg without proof", "separate"),
    ("genseg+fields", "none"),
    ("genda+genseg", "none"),
    ("genda+genseg", "baseline"),
)
"""Pairs in the figure, as far as they are there."""
SHOWN_STEPS = 400
"""Length of the trainings in the figure."""


def main() -> None:
    """Writes `dice.md`, `differences.md` and `differences.png`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    levels, differences, shown = [], [], []
    table = read(options.runs)
    for (task, network, steps), found in table.groupby(["task", "network", "steps"], sort=False):
        runs = Runs(found, "dice", tuple(ARMS))
        for position, n in enumerate(runs.sizes):
            where = {"task": task, "network": network, "steps": str(steps), "n": str(n)}
            seconds = found[found["n"] == n].groupby("strategy")["cpu_seconds"].mean()
            levels += [where | line for line in levels_of(runs, position, seconds)]
            made = differences_of(runs, position)
            differences += [where | difference.line() for difference in made]
            if steps == SHOWN_STEPS:
                name = f"{task}, n = {n}" if network == "unet" else f"{task}, n = {n}, {network}"
                shown += [(name, difference) for difference in made if difference.pair in SHOWN]
    draw_figure(shown, options.out / "differences.png")
    for name, lines in (("dice", levels), ("differences", differences)):
        text = markdown(lines) + "\n"
        (options.out / f"{name}.md").write_text(text)
        print(text)


def read(path: Path) -> pd.DataFrame:
    """The runs in the terms of `paired_runs`."""
    table = pd.read_csv(path).rename(columns={"arm": "strategy"})
    patterns = {name: BY_NAME[task.folder].patient for name, task in TASKS.items()}
    table["patient"] = [
        patient_of(case, patterns.get(task)) for case, task in zip(table["case"], table["task"], strict=True)
    ]
    return table


class Difference(NamedTuple):
    """Points of Dice of one arm over another, with the 80 % and the 95 % interval."""

    one: str
    other: str
    draws: int
    at80: Measured
    at95: Measured

    @property
    def pair(self) -> tuple[str, str]:
        """Which arms."""
        return self.one, self.other

    def line(self) -> dict[str, str]:
        """A line of the table."""
        return {
            "difference": f"{self.one} - {self.other}",
            "draws": str(self.draws),
            "points": f"{self.at80[0]:+.1f}",
            **{
                name: "-" if np.isnan(low) else f"{low:+.1f} to {high:+.1f}"
                for name, (_, low, high) in (("80 %", self.at80), ("95 %", self.at95))
            },
        }


def draw_figure(rows: list[tuple[str, Difference]], out: Path) -> None:
    """The pairs of `SHOWN` that are there: a row per task, mean with 80 % (thick) and 95 % intervals (thin)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    tasks = list(dict.fromkeys(task for task, _ in rows))
    pairs = [pair for pair in SHOWN if any(found.pair == pair for _, found in rows)]
    figure, axes = plt.subplots(
        1, len(pairs), figsize=(16, 0.32 * len(tasks) + 1.2), sharey=True, layout="constrained"
    )
    for axis, pair in zip(axes, pairs, strict=True):
        for task, found in rows:
            if found.pair == pair:
                y = tasks.index(task)
                axis.plot(found.at95[1:], [y, y], color="#0b5394", lw=1)
                axis.plot(found.at80[1:], [y, y], color="#0b5394", lw=3)
                axis.plot(found.at80[0], y, "o", color="#0b5394", ms=6)
        axis.axvline(0, color="#7f7f7f", lw=0.8)
        low, high = axis.get_xlim()
        axis.set_xlim(min(low, -1), max(high, 1))  # where all are zero the ticks would be far too fine
        axis.set(title="\n- ".join(pair), xlabel="points of Dice")
    axes[0].set_yticks(range(len(tasks)), tasks)
    axes[0].invert_yaxis()
    figure.savefig(out, dpi=100)
    plt.close(figure)


def levels_of(runs: Runs, position: int, seconds: pd.Series) -> list[dict[str, str]]:
    """One line for each arm at a size."""
    lines = []
    for arm in runs.arms:
        scores = runs.of(arm)[position]
        if np.isnan(scores).all():
            continue
        mean, low, high = (100 * v for v in runs.mean(scores))
        kappa = runs.kappa(arm, position) if arm != "baseline" else (np.nan,) * 3
        lines.append(
            {
                "arm": arm,
                "draws": str(len(draws_of(scores))),
                "Dice": said((mean, low, high), 1),
                "kappa": "" if np.isnan(kappa[0]) else said(kappa, 2),
                "CPU s": f"{seconds[arm]:.0f}",
            }
        )
    return lines


def differences_of(runs: Runs, position: int) -> list[Difference]:
    """Every pair of arms that were both trained at a size."""
    found = []
    remedies = [arm for arm in runs.arms if arm.startswith("genseg ")]
    others = ("genseg without proof", "baseline")
    for one, other in (*PAIRS, *((a, b) for b in others for a in remedies if a != b)):
        if one not in runs.arms or other not in runs.arms:
            continue
        pair = [runs.of(arm)[position] for arm in (one, other)]
        if draws := len(draws_of(pair[0] - pair[1])):
            intervals = [runs.difference(*pair, level) for level in (0.8, 0.95)]
            found.append(Difference(one, other, draws, *intervals))
    return found


if __name__ == "__main__":
    main()
