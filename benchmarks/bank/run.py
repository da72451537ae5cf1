"""Builds the bank of segmentation learning curves: trainings on growing numbers of cases.

    python -m benchmarks.bank.run --data DIR --runs RUNS_DIR [--minutes M] [--only acdc,wbc] [--recipe short]
    python -m benchmarks.bank.run --runs RUNS_DIR --split
    python -m benchmarks.bank.run --runs RUNS_DIR --merge

The first form trains, cell of the design by cell, one CSV for each data set and capacity, and goes on where
it was stopped. `--split` lays out the runs of the bank as it is, to go on from on another machine; `--merge`
joins the tables into those of `benchmarks/bank/results` (`BANKS`). `DIR` holds a folder for each data set with `images/`
and `labels/` (README.md beside this file: which, and their licences).

Recipes: `short`, trainings of 400 steps that hundreds of fit on two processor cores; `product`, what the app does unless
told otherwise; `quarter`, the same for a quarter of an hour; `longer`, for four times its steps; `again`, the short
baseline anew where the product's cases are others than those of `short`, which was run before the same image under two
names counted as one patient's.

All arms of a task train on the same cases with the same seed and steps, and under affine maps and intensity changes of the
same kind (but `none`, which has neither); where an arm draws deformations, it draws other ones of that kind. The pool are
images of the same draw that are neither trained on nor tested; their labels are not read.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import pandas as pd
import torch
from rich.console import Console

from benchmarks.common.data_sets import BY_NAME, DATA_SETS, VOLUMES
from scaling_app.experiments.cohort import patient_of
from scaling_app.experiments.replay import replay
from scaling_app.experiments.replay_run import Arm
from scaling_app.experiments.runs_table import COLUMNS, FORMER_COLUMNS
from scaling_app.forecast.arms import LONGER_TIMES
from scaling_app.imaging.network_table import DEFAULT_NETWORK
from scaling_app.trials.length import steps_for

BANK = Path(__file__).parent / "results" / "bank.csv.gz"
STEPS = 400
LONG = 1600
"""Steps of the few trainings that show what the short ones miss."""
QUARTER = 9500
"""Three times as many as the app makes on 32 cases: about 15 processor minutes on the heart in 3D."""
LEARNING_RATE = 3e-3
"""Lower than the network's own: on 32 training cases it reached a lower loss in so few steps."""
STEP_MB = 20
"""Bounds a training step and with it the working resolution, so that hundreds of runs fit."""
BANKS = {
    "short": BANK,
    "product": BANK.with_name("product.csv.gz"),
    "again": BANK.with_name("again.csv.gz"),
    "quarter": BANK.with_name("quarter.csv.gz"),
    "longer": BANK.with_name("longer.csv.gz"),
}
"""The tables by recipe."""
POOL = 12
"""Unlabelled images of the draw that RegDA and GenDA may learn from."""


FIRST_FIVE = ("wbc", "sunnybrook_lv", "hc18", "acdc", "msd_hippocampus")
"""Where the deformation strategies were first compared, `CONFIRMING` where the choice was put to the test."""
CONFIRMING = ("busi", "dsb2018_nuclei", "axondeepseg_sem")
FLAT = tuple(data_set.name for data_set in DATA_SETS if data_set.name not in VOLUMES)
"""Swin-UNETR takes more than ten minutes for a training on volumes on one core, and is left out there."""

ARMS = {
    arm.name: arm
    for arm in (
        Arm("none", "none"),
        Arm("baseline", "baseline"),
        Arm("red", "red"),
        Arm("genda-gaussian", "genda", {"genda_generator": "gaussian"}),
        Arm("genda-adversarial", "genda", {"genda_generator": "adversarial"}),
        Arm("regda-labelled", "regda", {"regda_targets": "labelled"}),
        Arm("regda-pool", "regda", {"regda_targets": "pool"}),
        Arm("regda-carried", "regda+pool"),
        Arm("regda-carried-first", "regda", {"carry_labels": "first"}),
        Arm("genda-carried-first", "genda", {"carry_labels": "first"}),
        Arm("red-mild", "red", {"red_strength": "1.5%"}),
        Arm("red-third", "red", {"deformed_share": "0.33"}),
        Arm("genda-third", "genda", {"genda_generator": "gaussian", "deformed_share": "0.33"}),
        Arm("genda-labelled", "genda", {"genda_generator": "gaussian", "genda_shapes": "labelled"}),
        Arm("genda", "genda"),
        Arm("genda+pool", "genda+pool"),
        Arm("genseg", "genseg"),
        Arm("genda+genseg", "genda+genseg"),
        Arm("genseg-unproven", "genseg", {"genseg_proof": "false"}),
    )
}


