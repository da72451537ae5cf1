"""Does `auto` choose well? Its own comparison on 8 labelled cases, against what happens on cases nobody has seen.

    python -m benchmarks.auto.run --data DIR --work DIR [--minutes M] [--only acdc,wbc]   # trains; resumable
    python -m benchmarks.auto.run                             # the table alone, from `results/auto_runs.csv.gz`

A session has 8 labelled cases (those of a draw of the bank). As in the app, 5 folds by patient are trained with
`baseline` and with what `auto` compares, and `auto` takes the best of those whose paired difference has a lower 80 %
bound above zero, else `baseline`. Then every strategy is trained on all 8 and tested on the bank's test cases: what
the choice brought, and what each strategy for itself would have. The networks, steps, rates and pools are the bank's;
GenSeg, which `auto` compares too, takes three times as long and is left out.

Writes `results/auto_runs.csv.gz`, and `results/auto.md` of the sessions that are whole.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from benchmarks.bank import run as bank
from benchmarks.common.data_sets import BY_NAME
from benchmarks.common.paired_runs import Runs, said
from benchmarks.common.tables import markdown, task_mean
from scaling_app.curve.curve_points import deal_folds
from scaling_app.experiments.cohort import Cohort, make_cohort, patient_of
from scaling_app.experiments.replay import run_once
from scaling_app.experiments.replay_run import Arm, ReplayRun
from scaling_app.experiments.runs_table import FORMER_COLUMNS
from scaling_app.forecast.arms import choose_strategy, compare_arms
from scaling_app.forecast.scores import Score
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.fingerprint import found_structures

RESULTS = Path(__file__).parent / "results"
KEPT = RESULTS / "auto_runs.csv.gz"
OWN = "baseline"
ARMS = tuple(Arm(name, name) for name in (OWN, "genda", "regda+pool"))
NETWORK = "resunet"
N, DRAWS = 8, 3
WHOLE = "whole"
"""In the column `fold`: the training on all cases, tested on the bank's test cases."""
DATA_SETS = tuple(BY_NAME[name] for name in bank.FIRST_FIVE + bank.CONFIRMING)


@dataclass(frozen=True)
class Part:
    """A fold of a session, or the whole of it."""

    draw: int
    fold: str
    training: tuple[CaseFiles, ...]
    testing: tuple[CaseFiles, ...]


def parts_of(cohort: Cohort, draw: int) -> Iterator[Part]:
    """The trainings of a session: the app's folds, then the whole."""
    cases = cohort.training(N, draw)
    fold_of = deal_folds((case.patient for case in cases), seed=draw)
    for fold in sorted(set(fold_of.values())):
        held = tuple(case for case in cases if fold_of[case.patient] == fold)
        yield Part(draw, str(fold), tuple(case for case in cases if case not in held), held)
    yield Part(draw, WHOLE, cases, cohort.test)


def train_all(arguments: argparse.Namespace) -> None:
    """Makes the trainings that the tables under `--work` do not hold yet, all data sets' first draws first."""
    torch.set_num_threads(1)
    console, deadline = Console(), time.monotonic() + 60 * arguments.minutes
    only = arguments.only.split(",") if arguments.only else [d.name for d in DATA_SETS]
    for draw, data_set in itertools.product(range(DRAWS), [d for d in DATA_SETS if d.name in only]):
        folder = arguments.data / data_set.name
        if not folder.is_dir():
            console.print(f"{folder} is not there: skipped")
            continue
        cohort = make_cohort(data_set.cases(arguments.data), data_set.test, [N], DRAWS)
        labelled = {case.case_id: case for order in cohort.draws for case in order[:N]}
        structures = found_structures(list(labelled.values()))
        table = arguments.work / f"{data_set.name}.csv"
        done = _finished(table)
        for part, arm in itertools.product(parts_of(cohort, draw), ARMS):
            if (str(draw), part.fold, arm.name) in done:
                continue
            if time.monotonic() > deadline:
                console.print("time is up; the same command goes on from here")
                return
            run = _run(data_set.name, part, arm, cohort, structures, arguments.work)
            _append(table, part.fold, run_once(run))
            console.print(f"{data_set.name}, draw {draw}, fold {part.fold}, {arm.name}")


def _run(
    name: str, part: Part, arm: Arm, cohort: Cohort, structures: dict[str, int], work: Path
) -> ReplayRun:
    return ReplayRun(
        dataset=name,
        network=NETWORK,
        arm=arm,
        n=len(part.training),
        draw=part.draw,
        seed=0,
        structures=structures,
        training=part.training,
        testing=part.testing,
        pool=cohort.pool(N, part.draw, bank.POOL),
        cache_dir=(work / f"{name}.cache").resolve(),
        memory_bytes=2**30,
        **bank.length_of(bank.STEPS),
    )


def _finished(table: Path) -> set[tuple[str, str, str]]:
    if not table.exists():
        return set()
    with table.open(encoding="utf-8", newline="") as stream:
        return {(row["draw"], row["fold"], row["strategy"]) for row in csv.DictReader(stream)}


def _append(table: Path, fold: str, rows: Sequence[dict]) -> None:
    """Adds one training's rows in a single write."""
    table.parent.mkdir(parents=True, exist_ok=True)
    fresh = not table.exists()
    text = pd.DataFrame(rows, columns=FORMER_COLUMNS).assign(fold=fold).to_csv(index=False, header=fresh)
    with table.open("ab", buffering=0) as stream:
        stream.write(text.encode())
        os.fsync(stream.fileno())


