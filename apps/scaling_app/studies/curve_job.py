"""The `learning_curve` job: the runs that the curve is owed, cheapest first, within a budget.

First the session's own curve, then other strategies on the same folds (arms), then, where the luck of a training is
large, some folds again, then, once in a session and whenever more cases seem to bring little, longer trainings; at last
a look at the shapes of the images without labels. Every run is one ledger entry that begins and ends in one transaction
each, so the job may be killed at any point; the next one goes on with what is still due, and in the middle of a training
where its checkpoint stands. `curve_work` has them carried out, here or on other machines. The published model and its
stats are never written here, and the networks of these runs are not kept.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from scaling_app.curve.curve_points import (
    CURVE_SIZES,
    ArmDue,
    RunDue,
    UsableCase,
    block_of,
    curve_size_of,
    runs_due,
)
from scaling_app.curve.ledger_curve import little_to_gain, luck_is_large
from scaling_app.curve.recipe import Recipe, note_whole, whatever_minutes
from scaling_app.ledger import Run, utc_now
from scaling_app.strategies.catalogue import same_as
from scaling_app.studies.curve_run import CurveRun
from scaling_app.studies.curve_work import CurveWork
from scaling_app.studies.planning import memory_for_cases, plan_for
from scaling_app.studies.shape_coverage_job import look_at_pool
from scaling_app.studies.studies import Studies
from scaling_app.studies.train_options import TrainOptions
from scaling_app.studies.train_runs import (
    Material,
    gather,
    settings_of,
    test_then_train,
)
from scaling_app.studies.unfinished import curve_checkpoint, sweep_curve_checkpoints
from scaling_app.trials.plan import Plan
from scaling_app.trials.workplace import Workplace
from scaling_app.words import count

logger = logging.getLogger(__name__)

LONGER_FROM = 8
"""Fewer cases gain more by cases than by steps: from 4 on eight of nine data sets (`bank_fits.md`)."""

COVERAGE_SHARE = 0.2
"""Of the budget, on top of it, for the look at the pool: it must not starve while runs are due."""


def run_curve_job(
    studies: Studies,
    options: TrainOptions,
    budget_minutes: float,
    compared: Sequence[str] = (),
    longer: Sequence[str] = (),
) -> dict[str, Any]:
    """Works off what is due.

    Args:
        budget_minutes: for the trainings, the session's own and those of `compared`.
        compared: the strategies to train on the session's own folds.
        longer: those to train there once, from `LONGER_FROM` cases on, and whenever further cases promise little.

    Returns:
        `done` and `total` runs of the present curve size, and a sentence.

    Raises:
        OptionError: nothing to train on.
    """
    material = gather(studies)
    studies.ledger.set_job({"state": "running", "message": "Testing the model in use on new cases"})
    try:
        test_then_train(studies, material)
        job = _CurveJob(studies, options, material, budget_minutes * 60, compared)
        message, done, total = job.work()
        if job.own_is_done() and job.asks_again():
            message, done, total = job.work()
        if longer and 0 < done == total and job.asks_for(longer):
            job.compare(longer)
            message, done, total = job.work()
        job.look_at_pool(done, total)
    except Exception as error:
        studies.ledger.set_job({"state": "idle", "message": f"The curve job failed: {error}"})
        raise
    studies.ledger.set_job({"state": "idle", "done": done, "total": total, "message": message})
    return {"done": done, "total": total, "message": message}


class _CurveJob:
    def __init__(
        self,
        studies: Studies,
        options: TrainOptions,
        material: Material,
        budget_s: float,
        compared: Sequence[str],
    ) -> None:
        self.studies = studies
        self.options = options.own_curve()
        self.material = material
        self.budget_s = budget_s
        self.own = self._arm(self.options.strategy)
        self.recipe = Recipe(self.own.settings_hash.partition(":")[0], self.options.max_minutes)
        self.doing = CurveWork(studies, material, self.own.strategy, budget_s, self._made, self._times)
        self.arms: list[ArmDue] = []
        self.again = False
        self.compare(compared)
        self.cases = [
            UsableCase(case.image_id, case.patient, case.label_hash) for case in material.cases.values()
        ]
        self._plans: dict[int, Plan] = {}

    def compare(self, strategies: Sequence[str]) -> None:
        """Plans these strategies on the folds too."""
        self.arms += [self._arm(strategy) for strategy in strategies]

    def asks_for(self, longer: Sequence[str]) -> bool:
        """Whether it is time to see if the curve lacks steps rather than cases."""
        own = self._folds_done("fold", self.own)
        tried = all(self._folds_done("arm", self._arm(strategy)) >= own for strategy in longer)
        return (len(self.cases) >= LONGER_FROM and not tried) or little_to_gain(self.studies.ledger)

    def own_is_done(self) -> bool:
        """Whether the session's own curve has all its runs at this curve size, whatever became of the arms."""
        size = curve_size_of(len(self.cases))
        done = [run for run in self.studies.ledger.runs() if run.state == "done"]
        own = [] if size is None else self.recipe.as_named(self._planned(self._fix_block(size)), done)
        finished = {run.run_id for run in done}
        return bool(own) and all(run.run_id in finished for run in own)

    def asks_again(self) -> bool:
        """Whether luck is large, so that some folds are to be trained a second time; so it is once that has begun."""
        if not self.again and luck_is_large(self.studies.ledger):
            self.again = True
            return True
        return False

    def _folds_done(self, purpose: str, arm: ArmDue) -> set[int | None]:
        """At this curve size or an earlier one."""
        done = [run for run in self.studies.ledger.runs(purpose) if run.state == "done"]
        counting = self.recipe.of_curve(done).values()
        return {run.fold for run in counting if run.settings_hash == arm.settings_hash}

    def work(self) -> tuple[str, int, int]:
        """Runs what is due; returns a sentence, the runs done and the runs planned."""
        curve_size = curve_size_of(len(self.cases))
        if curve_size is None:
            # it stays in sight while further cases are labelled: how many are missing would be out of date
            found = count(len(self.cases), "usable case")
            return f"Cross-validation begins at {CURVE_SIZES[0]} cases; this measurement found {found}.", 0, 0
        blocks = self._fix_block(curve_size)
        own = self._planned(blocks)
        twice = {run.run_id for run in self._planned(blocks, again=True)} - {run.run_id for run in own}
        known = self.studies.ledger.runs()
        self.again = self.again or any(whatever_minutes(run.run_id) in twice for run in known)
        arms = self._that_differ([run for run in own if run.purpose == "fold"])
        planned = self._planned(blocks, arms, again=self.again)
        if not planned:
            return "Cross-validation needs labels of at least two patients.", 0, 0
        done = [run for run in known if run.state == "done"]
        planned = self.recipe.as_named(planned, done)
        finished = {run.run_id for run in done}
        due = [run for run in planned if run.run_id not in finished]
        sweep_curve_checkpoints(self.studies, {run.run_id for run in due}, finished)
        message, made, total = self.doing.all_of(due, len(planned))
        if not self.doing.waiting and self.own_is_done():
            note_whole(self.studies.ledger, self.recipe)
        return message, made, total

    def _planned(
        self, blocks: Mapping[int, Sequence[str]], arms: Sequence[ArmDue] = (), *, again: bool = False
    ) -> list[RunDue]:
        seed = self.options.seed
        return runs_due(self.cases, done=(), own=self.own, arms=arms, seed=seed, blocks=blocks, again=again)

    def look_at_pool(self, done: int, total: int) -> None:
        """Compares the shapes of unlabelled images with those of the labelled cases; a failure is only noted."""
        if total and not done:
            return

        def report(message: str, share: float) -> None:
            self.doing.tell(message)

        try:
            look_at_pool(
                self.studies,
                self.options,
                self.material,
                seconds=COVERAGE_SHARE * self.budget_s,
                report=report,
            )
        except Exception:
            logger.exception("The unlabelled images could not be compared with the labelled cases")

    def _that_differ(self, folds: Sequence[RunDue]) -> list[ArmDue]:
        """The arms without those that would make the very models of another: a comparison with oneself."""
        if not folds:
            return []
        patients = min(len({self.material.cases[i].patient for i in run.train_ids}) for run in folds)
        pool = min(len(self.material.pool_beside(run.test_ids)) for run in folds)
        if pool and any(plan.slice_axis is not None for plan in self._plans_of(folds[:1])):
            pool = 0  # strategies leave it alone where the cases are slices
        asked = {self.own.strategy, *(arm.strategy for arm in self.arms)}
        different: list[ArmDue] = []
        for arm in self.arms:
            twin = same_as(arm.strategy, patients, pool)
            if twin != arm.strategy and twin in asked:
                logger.info("%s is not compared: it is %s here", arm.strategy, twin)
            else:
                different.append(arm)
        return different

    def _plans_of(self, folds: Sequence[RunDue]) -> list[Plan]:
        """Those that can be made; what is wrong with the others is told by their runs."""
        try:
            return [self._plan(run) for run in folds]
        except ValueError:
            return []

    def _times(self, strategy: str) -> float:
        """How many times the usual steps its runs make."""
        return self.options.with_strategy(strategy).spelled_out().times

    def _arm(self, strategy: str) -> ArmDue:
        options = self.options.with_strategy(strategy)
        settings = options.settings_hash(self.studies.structures(), self.studies.conf.dimension)
        return ArmDue(strategy, settings)

    def _fix_block(self, curve_size: int) -> Mapping[int, Sequence[str]]:
        """Remembers which cases this curve size is made of, so that new labels do not disturb it."""
        blocks = self.studies.ledger.curve_blocks()
        members = [case.image_id for case in block_of(self.cases, curve_size, blocks)]
        if blocks.get(curve_size) != members:
            blocks[curve_size] = members
            self.studies.ledger.set_curve_block(curve_size, members)
        return blocks

    def _made(self, due: RunDue, place: Workplace) -> CurveRun:
        """The run as it is handed out; in the ledger it begins now."""
        self.studies.ledger.start_run(self._record(due))
        return CurveRun(
            plan=self._plan(due),
            training=tuple(self.material.of(due.train_ids)),
            pool=tuple(self.material.pool_beside(due.test_ids)),
            testing=tuple(self.material.of(due.test_ids)),
            settings=replace(settings_of(self.options.with_strategy(due.strategy)), seed=due.seed),
            tolerance_mm=self.studies.conf.tolerance_mm,
            cache_dir=self.studies.cache_dir,
            memory_bytes=memory_for_cases(self.studies, place.on_one_machine()),
            checkpoint=curve_checkpoint(self.studies, due.run_id),
            shared=place.shared,
        )

    def _record(self, due: RunDue) -> Run:
        return Run(
            run_id=due.run_id,
            purpose=due.purpose,
            strategy=due.strategy,
            network=self.options.network,
            train_ids=due.train_ids,
            n=due.n,
            seed=due.seed,
            fold=due.fold,
            settings_hash=due.settings_hash,
            started_at=utc_now(),
            max_minutes=self.options.max_minutes,
        )

    def _plan(self, due: RunDue) -> Plan:
        """One plan per fold, from the fold's training cases; its nested runs and arms share it."""
        if due.fold not in self._plans:
            held_out = {self.material.cases[i].patient for i in due.test_ids}
            members = set(self.studies.ledger.curve_blocks()[due.curve_size])
            training = [
                case.image_id
                for case in self.cases
                if case.image_id in members and case.patient not in held_out
            ]
            self._plans[due.fold] = plan_for(self.studies, self.options, self.material.of(training))
        return self._plans[due.fold]
