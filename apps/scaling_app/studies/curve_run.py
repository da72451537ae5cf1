"""One run of the curve as it goes to whoever carries it out: plain values and paths, no ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scaling_app.imaging.untrusted import ImageError
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.model import length_of
from scaling_app.trials.plan import Plan
from scaling_app.trials.run_settings import RunSettings
from scaling_app.trials.step_report import OnStep
from scaling_app.trials.testing import CaseScore, test_each
from scaling_app.trials.training import train


@dataclass(frozen=True)
class CurveRun:
    """What to train on what, and the cases to test on.

    Attributes:
        pool: images without labels that the strategy may look at.
        memory_bytes: for the prepared cases of this run; those that run beside it have their own.
        checkpoint: where an earlier attempt stopped, on whatever machine; removed by whoever writes the result down.
        shared: whether other processes use the prepared cases at the same time.
    """

    plan: Plan
    training: tuple[CaseFiles, ...]
    pool: tuple[CaseFiles, ...]
    testing: tuple[CaseFiles, ...]
    settings: RunSettings
    tolerance_mm: float
    cache_dir: Path
    memory_bytes: int
    checkpoint: Path
    shared: bool


@dataclass(frozen=True)
class CurveResult:
    """What came out: the scores, how long the training was, and why it ended."""

    scores: list[CaseScore]
    steps: int
    ended: str
    minutes: float | None


def carry_out(run: CurveRun, *, on_step: OnStep, should_stop: Callable[[], bool]) -> CurveResult:
    """Trains and tests; the network is not kept.

    Raises:
        ImageError: an unreadable training case, or no readable case to test on.
    """
    cases = PreparedCases(
        run.plan, [*run.training, *run.pool], run.cache_dir, run.memory_bytes, shared=run.shared
    )
    model = train(
        cases,
        [case.case_id for case in run.training],
        run.settings,
        pool_ids=[case.case_id for case in run.pool],
        checkpoint=run.checkpoint,
        on_step=on_step,
        should_stop=should_stop,
    )
    scores = test_each(model, run.testing, tolerance_mm=run.tolerance_mm, should_stop=should_stop)
    if not scores and not should_stop():
        raise ImageError("none of the cases to test on can be read; the log says why")
    return CurveResult(scores, **length_of(model.report))
