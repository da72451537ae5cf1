"""Both methods side by side: `python -m benchmarks.nnunet.table > benchmarks/nnunet/results/table.md`.

Dice is the mean over test cases and structures, in points; brackets hold 95 % intervals that draw the training sets and the
test patients anew. With one draw they hold test patients alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from benchmarks.common.paired_runs import Runs, draws_of
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
        ours, theirs = (100 * runs.of(method)[0] for method in (OURS, THEIRS))
        minutes = made[made["dataset"] == name].groupby("method")["cpu_seconds"].mean() / 60
        ahead = runs.mean(theirs - ours)
        yield {
            "data set": name,
            "cases": int(found["n"].iloc[0]),
            "draws": len(draws_of(ours)),
            "test cases": len(runs.cases),
            "CPU minutes, ours": f"{minutes[OURS]:.1f}",
            "nnU-Net": f"{minutes[THEIRS]:.1f}",
            "Dice, ours": _said(runs.mean(ours), ""),
            "Dice, nnU-Net": _said(runs.mean(theirs), ""),
            "nnU-Net minus ours": _said(ahead, "+"),
            f"at most {MOST_AHEAD}": "yes" if ahead[0] <= MOST_AHEAD else "no",
        }


def _said(measured: tuple[float, float, float], sign: str) -> str:
    return "{:{s}.1f} ({:{s}.1f} to {:{s}.1f})".format(*measured, s=sign)


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
