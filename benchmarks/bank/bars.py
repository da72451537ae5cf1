"""What the app's own recipe reaches, beside trainings of 400 steps on the same cases, and beside what was asked of it.

    python -m benchmarks.bank.bars > benchmarks/bank/results/bars.md

Test cases were never looked at while the recipe was chosen; a run is its last model. Intervals of 95 % draw training
sets and test patients anew; with one draw they hold test patients alone. Of few draws and few patients (`patients`) they are too
narrow. That of a mean over data sets is a t interval over them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.bank.run import BANKS, QUARTER, STEPS, same_cases
from benchmarks.common.data_sets import VOLUMES
from benchmarks.common.paired_runs import Runs, draws_of
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
    "Brackets: 95 % intervals, training sets and test patients drawn anew (bootstrap). Three draws and few patients make them too "
    "narrow. Of a mean over data sets: t over these."
)
QUARTER_HOUR = {"acdc": {32: 0.88}}
"""Dice after a quarter of an hour of one processor."""


@dataclass(frozen=True)
class Measured:
    """A mean with its interval, of how many draws, test cases and patients."""

    mean: float
    low: float
    high: float
    draws: int
    cases: int
    patients: int

    def said(self, digits: int, *, signed: bool = False) -> str:
        """`mean (low to high)`."""
        form = f"{{:{'+' if signed else ''}.{digits}f}}"
        return f"{form} ({form} to {form})".format(self.mean, self.low, self.high)


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


def level(runs: Runs, n: int, arm: str = "product") -> Measured | None:
    """Dice at a size."""
    return _measured(runs, runs.of(arm)[runs.sizes.index(n)]) if _holds(runs, arm, n) else None


def gain(runs: Runs, n: int, over: str) -> Measured | None:
    """Points over another arm at a size, on the draws of both."""
    if not (_holds(runs, "product", n) and _holds(runs, over, n)):
        return None
    at = runs.sizes.index(n)
    return _measured(runs, 100 * (runs.of("product")[at] - runs.of(over)[at]))


def rise(runs: Runs, few: int, many: int) -> Measured | None:
    """Points from few to many cases, on the draws of both."""
    if not (_holds(runs, "product", few) and _holds(runs, "product", many)):
        return None
    of = runs.of("product")
    return _measured(runs, 100 * (of[runs.sizes.index(many)] - of[runs.sizes.index(few)]))


def _holds(runs: Runs, arm: str, n: int) -> bool:
    return arm in runs.arms and n in runs.sizes and bool(len(draws_of(runs.of(arm)[runs.sizes.index(n)])))


def _measured(runs: Runs, scores: np.ndarray) -> Measured | None:
    draws = len(draws_of(scores))
    if not draws:
        return None
    return Measured(*runs.mean(scores), draws, len(runs.cases), len(runs.patients))


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
                "test cases": str(here.cases),
                "patients": str(here.patients),
                "Dice": here.said(3),
                f"points over {STEPS} steps": over.said(1, signed=True) if over else "-",
            }


def _bars(found: dict[str, Runs]) -> Iterator[dict[str, str]]:
    for name, asked in LEVELS.items():
        for n, bar in asked.items():
            if name in found and (here := level(found[name], n)):
                yield _row(f"{name}, Dice at {n}", f"{bar:.3f}", here, here.said(3), here.mean >= bar)
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
                "reached": f"{mean:+.1f} ({low:+.1f} to {high:+.1f}); least {worst} {gains[worst].said(1, signed=True)}",
                "draws": f"{min(one.draws for one in gains.values())} or more",
                "holds": "yes" if mean >= bar and gains[worst].mean >= LEAST_GAIN else "no",
            }
    for name, bar in RISES.items():
        if name in found and (here := rise(found[name], 8, 64)):
            yield _row(
                f"{name}, 64 cases over 8", f"{bar:+.1f}", here, here.said(1, signed=True), here.mean >= bar
            )
    for name, runs in found.items():
        for n in (size for size in runs.sizes if size >= 16):
            if here := gain(runs, n, "none"):
                holds = here.mean >= LEAST_OVER_NONE
                yield _row(
                    f"{name}, over `none` at {n}",
                    f"{LEAST_OVER_NONE}",
                    here,
                    here.said(1, signed=True),
                    holds,
                )


def _quarter_hour(found: dict[str, Runs]) -> Iterator[dict[str, str]]:
    for name, asked in QUARTER_HOUR.items():
        for n, bar in asked.items():
            if name in found and (here := level(found[name], n)):
                what = f"{name}, Dice at {n} after {QUARTER} steps"
                yield _row(what, f"{bar:.3f}", here, here.said(3), here.mean >= bar)


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
