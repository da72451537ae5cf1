"""How far do 1, 3, 5 and 15 processor minutes come, as the app trains now and as it did before? Resumable.

    python -m benchmarks.minutes.run --data DIR --runs DIR --pace      # first, where nothing else runs
    python -m benchmarks.minutes.run --data DIR --runs DIR [--minutes 1,3,5,15] [--draws 3] [--only acdc]
    python -m benchmarks.minutes.run --runs DIR --merge

A minute is so many steps: `--pace` measures once what a step costs on one thread of a quiet machine (`results/pace.csv`).
So the trainings may run beside others, and take longer. Cases and test cases are those of the bank.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import torch
from rich.console import Console

from benchmarks.bank.run import ARMS
from benchmarks.common.data_sets import BY_NAME, VOLUMES, DataSet
from benchmarks.common.tables import read, write
from scaling_app.experiments.cohort import make_cohort
from scaling_app.experiments.replay import replay, run_once
from scaling_app.experiments.replay_run import ReplayRun
from scaling_app.imaging.network_table import DEFAULT_NETWORK
from scaling_app.trials.fingerprint import found_structures
from scaling_app.trials.memory import step_bytes
from scaling_app.trials.step_report import StepReport

RESULTS = Path(__file__).parent / "results"
PACE, SCORES = RESULTS / "pace.csv", RESULTS / "scores.csv.gz"
CASES = 32
MINUTES = (1, 3, 5, 15)
CAPACITY = "small"
NOT_TIMED, TIMED = 20, 100
"""Steps before the clock starts, and of which it takes the mean."""


NETWORKS = {"now": DEFAULT_NETWORK, "before": "resunet"}
"""What the app trains unless told otherwise, and what it did before; each with the rate and the memory of its own."""


def step_seconds(data: Path, work: Path, data_set: DataSet, network: str) -> float:
    """Processor seconds of a step, with the making of its batch."""
    cohort = make_cohort(data_set.cases(data), data_set.test, [CASES], 1)
    marks: dict[int, float] = {}

    def on_step(report: StepReport) -> None:
        marks[report.step] = time.process_time()

    training = cohort.training(CASES, 0)
    run_once(
        ReplayRun(
            dataset=data_set.name,
            network=network,
            arm=ARMS["baseline"],
            n=CASES,
            draw=0,
            seed=0,
            steps=NOT_TIMED + TIMED,
            structures=found_structures(training),
            training=training,
            testing=cohort.test[:1],
            pool=(),
            cache_dir=work.resolve(),
            memory_bytes=psutil.virtual_memory().available // 4,
            capacity=CAPACITY,
            step_bytes=step_bytes(),
        ),
        on_step=on_step,
    )
    return (marks[NOT_TIMED + TIMED] - marks[NOT_TIMED]) / TIMED


def steps_in(minutes: float, data_set: str, recipe: str) -> int:
    """Steps that this many processor minutes have room for, to ten."""
    pace = {(row["dataset"], row["recipe"]): float(row["step_seconds"]) for row in read(PACE)}
    return 10 * round(6 * minutes / pace[data_set, recipe])


def merge(runs: Path) -> Path:
    """Joins the tables of the runs into one that knows the minutes.

    Raises:
        FileNotFoundError: no tables there.
    """
    parts = []
    for path in sorted(runs.glob("*.csv")):
        name, recipe = path.stem.split(".")
        of = {steps_in(minutes, name, recipe): minutes for minutes in MINUTES}
        table = pd.read_csv(path, dtype={"case": str, "patient": str})
        table.insert(1, "recipe", recipe)
        table.insert(2, "minutes", table["trained_steps"].map(of))
        parts.append(table)
    if not parts:
        raise FileNotFoundError(f"no tables in {runs}")
    keys = ["dataset", "recipe", "minutes", "n", "draw", "case", "structure"]
    joined = pd.concat(parts, ignore_index=True).sort_values(keys)
    kept = [*keys, "patient", "dice", "trained_steps"]
    joined[kept].round({"dice": 4}).to_csv(SCORES, index=False, compression={"method": "gzip", "mtime": 0})
    return SCORES


def _paces(data: Path, runs: Path, chosen: list[DataSet]) -> Iterator[dict[str, object]]:
    for data_set in chosen:
        for name, network in NETWORKS.items():
            seconds = step_seconds(data, runs / "pace.cache", data_set, network)
            yield {"dataset": data_set.name, "recipe": name, "n": CASES, "step_seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the tables of the runs")
    parser.add_argument("--minutes", default=",".join(map(str, MINUTES)))
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--only", default=",".join(VOLUMES))
    parser.add_argument("--pace", action="store_true", help="measure what a step costs, train nothing more")
    parser.add_argument("--merge", action="store_true", help="join the tables, train nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [BY_NAME[name] for name in arguments.only.split(",")]
    if arguments.merge:
        print(merge(arguments.runs))
    elif arguments.data is None:
        parser.error("--data is needed to train")
    elif arguments.pace:
        write(PACE, list(_paces(arguments.data, arguments.runs, chosen)))
    else:
        _train(arguments, chosen)


def _train(arguments: argparse.Namespace, chosen: list[DataSet]) -> None:
    console = Console()
    for draws in range(1, arguments.draws + 1):
        for minutes in map(int, arguments.minutes.split(",")):
            for data_set in chosen:
                for name, network in NETWORKS.items():
                    console.print(
                        f"draw {draws} of {arguments.draws}, {minutes} min, {data_set.name}, {name}"
                    )
                    folder = arguments.data / data_set.name
                    replay(
                        folder / "images",
                        folder / "labels",
                        sizes=[CASES],
                        strategies=[ARMS["baseline"]],
                        networks=[network],
                        draws=draws,
                        n_test=data_set.test,
                        out=arguments.runs / f"{data_set.name}.{name}.csv",
                        capacity=CAPACITY,
                        patient_pattern=data_set.patient,
                        steps=steps_in(minutes, data_set.name, name),
                    )


if __name__ == "__main__":
    main()
