"""Is what the check of carried labels says true of the labels that the pool then gets?

    python -m benchmarks.deformation.carried --data DIR --work DIR [--tasks acdc,busi]     # resumable
    python -m benchmarks.deformation.carried --table > benchmarks/deformation/results/carried.md

For each draw of training cases: the Dice that the check finds on left-out cases (`carried_dice` in a run's record), and
that of the labels carried to the pool, whose own labels are read here and nowhere else. Cases are those for development
(`benchmarks/engine`); no network is trained. Rows go to `results/carried.csv`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.bank.run import POOL
from benchmarks.common.tables import add_rows, finished, markdown
from benchmarks.engine.run import TASKS, cohort_of
from scaling_app.imaging.network_table import DEFAULT_NETWORK
from scaling_app.strategies.base import StrategyContext
from scaling_app.strategies.deformation.carrying import CHECKED, carry_labels, dice_of, left_out_dice
from scaling_app.strategies.deformation.group import gather
from scaling_app.strategies.deformation.strategies import LEAST_CARRIED_DICE
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.fingerprint import found_structures
from scaling_app.trials.plan import make_plan

TABLE = Path(__file__).parent / "results" / "carried.csv"
SIZES = (2, 4, 8)
DRAWS = 3
KEY = ("task", "n", "draw")
COLUMNS = (*KEY, "left_out", "pool", "images")
MEMORY = 2**32


def one_draw(data: Path, work: Path, task: str, n: int, draw: int) -> dict[str, object]:
    """A row of the table."""
    cohort = cohort_of(data, TASKS[task], [n], draw + 1)
    training = cohort.training(n, draw)
    with_labels = {case.case_id: case for case in cohort.draws[draw]}
    pool = [with_labels[case.case_id] for case in cohort.pool(n, draw, POOL)]
    structures = found_structures([*training, *cohort.test])
    plan = make_plan(training, structures, network=DEFAULT_NETWORK, capacity="small")
    cases = PreparedCases(plan, [*training, *pool], work / "prepared", MEMORY)
    labelled = [cases[case.case_id] for case in training]
    bare = [replace(cases[case.case_id], label=None) for case in pool]
    context = StrategyContext(
        plan.spatial_dims, plan.believed_spacing, plan.patch, structures, 0, 1, pool=bare
    )
    group = gather(labelled, context, with_pool=True, checked=CHECKED)
    values = sorted(structures.values())
    found = left_out_dice(group, labelled, values)
    scores = [
        score
        for carried in carry_labels(group, labelled, bare, values)
        for score in dice_of(carried, cases[carried.case_id], values)
    ]
    return {
        **dict(zip(KEY, (task, n, draw), strict=True)),
        "left_out": "" if found is None else f"{found:.4f}",
        "pool": f"{np.mean(scores):.4f}" if scores else "",
        "images": len(group.unlabelled),
    }


def table(rows: pd.DataFrame) -> str:
    """Means over draws in Markdown, with the smallest and the largest, and how often the check lets labels through."""
    found = [
        {
            "task": task,
            "n": n,
            "draws": len(group),
            "left-out cases": _spread(group["left_out"]),
            "the pool": _spread(group["pool"]),
            "let through": int((group["left_out"] >= LEAST_CARRIED_DICE).sum()),
        }
        for (task, n), group in rows.groupby(["task", "n"], sort=False)
    ]
    both = rows.dropna(subset=["left_out", "pool"])
    off = both["left_out"] - both["pool"]
    return (
        f"# Labels carried to left-out cases, and to the pool\n\n{markdown(found)}\n\n"
        f"Off by {off.abs().mean():.2f} in the mean over {len(both)} draws, by {off.mean():+.2f} with its sign."
    )


def _spread(values: pd.Series) -> str:
    if values.isna().all():
        return "-"
    return f"{values.mean():.2f} (draws {values.min():.2f} to {values.max():.2f})"


def main() -> None:
    """Adds what the table lacks, or prints it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--work", type=Path, help="for prepared cases")
    parser.add_argument("--tasks", default=",".join(TASKS), help="separated by commas")
    parser.add_argument("--table", action="store_true", help="print the table's means")
    args = parser.parse_args()
    if args.table:
        print(table(pd.read_csv(TABLE)))
        return
    if args.data is None or args.work is None:
        parser.error("--data and --work are needed")
    torch.set_num_threads(1)
    done = finished(TABLE, KEY)
    for task in args.tasks.split(","):
        for n in SIZES:
            for draw in range(DRAWS):
                if (task, str(n), str(draw)) not in done:
                    row = one_draw(args.data, args.work / task, task, n, draw)
                    add_rows(TABLE, COLUMNS, [row])
                    print(row, flush=True)


if __name__ == "__main__":
    main()
