"""Both recipes at equal processor minutes: `python -m benchmarks.minutes.table > benchmarks/minutes/results/table.md`.

Dice is the mean over test cases and structures. Brackets hold 95 % intervals over the training sets and the test patients; with
one draw they hold test patients alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from benchmarks.common.paired_runs import Runs, draws_of, said
from benchmarks.common.tables import markdown
from benchmarks.minutes.run import CASES, NETWORKS, SCORES


def rows_of(scores: pd.DataFrame) -> Iterator[dict[str, object]]:
    """A row for each data set and number of minutes, of the draws that both recipes have."""
    for name, of_set in scores.groupby("dataset"):
        for minutes, found in of_set.groupby("minutes"):
            both = found[found.groupby("draw")["recipe"].transform("nunique") == len(NETWORKS)]
            if both.empty:
                continue
            runs = Runs(both.rename(columns={"recipe": "strategy"}), "dice", tuple(NETWORKS))
            now, before = (runs.of(recipe)[0] for recipe in ("now", "before"))
            steps = both.groupby("recipe")["trained_steps"].first()
            yield {
                "data set": name,
                "cases": CASES,
                "CPU minutes": minutes,
                "draws": len(draws_of(now)),
                "test cases": len(runs.cases),
                "patients": len(runs.patients),
                "steps, before": steps["before"],
                "now": steps["now"],
                "Dice, before": said(runs.mean(before), 3),
                "Dice, now": said(runs.mean(now), 3),
                "points gained": said(runs.difference(now, before), 1, "+"),
            }


def ends_of(scores: pd.DataFrame) -> Iterator[dict[str, object]]:
    """For each data set the fewest minutes now beside the most before, and beside the most now, on the draws of all."""
    for name, of_set in scores.groupby("dataset"):
        few, many = of_set["minutes"].min(), of_set["minutes"].max()
        pairs = (("now", few, "before", many), ("now", many, "now", few))
        for recipe, minutes, beside, other in pairs:
            parts = [
                of_set[(of_set["recipe"] == which) & (of_set["minutes"] == asked)].assign(strategy=arm)
                for arm, which, asked in (("this", recipe, minutes), ("that", beside, other))
            ]
            found = pd.concat(parts)
            found = found[found.groupby("draw")["strategy"].transform("nunique") == 2]
            if found.empty:
                continue
            runs = Runs(found, "dice", ("this", "that"))
            this, that = runs.of("this")[0], runs.of("that")[0]
            yield {
                "data set": name,
                "draws": len(draws_of(this)),
                "test cases": len(runs.cases),
                "patients": len(runs.patients),
                "trained": f"{recipe}, CPU minutes: {minutes}",
                "beside": f"{beside}, CPU minutes: {other}",
                "points more": said(runs.difference(this, that), 1, "+"),
            }


def main() -> None:
    """Prints the tables."""
    scores = pd.read_csv(SCORES, dtype={"case": str, "patient": str})
    print(f"# 1 to 15 processor minutes\n\n{markdown(list(rows_of(scores)))}")
    print(f"\n## The fewest minutes beside the most\n\n{markdown(list(ends_of(scores)))}")


if __name__ == "__main__":
    main()
