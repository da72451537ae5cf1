"""Builds the bank of segmentation learning curves: short trainings on growing numbers of cases.

    python benchmarks/bank/build.py --data DIR --runs RUNS_DIR [--minutes M] [--only acdc,wbc]
    python benchmarks/bank/build.py --runs RUNS_DIR --merge

The first form trains, cheapest design cells first, one CSV for each data set, and goes on where it was
stopped. The second joins the tables into `benchmarks/results/bank.csv.gz`. `DIR` holds a folder for each
data set with `images/` and `labels/` (README.md beside this file: which, and their licences).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console

from scaling_app.trials.replay import replay

RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class DataSet:
    """A folder of cases: the pattern whose first group is the patient in a file name, the largest size.

    `step_mb` bounds a training step and with it the working resolution, so that hundreds of runs fit.
    """

    name: str
    patient: str | None
    largest: int
    test: int = 40
    steps: int = 200
    step_mb: int = 40


DATA_SETS = (
    DataSet("wbc", None, 128),
    DataSet("sunnybrook_lv", r"^(SC-.+?)-IM", 128),
    DataSet("hc18", r"^(\d+)_", 128),
    DataSet("busi", None, 128),
    DataSet("dsb2018_nuclei", None, 128),
    DataSet("axondeepseg_sem", r"^(sub-rat\d+)", 64),
    DataSet("chase_db1", r"^(Image_\d+)", 16, test=10),
    DataSet("acdc", r"^(patient\d+)", 128, steps=300, step_mb=60),
    DataSet("msd_hippocampus", None, 128),
)


POOL = 12
"""Unlabelled images of the draw that RegDA and GenDA may learn from."""


@dataclass(frozen=True)
class Cell:
    """One cell of the fractional design, a call of `replay` for each data set."""

    sizes: tuple[int, ...]
    strategies: tuple[str, ...]
    network: str = "resunet"
    capacity: str = "small"
    draws: int = 3


SIZES = (2, 4, 8, 16, 32, 64, 128)
DESIGN = (
    Cell(SIZES, ("baseline",)),
    Cell((2, 8, 32), ("none", "red"), draws=2),
    Cell((4, 32), ("regda", "genda"), draws=2),
    Cell((8, 32), ("baseline",), capacity="medium", draws=2),
    Cell((4, 16, 64), ("baseline",), network="swinunetr", draws=1),
    Cell(SIZES, ("baseline",), draws=5),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the tables of the runs")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after about this long")
    parser.add_argument("--only", help="names of data sets, separated by commas")
    parser.add_argument("--merge", action="store_true", help="join the tables, train nothing")
    arguments = parser.parse_args()
    if not arguments.merge:
        if arguments.data is None:
            parser.error("--data is needed to train")
        _train(arguments)
    print(merge(arguments.runs))


def _train(arguments: argparse.Namespace) -> None:
    console, deadline = Console(), time.monotonic() + 60 * arguments.minutes
    chosen = arguments.only.split(",") if arguments.only else [d.name for d in DATA_SETS]
    for number, cell in enumerate(DESIGN, start=1):
        for data_set in (d for d in DATA_SETS if d.name in chosen):
            folder = arguments.data / data_set.name
            if not folder.is_dir():
                console.print(f"{folder} is not there: skipped")
                continue
            if time.monotonic() > deadline:
                console.print("time is up; the same command goes on from here")
                return
            console.print(f"cell {number} of {len(DESIGN)}, {data_set.name}")
            replay(
                folder / "images",
                folder / "labels",
                sizes=[n for n in cell.sizes if n <= data_set.largest],
                strategies=cell.strategies,
                networks=[cell.network],
                seeds=1,
                draws=cell.draws,
                n_test=data_set.test,
                steps=data_set.steps,
                out=arguments.runs / f"{data_set.name}.{cell.capacity}.csv",
                capacity=cell.capacity,
                patient_pattern=data_set.patient,
                step_bytes=data_set.step_mb * 2**20,
                pool=POOL,
                should_stop=lambda: time.monotonic() > deadline,
            )


def merge(runs: Path) -> Path:
    """Joins the tables of all runs, with the capacity as a column, into one compressed CSV.

    Raises:
        FileNotFoundError: no tables there.
    """
    tables = []
    for path in sorted(runs.glob("*.csv")):
        table = pd.read_csv(path)
        table.insert(2, "capacity", path.stem.split(".")[1])
        tables.append(table)
    if not tables:
        raise FileNotFoundError(f"no tables in {runs}")
    bank = pd.concat(tables, ignore_index=True).round(
        {"dice": 4, "nsd": 4, "hd95_mm": 2, "bce": 4, "seconds": 1}
    )
    keys = ["dataset", "network", "capacity", "strategy", "n", "draw", "seed", "case", "structure"]
    out = RESULTS / "bank.csv.gz"
    bank.sort_values(keys).to_csv(out, index=False, compression={"method": "gzip", "mtime": 0})
    return out


if __name__ == "__main__":
    main()
