"""Both methods side by side: `python -m benchmarks.nnunet.table > benchmarks/nnunet/results/table.md`.

Dice is the mean over test cases and structures, in points; brackets hold 95 % intervals over the training sets and the
test patients. With one draw they hold test patients alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from benchmarks.common.paired_runs import Measured, Runs, draws_of, said
from benchmarks.common.tables import markdown
from benchmarks.nnunet.run import OURS, RESULTS, RUN, THEIRS

MOST_AHEAD = 0.5
"""Points that nnU-Net may be ahead."""


def rows_of(scores: pd.DataFrame, made: pd.DataFrame) -> Iterator[dict[str, object]]:
    """A row for each data set of which both methods have a draw."""
    for name, of_set in scores.groupby("dataset", sort=False):
        pairs = of_set.groupby("draw")["method"].transform("nunique") == 2
        found = of_set[pairs]
        if found.empty:
            continue
        runs = Runs(found.rename(columns={"method": "strategy"}), "dice", [OURS])
        ours, theirs = (runs.of(method)[0] for method in (OURS, THEIRS))
        minutes = made[made["dataset"] == name].groupby("method")["cpu_seconds"].mean() / 60
        ahead = runs.difference(theirs, ours)
        yield {
            "data set": name,
            "cases": int(found["n"].iloc[0]),
            "draws": len(draws_of(ours)),
            "test cases": len(runs.cases),
            "CPU minutes, ours": f"{minutes[OURS]:.1f}",
            "nnU-Net": f"{minutes[THEIRS]:.1f}",
            "Dice, ours": _points(runs.mean(ours)),
            "Dice, nnU-Net": _points(runs.mean(theirs)),
            "nnU-Net minus ours": said(ahead, 1, "+"),
            f"at most {MOST_AHEAD}": "yes" if ahead[0] <= MOST_AHEAD else "no",
        }


def _points(dice: Measured) -> str:
    mean, low, high = dice
    return said((100 * mean, 100 * low, 100 * high), 1)


def main() -> None:
    """Prints the comparison, then what each run was."""
    made = pd.read_csv(RESULTS / "runs.csv").sort_values(list(RUN))
    found = list(rows_of(pd.read_csv(RESULTS / "scores.csv"), made))
    print("# nnU-Net with ten times the processor time\n")
    if found:
        print(markdown(found))
    told = made.astype(object).where(made.notna(), "")
    print("\n## The runs\n")
    print(markdown([{key: _short(value) for key, value in row.items()} for row in told.to_dict("records")]))


def _short(value: object) -> object:
    return int(value) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
