"""The `learning_curve` job: the runs that the curve is owed, cheapest first, within a budget.

Every run is one ledger entry that begins and ends in one transaction each, so the job may be killed at
any point; the next one goes on with what is still due, and in the middle of a training where its
checkpoint stands. The published model and its stats are never written here, and the networks of these
runs are not kept.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from statistics import fmean

from scaling_app.ledger import Run, utc_now
from scaling_app.monai_app.session import Session
from scaling_app.monai_app.train_options import TrainOptions
from scaling_app.monai_app.train_runs import (
    Material,
    gather,
    observations_of,
    plan_for,
    prepare,
    settings_of,
    test_then_train,
)
from scaling_app.trials.curve_points import (
    CHECKPOINTS,
    RunDue,
    UsableCase,
    block_of,
    checkpoint_of,
    fits_budget,
    planned_total,
    runs_due,
)
from scaling_app.trials.plan import Plan
from scaling_app.trials.trial import StepReport, test, train

logger = logging.getLogger(__name__)

FAILURES_ALLOWED = 2
"""So many failed runs in a row end the job."""


def run_curve_job(session: Session, options: TrainOptions, budget_minutes: float) -> dict:
    """Works off what is due.

    Returns:
        `done` and `total` runs of the present checkpoint, and a sentence.

    Raises:
        OptionError: nothing to train on.
    """
    material = gather(session)
    session.ledger.set_job({"state": "running", "message": "Testing the model in use on new cases"})
    try:
        test_then_train(session, material)
        message, done, total = _CurveJob(session, options, material, budget_minutes * 60).work()
    except Exception as error:
        session.ledger.set_job({"state": "idle", "message": f"The curve job failed: {error}"})
        raise
    session.ledger.set_job({"state": "idle", "done": done, "total": total, "message": message})
    return {"done": done, "total": total, "message": message}


class _CurveJob:
    def __init__(self, session: Session, options: TrainOptions, material: Material, budget_s: float) -> None:
        self.session = session
        self.options = options
        self.material = material
        self.budget_s = budget_s
        self.started = time.monotonic()
        self.durations: list[float] = []
        self.settings_hash = options.settings_hash(session.structures(), session.conf.dimension)
        self.cases = [
            UsableCase(case.image_id, case.patient, case.label_hash) for case in material.cases.values()
        ]
        self._plans: dict[int, Plan] = {}

    def work(self) -> tuple[str, int, int]:
        """Runs what is due; returns a sentence, the runs done and the runs planned."""
        checkpoint = checkpoint_of(len(self.cases))
        if checkpoint is None:
            missing = CHECKPOINTS[0] - len(self.cases)
            return f"Cross-validation begins at {CHECKPOINTS[0]} cases: {missing} more to label.", 0, 0
        blocks = self._fix_block(checkpoint)
        finished = [run.run_id for run in self.session.ledger.runs() if run.state == "done"]
        due = runs_due(
            self.cases,
            done=finished,
            settings_hash=self.settings_hash,
            seed=self.options.seed,
            blocks=blocks,
        )
        total = planned_total(self.cases, self.options.seed, blocks)
        if total == 0:
            return "Cross-validation needs labels of at least two patients.", 0, 0
        return self._run_all(due, total)

    def _fix_block(self, checkpoint: int) -> Mapping[str, Sequence[str]]:
        """Remembers which cases this checkpoint is made of, so that new labels do not disturb it."""
        blocks = dict(self.session.ledger.setting("curve_blocks", {}))
        members = [case.image_id for case in block_of(self.cases, checkpoint, blocks)]
        if blocks.get(str(checkpoint)) != members:
            blocks[str(checkpoint)] = members
            self.session.ledger.set_setting("curve_blocks", blocks)
        return blocks

    def _run_all(self, due: Sequence[RunDue], total: int) -> tuple[str, int, int]:
        done = total - len(due)
        failures = 0
        for position, run in enumerate(due):
            if not fits_budget(time.monotonic() - self.started, self.budget_s, self.durations):
                left = len(due) - position
                return (
                    f"The budget is used up: {left} of {total} trainings wait for the next job.",
                    done,
                    total,
                )
            self._report(done, total, left=len(due) - position, message=_describe(run))
            begun = time.monotonic()
            if self._run_one(run, done, total, left=len(due) - position):
                done, failures = done + 1, 0
            else:
                failures += 1
                if failures >= FAILURES_ALLOWED:
                    return "Two trainings in a row failed; see the server's log.", done, total
            self.durations.append(time.monotonic() - begun)
        return f"All {total} trainings for {len(self.cases)} cases are done.", done, total

    def _run_one(self, due: RunDue, done: int, total: int, *, left: int) -> bool:
        ledger = self.session.ledger
        ledger.start_run(self._record(due))
        checkpoint = self.session.folder / "unfinished" / f"{due.run_id}.pt"
        try:
            plan = self._plan(due)
            files = [*self.material.of(due.train_ids), *self.material.pool]
            model = train(
                prepare(self.session, plan, files),
                due.train_ids,
                settings_of(self.options),
                pool_ids=[case.case_id for case in self.material.pool],
                checkpoint=checkpoint,
                on_step=_Progress(self, due, done, total, left),
            )
            scores = test(model, self.material.of(due.test_ids), tolerance_mm=self.session.conf.tolerance_mm)
        except Exception as error:
            logger.exception("Curve run %s failed", due.run_id)
            ledger.finish_run(due.run_id, state="failed", message=f"{type(error).__name__}: {error}")
            checkpoint.unlink(missing_ok=True)
            return False
        ledger.finish_run(due.run_id, observations_of(due.run_id, due.purpose, scores, self.material.cases))
        checkpoint.unlink(missing_ok=True)
        return True

    def _record(self, due: RunDue) -> Run:
        return Run(
            run_id=due.run_id,
            purpose=due.purpose,
            strategy=self.options.strategy,
            network=self.options.network,
            train_ids=due.train_ids,
            n=due.n,
            seed=self.options.seed,
            fold=due.fold,
            settings_hash=self.settings_hash,
            started_at=utc_now(),
        )

    def _plan(self, due: RunDue) -> Plan:
        """One plan per fold, from the fold's training cases; its nested runs share it."""
        if due.fold not in self._plans:
            held_out = {self.material.cases[i].patient for i in due.test_ids}
            members = set(self.session.ledger.setting("curve_blocks", {})[str(due.checkpoint)])
            training = [
                case.image_id
                for case in self.cases
                if case.image_id in members and case.patient not in held_out
            ]
            self._plans[due.fold] = plan_for(self.session, self.options, self.material.of(training))
        return self._plans[due.fold]

    def _report(self, done: int, total: int, *, left: int, message: str, share: float = 0.0) -> None:
        eta = (left - share) * fmean(self.durations) if self.durations else None
        self.session.ledger.set_job(
            {"state": "running", "done": done, "total": total, "eta_seconds": eta, "message": message}
        )


class _Progress:
    """Reports a run's steps to the ledger, at most every few seconds."""

    EVERY_SECONDS = 2.0

    def __init__(self, job: _CurveJob, due: RunDue, done: int, total: int, left: int) -> None:
        self._job, self._due, self._done, self._total, self._left = job, due, done, total, left
        self._last = time.monotonic()

    def __call__(self, report: StepReport) -> None:
        if time.monotonic() - self._last < self.EVERY_SECONDS:
            return
        self._last = time.monotonic()
        share = report.step / max(1, report.steps)
        message = f"{_describe(self._due)}, step {report.step} of {report.steps}"
        self._job._report(self._done, self._total, left=self._left, message=message, share=share)


def _describe(run: RunDue) -> str:
    cases = "case" if run.n == 1 else "cases"
    return f"Training on {run.n} {cases} (fold {run.fold + 1}), testing on {len(run.test_ids)}"
