"""Does the app see when a session lacks steps rather than cases? Its own comparison, against what then happens.

    python -m benchmarks.longer.run --data DIR --work DIR [--orders 5]

The sessions of `app_sessions.py` (same cases, orders, steps and network) at 16 cases: the app cross-validates,
trains its folds once more with four times the steps, and advises. What then happens: models of exactly these
16 cases, trained either way, and of 32 cases, tested on the cases that no session has seen. Resumable; the
table goes to `results/longer_sessions.md`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from benchmarks.common.paired_runs import said
from benchmarks.common.tables import markdown, task_mean
from benchmarks.forecast.app_sessions import OneSession, orders_of
from scaling_app.curve.ledger_curve import forecast_from
from scaling_app.experiments.cohort import find_cases
from scaling_app.forecast.arms import LONGER_TIMES, longer_name
from scaling_app.studies.curve_job import run_curve_job
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.testing import test

RESULT = Path(__file__).parent / "results" / "longer_sessions.md"
N_NOW = 16
TRUTHS = {"now": (N_NOW, 1), "longer": (N_NOW, LONGER_TIMES), "more cases": (2 * N_NOW, 1)}
"""Cases, and how many times the steps."""


def one_row(
    number: int, order: Sequence[CaseFiles], aside: Sequence[CaseFiles], work: Path
) -> dict[str, str]:
    """One session: what the app said, and what happened."""
    one = OneSession(work, order, seed=number)
    one.label(N_NOW)
    run_curve_job(one.studies, one.options, 1e4, [longer_name(one.options.strategy)])
    told = forecast_from(one.studies.ledger)
    (arm,) = told["strategies"]
    row = next(row for row in told["overall"]["forecast"] if row["n"] == 2 * N_NOW)
    scores = {name: _scores(one, work / f"{name}.csv", aside, *how) for name, how in TRUTHS.items()}
    return {
        "order": str(number + 1),
        f"{LONGER_TIMES} times the steps: said": _points(arm["dice_difference"]),
        "found": _found(scores["longer"] - scores["now"]),
        f"{2 * N_NOW} cases: said": _points(row["gain"]),
        "found ": _found(scores["more cases"] - scores["now"]),
        "advice": told["advice"]["sentence"],
    }


def _scores(one: OneSession, file: Path, aside: Sequence[CaseFiles], n: int, times: int) -> pd.Series:
    """Mean Dice of each case set aside."""
    if not file.exists():
        scored = test(one.exactly(n, times), aside)
        rows = [(case.case_id, score.dice) for case in scored for score in case.scores]
        pd.DataFrame(rows, columns=["case", "dice"]).to_csv(file, index=False)
    return pd.read_csv(file).groupby("case")["dice"].mean()


def _points(gain: dict[str, float]) -> str:
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * gain[key] for key in ("mean", "lo80", "hi80")))


def _found(differences: pd.Series) -> str:
    values = 100 * differences.to_numpy()
    return said(task_mean(values, np.arange(len(values)), 0.8), 1, "+")


def main() -> None:
    """Runs the sessions one after the other, writing the table as it grows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--orders", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cases = find_cases(arguments.data / "images", arguments.data / "labels")
    aside, orders = orders_of(cases, arguments.orders)
    rows: list[dict[str, str]] = []
    for number, order in enumerate(orders):
        rows.append(one_row(number, order, aside, arguments.work / f"order_{number}"))
        text = [
            "# Steps or cases?",
            "",
            f"Made by `python -m benchmarks.longer.run`: the app's sessions on MSD hippocampus at {N_NOW} cases,",
            f"{len(aside)} others to test on. Points of Dice; brackets: 80 % intervals, those of what was found over the",
            "test cases.",
            "",
            markdown(rows),
            "",
        ]
        RESULT.write_text("\n".join(text), encoding="utf-8")
        Console().print(f"order {number + 1} of {len(orders)}")


if __name__ == "__main__":
    main()
