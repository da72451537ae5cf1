"""What the app's own recipe reaches, beside trainings of 400 steps on the same cases, and beside what was asked of it.

    python -m benchmarks.bank.bars > benchmarks/bank/results/bars.md

Test cases were never looked at while the recipe was chosen; a run is its last model. Intervals of 95 % are over
training sets and test patients; with one draw they hold test patients alone. That of a mean over data sets is a t interval over them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.bank.run import BANKS, QUARTER, STEPS, same_cases
from benchmarks.common.data_sets import VOLUMES
from benchmarks.common.paired_runs import Measured, Runs, draws_of, said
from benchmarks.common.tables import markdown, task_mean

LEVELS = {
    "msd_hippocampus": {4: 0.845, 8: 0.860, 32: 0.880},
    "acdc": {4: 0.65, 8: 0.76, 32: 0.86},
}
GAINS = {8: 4.0, 32: 8.0}
"""Points over the short trainings, mean of the data sets that are not in `LEVELS`."""
LEAST_GAIN = -0.5
RISES = {"acdc": 16.0, "busi": 25.0, "axondeepseg_sem": 9.5}
"""Points from 8 to 64 cases."""
LEAST_OVER_NONE = -0.3
HOW = (
    "Brackets: 95 % t intervals over training sets and test patients; of one draw over test patients alone, of a mean over data sets "
    "over these."
)
QUARTER_HOUR = {"acdc": {32: 0.88}}
"""Dice after a quarter of an hour of one processor."""


@dataclass(frozen=True)
class Cell:
    """What was measured, of how many draws."""

    measured: Measured
    draws: int

    @property
    def mean(self) -> float:
        """Without its interval."""
        return self.measured[0]


def main() -> None:
    """Prints both tables."""
    product, short = same_cases()
    found = runs_of(product, short)
    print(f"# The app's own recipe\n\n{HOW}\n\n{markdown(list(_curves(found)))}\n\n## Asked and reached\n")
    longer = pd.read_csv(BANKS["quarter"], dtype={"case": str, "patient": str})
    print(markdown([*_bars(found), *_quarter_hour(runs_of(longer, short))]))


def runs_of(product: pd.DataFrame, short: pd.DataFrame) -> dict[str, Runs]:
    """The recipe's runs by data set, with `short` trainings of the same draws; arms `product`, `short`, `none`.

    Raises:
        ValueError: both were not tested on the same cases.
    """
    parts = [
        product[product["strategy"] == "baseline"].assign(strategy="product"),
        product[product["strategy"] == "none"],
        short.assign(strategy="short"),
    ]
    found = {}
    for name, rows in pd.concat(parts).groupby("dataset"):
        tested = {arm: set(own["case"]) for arm, own in rows.groupby("strategy")}
        if "product" not in tested:
            continue
        if any(cases != tested["product"] for cases in tested.values()):
            raise ValueError(f"{name}: the recipes were tested on different cases")
        found[str(name)] = Runs(rows, "dice", ("product", "short", "none"))
    return found


def level(runs: Runs, n: int, arm: str = "product") -> Cell | None:
    """Dice at a size."""
    scores = _scores(runs, arm, n)
    made = len(draws_of(scores))
    return Cell(runs.mean(scores), made) if made else None


def gain(runs: Runs, n: int, over: str) -> Cell | None:
    """Points over another arm at a size, on the draws of both."""
    return _difference(runs, _scores(runs, "product", n), _scores(runs, over, n))


def rise(runs: Runs, few: int, many: int) -> Cell | None:
    """Points from few to many cases, on the draws of both."""
    return _difference(runs, _scores(runs, "product", many), _scores(runs, "product", few))


def _scores(runs: Runs, arm: str, n: int) -> np.ndarray:
    """`(draw, case, structure)`, all NaN where there is no such run."""
    held = arm in runs.arms and n in runs.sizes
    return runs.of(arm)[runs.sizes.index(n)] if held else np.full(runs.scores.shape[2:], np.nan)


def _difference(runs: Runs, one: np.ndarray, other: np.ndarray) -> Cell | None:
    made = len(draws_of(one - other))
    return Cell(runs.difference(one, other), made) if made else None


def _curves(found: dict[str, Runs]) -> Iterator[dict[str, str]]:
    for name, runs in found.items():
        for n in runs.sizes:
            if (here := level(runs, n)) is None:
                continue
            over = gain(runs, n, "short")
            yield {
                "data set": name,
                "cases": str(n),
                "draws": str(here.draws),
                "test cases": str(len(runs.cases)),
                "patients": str(len(runs.patients)),
                "Dice": said(here.measured, 3),
                f"points over {STEPS} steps": said(over.measured, 1, "+") if over else "-",
            }


def _bars(found: dict[str, Runs]) -> Iterator[dict[str, str]]:
    for name, asked in LEVELS.items():
        for n, bar in asked.items():
            if name in found and (here := level(found[name], n)):
                yield _row(
                    f"{name}, Dice at {n}", f"{bar:.3f}", here, said(here.measured, 3), here.mean >= bar
                )
    for n, bar in GAINS.items():
        gains = {
            name: here
            for name, runs in found.items()
            if name not in VOLUMES and (here := gain(runs, n, "short"))
        }
        if gains:
            mean, low, high = task_mean(np.array([one.mean for one in gains.values()]), np.array([*gains]))
            worst = min(gains, key=lambda name: gains[name].mean)
            yield {
                "what": f"mean gain of {len(gains)} data sets at {n}",
                "asked": f"{bar:+.1f}, none below {LEAST_GAIN}",
                "reached": f"{mean:+.1f} ({low:+.1f} to {high:+.1f}); least {worst} {said(gains[worst].measured, 1, '+')}",
                "draws": f"{min(one.draws for one in gains.values())} or more",
                "holds": "yes" if mean >= bar and gains[worst].mean >= LEAST_GAIN else "no",
            }
    for name, bar in RISES.items():
        if name in found and (here := rise(found[name], 8, 64)):
            yield _row(
                f"{name}, 64 cases over 8", f"{bar:+.1f}", here, said(here.measured, 1, "+"), here.mean >= bar
            )
    for name, runs in found.items():
        for n in (size for size in runs.sizes if size >= 16):
            if here := gain(runs, n, "none"):
                holds = here.mean >= LEAST_OVER_NONE
                yield _row(
                    f"{name}, over `none` at {n}",
                    f"{LEAST_OVER_NONE}",
                    here,
                    said(here.measured, 1, "+"),
                    holds,
                )


def _quarter_hour(found: dict[str, Runs]) -> Iterator[dict[str, str]]:
    for name, asked in QUARTER_HOUR.items():
        for n, bar in asked.items():
            if name in found and (here := level(found[name], n)):
                what = f"{name}, Dice at {n} after {QUARTER} steps"
                yield _row(what, f"{bar:.3f}", here, said(here.measured, 3), here.mean >= bar)


def _row(what: str, asked: str, here: Measured, reached: str, holds: bool) -> dict[str, str]:
    return {
        "what": what,
        "asked": asked,
        "reached": reached,
        "draws": str(here.draws),
        "holds": "yes" if holds else "no",
    }


if __name__ == "__main__":
    main()