@dataclass(frozen=True)
class Cell:
    """One cell of the fractional design, a call of `replay` for each of its data sets (default: all).

    `steps`: None where the app's own recipe decides.
    """

    sizes: tuple[int, ...]
    arms: tuple[str, ...]
    data_sets: tuple[str, ...] = tuple(data_set.name for data_set in DATA_SETS)
    network: str = "resunet"
    capacity: str = "small"
    draws: int = 3
    steps: int | None = STEPS


SIZES = (2, 4, 8, 16, 32, 64, 128)
FEW = (2, 4, 8)
MAIN = ("baseline", "red", "genda-gaussian", "regda-carried")
OTHERS = ("none", "regda-pool", "regda-labelled", "genda-adversarial")
REMEDIES = ("red-third", "genda-third", "red-mild", "genda-labelled", "regda-carried-first")
DESIGN = (
    Cell(SIZES, ("baseline",)),
    Cell(FEW, MAIN, FIRST_FIVE),
    Cell(FEW, ("regda-carried", "genda-carried-first"), CONFIRMING),
    Cell((4, 8, 16, 64), ("baseline",), draws=1, steps=LONG),
    Cell((4, 16, 64), ("baseline",), FLAT, network="swinunetr", draws=1),
    Cell((2, 8, 32), ("none", "red"), draws=1),
    Cell((4,), MAIN, FIRST_FIVE, draws=1, steps=LONG),
    Cell((1,), MAIN + OTHERS, VOLUMES),
    Cell(FEW, OTHERS, FIRST_FIVE),
    Cell((16,), MAIN + OTHERS, FIRST_FIVE),
    Cell((8, 32), ("baseline",), capacity="medium", draws=1),
    Cell(SIZES, ("baseline",), draws=5),
    Cell((8, 16), ("baseline",), steps=LONG),
    Cell((2, 8, 32), ("none", "red"), draws=2),
    Cell(FEW, ("genda-carried-first",), FIRST_FIVE),
    Cell(FEW, REMEDIES, FIRST_FIVE, draws=2),
    Cell((8, 32), ("baseline",), capacity="medium", draws=2),
    Cell((4, 16, 64), ("baseline",), FLAT, network="swinunetr", draws=2),
)
CURVE = (2, 4, 8, 16, 32, 64)
MAKING_MORE = ("red", "genda", "regda-carried", "genda+pool")
FEW_TO_16 = (2, 4, 8, 16)
GENERATING = ("genseg", "genda+genseg")
"""As the app runs them unless told otherwise."""


def _product(sizes: tuple[int, ...], arms: tuple[str, ...], draws: int, **more: tuple[str, ...]) -> Cell:
    """A cell of the app's own recipe."""
    return Cell(sizes, arms, network=DEFAULT_NETWORK, draws=draws, steps=None, **more)


