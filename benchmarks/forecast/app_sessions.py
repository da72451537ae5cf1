"""Sessions of the app on real data: labels come in one by one, the app's own code trains, tests and keeps its ledger.

    python -m benchmarks.forecast.app_sessions --data DIR --work DIR [--orders 10]

`DIR` holds `images/` and `labels/` (MSD hippocampus). Of its cases `TRUTH_CASES` are set aside; no session sees them. A
session takes 32 of the others in a random order. As in the app, the published model is trained anew at a
few sizes and tested on each new case before it trains on it, and at the checkpoints a learning-curve job
cross-validates and trains on nested subsets. What then happens is measured too: models of exactly the first
n cases of the order, tested on the cases that were set aside.

Resumable: a session's runs are in its ledger under `--work`, what was measured on the cases set aside in
`truth.csv` there. Whole sessions go to `data/app_sessions.csv.gz`, scores only; `run.py` reads them.
Small on purpose (slices, 250 steps, the small network): a training takes some seconds of one core.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from benchmarks.forecast.app_session_tests import TABLE
from scaling_app.curve.ledger_curve import curve_observations
from scaling_app.experiments.cohort import find_cases
from scaling_app.monai_app.studies_folder import StudiesFolder
from scaling_app.studies.conf import read_conf
from scaling_app.studies.curve_job import run_curve_job
from scaling_app.studies.labels.intake import LabelIntake
from scaling_app.studies.planning import plan_for, prepare
from scaling_app.studies.studies import Studies
from scaling_app.studies.train_options import TrainOptions, parse_options
from scaling_app.studies.train_runs import settings_of, train_and_publish
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.model import TrainedModel
from scaling_app.trials.testing import CaseScore, test
from scaling_app.trials.training import train

COLUMNS = ("order", "n_now", "kind", "run", "n", "case", "structure", "dice")
TRUTH_CASES = 60
LARGEST = 32
PUBLISHED_AT = (2, 3, 5, 8, 12, 16)
TRUTH_AT = (8, 12, 16, 24, 32)
CURVE_AT = (8, 16)
STEPS = 250
MEMORY_MB = 40
STRUCTURES = {"anterior": 1, "posterior": 2}


class OneSession:
    """A session on one order of cases; `work` is its own folder."""

    def __init__(self, work: Path, order: Sequence[CaseFiles], seed: int) -> None:
        self.order, self.work = order, work
        studies = work / "studies"
        studies.mkdir(parents=True, exist_ok=True)
        for case in order:
            if not (studies / case.image.name).exists():
                shutil.copyfile(case.image, studies / case.image.name)
        labels = ",".join(f"{name}={value}" for name, value in STRUCTURES.items())
        raw = {
            "labels": labels,
            "dimension": "2",
            "network": "resunet",
            "steps": str(STEPS),
            "seed": str(seed),
            "ledger": str(work / "app" / "ledger.sqlite"),
        }
        conf = read_conf(raw, app_dir=work / "app", studies=str(studies))
        store = StudiesFolder(studies)
        self.studies = Studies(replace(conf, memory_gb=MEMORY_MB / 1024), store)
        self.studies.adopt_conf_labels()
        self.options: TrainOptions = parse_options({}, self.studies.conf)
        self.intake = LabelIntake(self.studies)

    def label(self, n: int) -> None:
        """Has the first n cases labelled."""
        known = {case.image_id for case in self.studies.ledger.cases()}
        info = [{"name": name, "idx": value} for name, value in STRUCTURES.items()]
        for case in self.order[:n]:
            if case.case_id not in known and case.label is not None:
                self.intake.store(case.case_id, case.label, {"label_info": info}, None)

    def at(self, n: int) -> TrainedModel | None:
        """Does what the app does at n cases; the published model, where one was due."""
        self.label(n)
        if n in CURVE_AT:
            run_curve_job(self.studies, self.options, budget_minutes=1e4)
            self._note(n)
        if n not in PUBLISHED_AT:
            return None
        if not any(run.n == n and run.state == "done" for run in self.studies.ledger.runs("published")):
            train_and_publish(self.studies, self.options)
        published = self.studies.published()
        assert published is not None
        return TrainedModel.load(published.model_file) if len(published.train_ids) == n else None

    def exactly(self, n: int, times: int = 1) -> TrainedModel:
        """A model of the first n cases, trained as the app trains the one it publishes, or so many times as long."""
        cases = self.order[:n]
        plan = plan_for(self.studies, self.options, cases)
        ids = [case.case_id for case in cases]
        options = replace(self.options, steps=times * self.options.steps)
        return train(prepare(self.studies, plan, cases), ids, settings_of(options))

    def _note(self, n_now: int) -> None:
        """Keeps what the ledger's observations are at this number of cases."""
        rows = [
            (n_now, seen.kind, seen.run, seen.n, seen.case, seen.structure, seen.dice)
            for seen in curve_observations(self.studies.ledger)
        ]
        _write(self.work / f"observed_{n_now}.csv", COLUMNS[1:], rows)


