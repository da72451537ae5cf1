"""The stats file that the stock Slicer module turns into its progress and Accuracy bars."""

from __future__ import annotations

import json
import logging
import time
from datetime import timedelta
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from scaling_app.log.trouble import Trouble
from scaling_app.storage import write_whole_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scaling_app.ledger import Ledger, Observation
    from scaling_app.trials.step_report import StepReport

logger = logging.getLogger(__name__)

WRITE_EVERY_SECONDS = 1.0

MOST_RECENT = 20
"""Test-then-train cases that speak for the present model."""

SAME_SIZE = 0.8
"""Folds of one cross-validation differ less than this in their numbers of cases, two of them more."""


def latest_accuracy(ledger: Ledger) -> float | None:
    """Mean Dice of the newest evidence on cases that the tested network had not seen.

    The held-out patients of the newest published run; else the newest cross-validation; else the last
    test-then-train cases; None while there is none of them.
    """
    newest = next((run.run_id for run in reversed(ledger.runs("published")) if run.state == "done"), None)
    current = ledger.observations()
    held_out = [seen.dice for seen in current if seen.run_id == newest and seen.kind == "prequential"]
    folds = [seen for seen in current if seen.kind == "fold"]
    fold_n = {run.run_id: run.n for run in ledger.runs("fold")}
    most = max((fold_n.get(seen.run_id, 0) for seen in folds), default=0)
    crossed = _once_each(seen for seen in folds if fold_n.get(seen.run_id, 0) >= SAME_SIZE * most)
    recent = [seen.dice for seen in current if seen.kind == "prequential"][-MOST_RECENT:]
    for evidence in (held_out, crossed, recent):
        known = [dice for dice in evidence if dice is not None]
        if known:
            return fmean(known)
    return None


def _once_each(folds: Iterable[Observation]) -> list[float]:
    """Means over the trainings that tested the same case: some folds are trained twice."""
    tests: dict[tuple[str, str], list[float]] = {}
    for seen in folds:
        if seen.dice is not None:
            tests.setdefault((seen.image_id, seen.structure), []).append(seen.dice)
    return [fmean(scores) for scores in tests.values()]


class TrainStats:
    """Writes `train_stats.json` while a training runs, whole each time.

    An "epoch" of the stock module is a training step here.

    Args:
        path: the file.
        total: steps planned.
        accuracy: mean Dice to show meanwhile, None to show none.
        facts: what else is known from the start.
    """

    def __init__(self, path: Path, *, total: int, accuracy: float | None, **facts: str) -> None:
        self._path = path
        self._started = time.time()
        self._written = 0.0
        self._trouble = Trouble(logger)
        self._stats: dict[str, object] = {
            "epoch": 0,
            "total_epochs": total,
            "start_ts": int(self._started),
            "current_time": "0:00:00",
            **facts,
        }
        self._show(accuracy)
        self._write()

    def step(self, report: StepReport) -> None:
        """Takes up the progress; the file is written at most once a second."""
        self._stats |= {"epoch": report.step, "total_epochs": report.steps, "phase": report.phase}
        self._stats["current_time"] = self._elapsed()
        self._stats.pop("seconds_left", None)
        if report.eta_s is not None:
            self._stats["seconds_left"] = round(report.eta_s)
        if time.time() - self._written >= WRITE_EVERY_SECONDS:
            self._write()

    def end(self, accuracy: float | None, *, steps: int, **facts: int) -> dict[str, object]:
        """The last word: the steps that were made, which the minutes may have cut short, total time, accuracy, and what else is known."""
        self._stats |= {"epoch": steps, "total_epochs": steps, "total_time": self._elapsed(), **facts}
        for of_the_way in ("current_time", "seconds_left"):
            self._stats.pop(of_the_way, None)
        self._show(accuracy)
        self._write()
        return self._stats

    def _show(self, accuracy: float | None) -> None:
        if accuracy is not None:
            self._stats["best_metric"] = round(accuracy, 4)

    def _elapsed(self) -> str:
        return str(timedelta(seconds=int(time.time() - self._started)))

    def _write(self) -> None:
        """A file that only shows how far the training is must not end it."""
        self._written = time.time()
        try:
            write_whole_text(self._path, json.dumps(self._stats, allow_nan=False))
        except OSError as error:
            self._trouble.tell(
                "The progress of the training cannot be shown, and the training goes on: %s", error
            )
        else:
            self._trouble.over()
