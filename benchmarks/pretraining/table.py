"""The pairs as Markdown: `python -m benchmarks.pretraining.table > benchmarks/pretraining/results/table.md`.

Dice is the mean over test cases and structures, in points; brackets hold 95 % intervals that draw test patients (and
the draws, where there are several) anew. Of a pair that lacks one of its runs nothing is shown.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.common.paired_runs import Runs, draws_of
from benchmarks.engine.run import TASKS

RESULTS = Path(__file__).parent / "results"
RULED = ("shapes-half", "self-half")
"""Arms that are held against the rule, one for each of what a start may have seen."""
GAIN, COST, SETS = 2.0, -0.5, 5
"""The rule: at least so many points on so many sets, and on no set less than the cost."""

_LEVEL = 0.95


def pairs_of(scores: pd.DataFrame, task: str, arm: str) -> tuple[Runs, np.ndarray] | None:
    """One task's scores, and `(size, draw, case, structure)` by how much an arm is above fresh weights."""
    rows = scores[(scores["task"] == task) & scores["arm"].isin(["fresh", arm])]
    if set(rows["arm"]) != {"fresh", arm}:
        return None
    runs = Runs(rows.rename(columns={"arm": "strategy"}), "dice", ["fresh"])
    return runs, 100 * (runs.of(arm) - runs.of("fresh"))


def by_size(scores: pd.DataFrame, arm: str) -> Iterator[dict[str, object]]:
    """A row for each task and size."""
    for task in TASKS:
        found = pairs_of(scores, task, arm)
        if found is None:
            continue
        runs, gains = found
        for size, gain in zip(runs.sizes, gains, strict=True):
            if not (~np.isnan(gain)).any():
                continue
            both, at = ~np.isnan(gain), runs.sizes.index(size)
            made = draws_of(gain)
            yield {
                "task": task,
                "n": size,
                "draws": " ".join(str(runs.draws[i]) for i in made),
                "fresh": f"{100 * runs.of('fresh')[at][both].mean():.1f}",
                "start": f"{100 * runs.of(arm)[at][both].mean():.1f}",
                "gain": _said(runs.mean(gain, _LEVEL)),
                "of each draw": " ".join(f"{np.nanmean(gain[i]):+.1f}" for i in made),
            }


def by_task(scores: pd.DataFrame, arm: str) -> Iterator[tuple[str, float, float, float, int]]:
    """Of each task the mean gain over its sizes with its interval, and how many pairs of runs there are."""
    for task in TASKS:
        found = pairs_of(scores, task, arm)
        if found is None:
            continue
        runs, gains = found
        flat = gains.reshape(-1, *gains.shape[2:])  # every pair of runs is one training set
        made = draws_of(flat)
        if len(made):
            yield task, *runs.mean(flat, _LEVEL), len(made)


def table(frame: pd.DataFrame, pretraining: pd.DataFrame, restoring: pd.DataFrame, runs: pd.DataFrame) -> str:
    """All of it."""
    parts = ["# Starts that have seen something", "", "## What the pre-training on shapes learned", ""]
    parts += _lines(pretraining.astype(object).to_dict("records"))
    parts += ["", "## What restoring their own images learned", "", *_lines(restoring.to_dict("records"))]
    others = [arm for arm in frame["arm"].unique() if arm not in ("fresh", *RULED)]
    for arm in (*RULED, *others):
        rows = list(by_size(frame, arm))
        if rows:
            parts += ["", f"## `{arm}` minus `fresh`", "", *_lines(rows)]
    for arm in RULED:
        tasks = list(by_task(frame, arm))
        if tasks:
            parts += ["", f"## The rule: `{arm}` at n = 2 and 4 together", ""]
            parts += _lines([{"task": t, "pairs": k, "gain": _said((m, a, b))} for t, m, a, b, k in tasks])
            parts += ["", *_ruled(tasks)]
    parts += ["", "## Runs", "", *_lines(runs.astype(object).to_dict("records"))]
    return "\n".join(parts)


def _ruled(tasks: list[tuple[str, float, float, float, int]]) -> list[str]:
    means = np.array([mean for _, mean, _, _, _ in tasks])
    rng = np.random.default_rng(0)
    drawn = means[rng.integers(len(means), size=(2000, len(means)))].mean(axis=1)
    row = {
        "sets measured": f"{len(tasks)} of {len(TASKS)}",
        f"at least {GAIN:+.1f} (asked: {SETS})": int((means >= GAIN).sum()),
        f"below {COST:+.1f} (asked: none)": int((means < COST).sum()),
        "with their whole interval": sum(high < COST for _, _, _, high, _ in tasks),
        "mean, by sets drawn anew": _said((float(means.mean()), *np.quantile(drawn, [0.025, 0.975]))),
    }
    return _lines([row])


def _said(values: tuple[float, float, float]) -> str:
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*values)


def _lines(rows: list[dict[str, object]]) -> list[str]:
    head = list(rows[0])
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(str(row[name]) for name in head) + " |" for row in rows]


def main(results: Path = RESULTS) -> None:
    """Prints the tables of a folder of results."""
    scores = pd.read_csv(results / "scores.csv")
    scores = scores.drop_duplicates(["task", "n", "draw", "arm", "case", "structure"], keep="last")
    pretraining = pd.read_csv(results / "pretraining.csv")
    pretraining = pretraining.drop_duplicates(["form", "steps", "step"], keep="last")
    restoring = pd.read_csv(results / "restoring.csv").drop_duplicates(["start", "steps"], keep="last")
    print(table(scores, pretraining, restoring, pd.read_csv(results / "runs.csv")))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
