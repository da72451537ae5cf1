"""The pairs as Markdown: `python -m benchmarks.pretraining.table > benchmarks/pretraining/results/table.md`.

Dice is the mean over test cases and structures, in points; brackets hold 95 % intervals over test patients (and the
draws, where there are several). Of a pair that lacks one of its runs nothing is shown.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.common.paired_runs import Measured, Runs, draws_of, said
from benchmarks.common.tables import task_mean
from benchmarks.engine.run import TASKS

RESULTS = Path(__file__).parent / "results"
RULED = ("shapes-half", "self-half")
"""Arms that are held against the rule, one for each of what a start may have seen."""
GAIN, COST, SETS = 2.0, -0.5, 5
"""The rule: at least so many points on so many sets, and on no set less than the cost."""


def pairs_of(scores: pd.DataFrame, task: str, arm: str) -> Runs | None:
    """One task's scores of an arm and of fresh weights."""
    rows = scores[(scores["task"] == task) & scores["arm"].isin(["fresh", arm])]
    if set(rows["arm"]) != {"fresh", arm}:
        return None
    return Runs(rows.rename(columns={"arm": "strategy"}), "dice", ["fresh"])


def by_size(scores: pd.DataFrame, arm: str) -> Iterator[dict[str, object]]:
    """A row for each task and size."""
    for task in TASKS:
        runs = pairs_of(scores, task, arm)
        if runs is None:
            continue
        for size, start, fresh in zip(runs.sizes, runs.of(arm), runs.of("fresh"), strict=True):
            gain = 100 * (start - fresh)
            both, made = ~np.isnan(gain), draws_of(gain)
            if not len(made):
                continue
            yield {
                "task": task,
                "n": size,
                "draws": " ".join(str(runs.draws[i]) for i in made),
                "fresh": f"{100 * fresh[both].mean():.1f}",
                "start": f"{100 * start[both].mean():.1f}",
                "gain": said(runs.difference(start, fresh), 1, "+"),
                "of each draw": " ".join(f"{np.nanmean(gain[i]):+.1f}" for i in made),
            }


def by_task(scores: pd.DataFrame, arm: str) -> Iterator[tuple[str, Measured, int]]:
    """Of each task the mean gain over its sizes with its interval, and how many pairs of runs there are."""
    for task in TASKS:
        runs = pairs_of(scores, task, arm)
        if runs is None:
            continue
        # every pair of runs is one training set
        start, fresh = (runs.of(name).reshape(-1, *runs.scores.shape[3:]) for name in (arm, "fresh"))
        made = draws_of(start - fresh)
        if len(made):
            yield task, runs.difference(start, fresh), len(made)


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
            parts += _lines([{"task": t, "pairs": k, "gain": said(gain, 1, "+")} for t, gain, k in tasks])
            parts += ["", *_ruled(tasks)]
    parts += ["", "## Runs", "", *_lines(runs.astype(object).to_dict("records"))]
    return "\n".join(parts)


def _ruled(tasks: list[tuple[str, Measured, int]]) -> list[str]:
    means = np.array([gain[0] for _, gain, _ in tasks])
    row = {
        "sets measured": f"{len(tasks)} of {len(TASKS)}",
        f"at least {GAIN:+.1f} (asked: {SETS})": int((means >= GAIN).sum()),
        f"below {COST:+.1f} (asked: none)": int((means < COST).sum()),
        "with their whole interval": sum(gain[2] < COST for _, gain, _ in tasks),
        "mean over sets": said(task_mean(means, np.arange(len(means))), 1, "+"),
    }
    return _lines([row])


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