def gather(work: Path) -> pd.DataFrame:
    """All trainings so far, with each case's patient; kept as `auto_runs.csv.gz`.

    Raises:
        FileNotFoundError: there are none.
    """
    tables = []
    for data_set in DATA_SETS:
        if (path := work / f"{data_set.name}.csv").exists():
            table = pd.read_csv(path, dtype={"fold": str, "case": str})
            tables.append(
                table.assign(patient=[patient_of(case, data_set.patient) for case in table["case"]])
            )
    if not tables:
        raise FileNotFoundError(f"no tables in {work}: train first, with --data")
    columns = ["dataset", "draw", "fold", "strategy", "n", "case", "patient", "structure", "dice", "nsd"]
    runs = pd.concat(tables)[columns].round({"dice": 4, "nsd": 4})
    runs = runs.sort_values(columns[:8])
    runs.to_csv(KEPT, index=False, compression={"method": "gzip", "mtime": 0})
    return runs


def _kept() -> pd.DataFrame:
    return pd.read_csv(KEPT, dtype={"fold": str, "case": str, "patient": str})


def whole_sessions(runs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each data set's draws that have every fold and every training on all cases."""
    for name, table in runs.groupby("dataset", sort=False):
        kept = []
        for _, session in table.groupby("draw"):
            made = session.groupby("strategy")["fold"].agg(lambda folds: frozenset(folds))
            if len(made) == len(ARMS) and made.nunique() == 1 and WHOLE in made.iloc[0]:
                kept.append(session)
        if kept:
            yield str(name), pd.concat(kept)


def chosen_by(session: pd.DataFrame) -> tuple[str, dict[str, str]]:
    """What `auto` takes after the folds, and what it saw of each strategy."""
    folds = session[session["fold"] != WHOLE]
    seen = [
        Score(
            n=row.n,
            dice=None if np.isnan(row.dice) else row.dice,
            structure=row.structure,
            case=row.case,
            patient=row.patient,
            run=f"{row.strategy}-{row.fold}",
            strategy=row.strategy,
            kind="fold" if row.strategy == OWN else "arm",
        )
        for row in folds.itertuples()
    ]
    own = (OWN, NETWORK)
    found = {
        arm.name: said(tuple(100 * arm.dice_difference[key] for key in ("mean", "lo80", "hi80")), 1, "+")
        for arm in compare_arms(seen, own, {})
    }
    return choose_strategy(seen, own).strategy, found


def rows_of(name: str, table: pd.DataFrame) -> tuple[list[dict[str, str]], dict[str, np.ndarray]]:
    """A data set's sessions as rows, and the points over `baseline` per strategy (`auto` too) and session."""
    tests = Runs(table[table["fold"] == WHOLE], "dice", [arm.name for arm in ARMS])
    rows, points = [], {arm.name: [] for arm in ARMS} | {"auto": []}
    for index, draw in enumerate(tests.draws):
        choice, folds = chosen_by(table[table["draw"] == draw])
        row = {"data set": name, "draw": str(draw)}
        for arm in tests.arms:
            found = tests.difference(tests.of(arm)[0, [index]], tests.of(OWN)[0, [index]], 0.8)
            points[arm].append(found[0])
            if arm != OWN:
                row[f"{arm}: folds"] = folds.get(arm, "")
                row[f"{arm}: found"] = said(found, 1, "+")
        points["auto"].append(points[choice][-1])
        rows.append({**row, "auto": choice, "of auto": f"{points['auto'][-1]:+.1f}"})
    return rows, {arm: np.array(values) for arm, values in points.items()}


def summary_of(points: dict[str, dict[str, np.ndarray]]) -> list[dict[str, str]]:
    """Mean over the data sets of each strategy's points, with an interval over data sets."""
    sets = list(points)
    names = [name for name in points[sets[0]] if name != OWN]
    best = {s: np.max(list(points[s].values()), axis=0) for s in sets}
    rows = []
    for name in [*names, "the best, known afterwards"]:
        values = {s: points[s].get(name, best[s]) for s in sets}
        all_values = np.concatenate(list(values.values()))
        set_of = np.repeat(sets, [len(values[s]) for s in sets])
        rows.append(
            {
                "always": name,
                "sessions": str(len(all_values)),
                "points over baseline": said(task_mean(all_values, set_of, 0.8), 1, "+"),
                "worst session": f"{all_values.min():+.1f}",
                "sessions a point and more better": str(int((all_values >= 1).sum())),
                "a point and more worse": str(int((all_values <= -1).sum())),
            }
        )
    return rows


def main() -> None:
    """Trains what is missing, then writes the table of the sessions that are whole."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the data sets; without it nothing is trained")
    parser.add_argument(
        "--work", type=Path, help="folder for the tables of the trainings; without it those kept here"
    )
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after about this long")
    parser.add_argument("--only", help="names of data sets, separated by commas")
    arguments = parser.parse_args()
    if arguments.data and not arguments.work:
        parser.error("--data asks for --work")
    if arguments.data:
        train_all(arguments)
    rows, points = [], {}
    for name, table in whole_sessions(gather(arguments.work) if arguments.work else _kept()):
        found, points[name] = rows_of(name, table)
        rows += found
    if not rows:
        Console().print("no session is whole yet")
        return
    text = [
        "# What `auto` chose, and what came of it",
        "",
        f"Made by `python -m benchmarks.auto.run`: {len(rows)} sessions of {N} labelled cases. Points of Dice over",
        f"`{OWN}`, brackets 80 % intervals: of the folds over their patients (as the app sees it), of what was found over",
        "the test patients, of the summary over data sets.",
        "",
        markdown(summary_of(points)),
        "",
        markdown(rows),
        "",
    ]
    (RESULTS / "auto.md").write_text("\n".join(text), encoding="utf-8")
    print("\n".join(text))


if __name__ == "__main__":
    main()