PRODUCT = (
    *(_product(CURVE, ("baseline",), draws) for draws in (1, 2, 3)),
    _product((16, 32), ("none",), 3),
    *(
        cell
        for draws in (1, 2, 3)
        for cell in (
            _product(FEW, MAKING_MORE, draws, data_sets=FIRST_FIVE),
            # beyond ten cases genda+pool is genda
            _product((16,), ("red", "genda", "regda-carried"), draws, data_sets=FIRST_FIVE),
            _product(FEW, ("none",), draws, data_sets=FIRST_FIVE),
            _product((4,), ("genseg-unproven",), draws, data_sets=FIRST_FIVE),
            _product(FEW_TO_16, GENERATING, draws, data_sets=FIRST_FIVE),
        )
    ),
)
OTHER_CASES = ("acdc", "busi", "wbc")
"""Where the product's cases are others than those of the short recipe."""
RECIPES = {
    "short": DESIGN,
    "product": PRODUCT,
    "again": tuple(Cell(CURVE, ("baseline",), OTHER_CASES, draws=draws) for draws in (1, 2, 3)),
    "quarter": (Cell((32,), ("baseline",), ("acdc",), network=DEFAULT_NETWORK, steps=QUARTER),),
    "longer": tuple(
        Cell((n,), ("baseline",), network=DEFAULT_NETWORK, draws=1, steps=LONGER_TIMES * steps_for(n))
        for n in (4, 8, 16)
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the tables of the runs")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after about this long")
    parser.add_argument("--only", help="names of data sets in the order to take them, separated by commas")
    parser.add_argument("--recipe", choices=RECIPES, default="product", help="how long the trainings are")
    parser.add_argument("--split", action="store_true", help="lay out the bank's runs, train nothing")
    parser.add_argument("--merge", action="store_true", help="join the tables, train nothing")
    arguments = parser.parse_args()
    if arguments.split:
        split(arguments.runs)
    elif arguments.merge:
        for made in merge(arguments.runs):
            print(made)
    elif arguments.data is None:
        parser.error("--data is needed to train")
    else:
        _train(arguments)


def _train(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    console, deadline = Console(), time.monotonic() + 60 * arguments.minutes
    only = arguments.only.split(",") if arguments.only else [d.name for d in DATA_SETS]
    design = RECIPES[arguments.recipe]
    for number, cell in enumerate(design, start=1):
        wanted = [d for d in DATA_SETS if d.name in only and d.name in cell.data_sets]
        for data_set in sorted(wanted, key=lambda d: only.index(d.name)):
            folder = arguments.data / data_set.name
            if not folder.is_dir():
                console.print(f"{folder} is not there: skipped")
                continue
            if time.monotonic() > deadline:
                console.print("time is up; the same command goes on from here")
                return
            console.print(f"cell {number} of {len(design)}, {data_set.name}")
            replay(
                folder / "images",
                folder / "labels",
                sizes=[n for n in cell.sizes if n <= data_set.largest],
                strategies=[ARMS[name] for name in cell.arms],
                networks=[cell.network],
                draws=cell.draws,
                n_test=data_set.test,
                out=arguments.runs / _table(data_set.name, cell.capacity, arguments.recipe),
                capacity=cell.capacity,
                patient_pattern=data_set.patient,
                pool=POOL,
                **length_of(cell.steps),
                should_stop=lambda: time.monotonic() > deadline,
            )


class Length(TypedDict):
    """What `replay` is told of a training's length, and of what goes with it."""

    steps: int | None
    step_bytes: int | None
    learning_rate: float | None


def length_of(steps: int | None) -> Length:
    """Those of at most `LONG` steps have a memory of a step and a learning rate of their own, others the app's."""
    if steps is None or steps > LONG:
        return {"steps": steps, "step_bytes": None, "learning_rate": None}
    return {"steps": steps, "step_bytes": STEP_MB * 2**20, "learning_rate": LEARNING_RATE}


def _table(data_set: str, capacity: str, recipe: str) -> str:
    """One table holds runs of one learning rate and memory, which it does not tell."""
    return ".".join([data_set, capacity, *([] if recipe == "short" else [recipe]), "csv"])


def _columns(recipe: str) -> list[str]:
    """Those of its tables; the short recipe's were begun before there were more."""
    return list(FORMER_COLUMNS if recipe == "short" else COLUMNS)


def split(runs: Path) -> None:
    """Lays the banks out as the tables that they were joined from."""
    runs.mkdir(parents=True, exist_ok=True)
    for recipe, bank in BANKS.items():
        table = pd.read_csv(bank, dtype=str, keep_default_na=False)
        for (name, capacity), rows in table.groupby(["dataset", "capacity"]):
            rows.to_csv(runs / _table(name, capacity, recipe), columns=_columns(recipe), index=False)


def merge(runs: Path) -> list[Path]:
    """Joins the tables of all runs, with the capacity as a column, into one compressed CSV for each recipe.

    Raises:
        FileNotFoundError: no tables there.
    """
    tables: dict[str, list[pd.DataFrame]] = {}
    for path in sorted(runs.glob("*.csv")):
        name, capacity, *others = path.stem.split(".")
        recipe = others[0] if others else "short"
        table = pd.read_csv(path, dtype={"case": str, "patient": str})[_columns(recipe)]
        table.insert(2, "capacity", capacity)
        if recipe == "short":
            table.insert(8, "patient", [patient_of(case, BY_NAME[name].patient) for case in table["case"]])
        tables.setdefault(recipe, []).append(table)
    if not tables:
        raise FileNotFoundError(f"no tables in {runs}")
    digits = {"dice": 4, "nsd": 4, "hd95_mm": 2, "bce": 4, "seconds": 1}
    keys = ["dataset", "network", "capacity", "strategy", "n", "draw", "seed", "case", "structure"]
    for recipe, parts in tables.items():
        # a run that was killed while its scores were written may stand there twice
        joined = pd.concat(parts, ignore_index=True).drop_duplicates([*keys, "steps"])
        joined = joined.round(digits).sort_values(keys)
        joined.to_csv(BANKS[recipe], index=False, compression={"method": "gzip", "mtime": 0})
    return [BANKS[recipe] for recipe in tables]


def same_cases() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The product's runs, and trainings of 400 steps on the same cases: what can be set side by side."""
    as_text = {"steps": str, "case": str, "patient": str}
    short, product, again = (
        pd.read_csv(BANKS[recipe], dtype=as_text, keep_default_na=False, na_values=[""])
        for recipe in ("short", "product", "again")
    )
    short = short.query("network == 'resunet' and capacity == 'small' and strategy == 'baseline'")
    short = short[(short["steps"] == str(STEPS)) & ~short["dataset"].isin(OTHER_CASES)]
    return product, pd.concat([short, again])


if __name__ == "__main__":
    main()