def orders_of(cases: Sequence[CaseFiles], count: int) -> tuple[list[CaseFiles], list[list[CaseFiles]]]:
    """The cases set aside, and the orders."""
    shuffled = [cases[i] for i in np.random.default_rng(2026).permutation(len(cases))]
    aside, rest = shuffled[:TRUTH_CASES], shuffled[TRUTH_CASES:]
    return aside, [
        [rest[i] for i in np.random.default_rng([2026, order]).permutation(len(rest))[:LARGEST]]
        for order in range(count)
    ]


def run_order(number: int, order: Sequence[CaseFiles], aside: Sequence[CaseFiles], work: Path) -> None:
    """One session from its first label to its last; what is done already is not done again."""
    truth = work / "truth.csv"
    if truth.exists() and {int(row[0]) for row in _read(truth)} >= set(TRUTH_AT):
        return
    one = OneSession(work, order, seed=number)
    for n in sorted({*PUBLISHED_AT, *CURVE_AT, *TRUTH_AT}):
        done = {int(row[0]) for row in _read(truth)} if truth.exists() else set()
        if n in done:
            continue
        model = one.at(n) if n <= max(CURVE_AT) else None
        if n in TRUTH_AT:
            model = model or one.exactly(n)
            scores = test(model, aside)
            _write(truth, ("n", "case", "structure", "dice"), _truth_rows(n, scores), append=True)


def _truth_rows(n: int, scores: Sequence[CaseScore]) -> list[tuple[object, ...]]:
    return [(n, scored.case_id, s.structure, s.dice) for scored in scores for s in scored.scores]


def collect(work: Path, orders: int, out: Path) -> int:
    """Writes the table of the sessions that are complete; how many there are."""
    rows: list[list[object]] = []
    complete = 0
    for number in range(orders):
        folder = work / f"order_{number}"
        truth = _read(folder / "truth.csv") if (folder / "truth.csv").exists() else []
        if {int(row[0]) for row in truth} < set(TRUTH_AT):
            continue
        complete += 1
        for n_now in CURVE_AT:
            for row in _read(folder / f"observed_{n_now}.csv"):
                rows.append([number, *row[:2], _short(row[2]), *row[3:]])
        rows += [[number, "", "truth", f"truth-{row[0]}", *row] for row in truth]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([*row[:-1], row[-1] and f"{float(str(row[-1])):.4f}"] for row in rows)
    with out.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as packed:
        packed.write(text.getvalue().encode())
    return complete


def _short(run: str) -> str:
    """A run's name without the hash of its settings, which says nothing here."""
    return run.rsplit("-", 1)[0] if run.startswith(("fold", "nested")) else run[-6:]


def _read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))[1:]


def _write(
    path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]], *, append: bool = False
) -> None:
    fresh = not (append and path.exists())
    with path.open("w" if fresh else "a", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        if fresh:
            writer.writerow(columns)
        writer.writerows(rows)


def main() -> None:
    """Runs the sessions one after the other, then writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--orders", type=int, default=10)
    parser.add_argument("--out", type=Path, default=TABLE)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    cases = find_cases(arguments.data / "images", arguments.data / "labels")
    aside, orders = orders_of(cases, arguments.orders)
    for number, order in enumerate(orders):
        run_order(number, order, aside, arguments.work / f"order_{number}")
        console.print(f"order {number + 1} of {len(orders)}")
    complete = collect(arguments.work, arguments.orders, arguments.out)
    console.print(f"{complete} sessions -> {arguments.out}")


if __name__ == "__main__":
    main()
