"""A learning curve on data that are labelled already: train on n cases, test on fixed others, for many n.

The table grows by whole runs, and a run has a checkpoint, so that the next start goes on where a kill came. Runs are
independent; `trials.crew` has them carried out here, in local processes, or on a Dask cluster.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psutil
import torch

from scaling_app.curve.curve_points import digest_of, training_seed
from scaling_app.experiments.case_check import check_cases
from scaling_app.experiments.cohort import Cohort, CohortError, find_cases, make_cohort
from scaling_app.experiments.replay_run import Arm, ReplayRun
from scaling_app.experiments.runs_table import RunsTable
from scaling_app.experiments.unfinished_runs import UnfinishedRuns, held
from scaling_app.forecast.score_table import RUN as KEY
from scaling_app.imaging.network_table import DEFAULT_NETWORK, NETWORKS
from scaling_app.imaging.networks import width_of
from scaling_app.strategies.catalogue import names as strategy_names
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.crew import Crew
from scaling_app.trials.failures import would_fail_again
from scaling_app.trials.fingerprint import found_structures
from scaling_app.trials.memory import bytes_for_cases, bytes_of, saying_what_would_do
from scaling_app.trials.memory import step_bytes as usual_step_bytes
from scaling_app.trials.plan import default_capacity, make_plan
from scaling_app.trials.run_settings import RunSettings
from scaling_app.trials.step_report import OnStep, StepReport
from scaling_app.trials.testing import CaseScore, test
from scaling_app.trials.training import train
from scaling_app.trials.twins import Twins
from scaling_app.trials.workplace import AnyPlace, cluster, here, places_here


@dataclass(frozen=True)
class ReplayProgress:
    """Where a replay stands: runs done and in all, the run at hand, its step or its mean Dice."""

    done: int
    total: int
    run: ReplayRun
    step: StepReport | None
    dice: float | None
    eta_s: float | None


def replay(
    images: Path | str,
    labels: Path | str,
    sizes: Sequence[int],
    strategies: Sequence[str | Arm] = ("baseline",),
    networks: Sequence[str] = (DEFAULT_NETWORK,),
    seeds: int = 1,
    draws: int = 1,
    n_test: int = 50,
    steps: int | None = None,
    out: Path | str = "runs.csv",
    scheduler: str | None = None,
    progress: Callable[[ReplayProgress], None] | None = None,
    patient_pattern: str | None = None,
    *,
    workers: int = 1,
    cache_dir: Path | None = None,
    capacity: str | int | None = None,
    memory_gb: float | None = None,
    step_bytes: int | None = None,
    learning_rate: float | None = None,
    max_minutes: float | None = None,
    pool: int = 0,
    should_stop: Callable[[], bool] | None = None,
    on_check: Callable[[int, int], None] | None = None,
) -> Path:
    """Trains and tests every combination that the table does not hold yet, after a look at the files of all.

    Args:
        images, labels: folders whose files share names.
        sizes: numbers of training cases.
        strategies: names, or arms of their own name with options.
        seeds: runs per training set, which differ in weights and batches.
        draws: training sets per size; nested over sizes.
        steps: of each training; None: as many as its cases ask for.
        out: the table, one row per run, test case and structure.
        scheduler: address of a Dask scheduler whose workers see the same folders.
        progress: told of steps and runs.
        patient_pattern: regular expression whose match in a case's name is its patient.
        workers: local processes; where there are GPUs, no more than these, each with one for itself.
        capacity: size of the networks (default: what suits the device); the table does not tell sizes apart, so one
            table holds one.
        memory_gb: RAM that one training may take, as on the server: half of it cases, half a step, but on a GPU (default:
            a step as with the server's own, cases a quarter of what is free).
        step_bytes: another bound on the memory of a training step; a small one makes the grid coarser and the
            runs short. One table holds one.
        learning_rate: its peak (default: the network's own); the table does not tell it either.
        max_minutes: of each training (default: its steps alone bound it); one table holds one.
        pool: cases of other patients whose images, without labels, strategies may learn from, one number a table.
        should_stop: asked between runs.
        on_check: told how many cases have been looked at, and of how many.

    Raises:
        ValueError: folders, files, sizes, strategies or networks that make no replay, or a table of other runs
            (`CohortError` and others), or one that another replay is writing; a cluster that cannot be used, or
            is lost (`ClusterError`): the same call goes on with what is missing.
    """
    workers = places_here(workers)
    arms = [chosen if isinstance(chosen, Arm) else Arm(chosen, chosen) for chosen in strategies]
    _check_names([arm.strategy for arm in arms], networks)
    if seeds < 1:
        raise CohortError(f"each training set is trained on at least once, not {seeds} times")
    out = Path(out)
    cache = cache_dir or out.with_name(out.stem + ".cache")
    twins = Twins(cache / "contents.json")
    cohort = make_cohort(
        twins.together(find_cases(images, labels, patient_pattern), on_check), n_test, sizes, draws
    )
    structures = _structures(cohort, max(sizes))
    capacity = default_capacity() if capacity is None else capacity
    width_of(capacity)
    for_cases = psutil.virtual_memory().available // 4 if memory_gb is None else bytes_for_cases(memory_gb)
    if step_bytes is None:
        step_bytes = usual_step_bytes() if memory_gb is None else usual_step_bytes(bytes_of(memory_gb))
    runs = [
        ReplayRun(
            dataset=Path(images).resolve().parent.name,
            network=network,
            arm=arm,
            n=n,
            draw=draw,
            seed=seed,
            steps=steps,
            structures=structures,
            training=cohort.training(n, draw),
            testing=cohort.test,
            pool=cohort.pool(n, draw, pool),
            cache_dir=cache.resolve(),
            memory_bytes=for_cases,
            threads=max(1, (os.cpu_count() or 1) // workers) if workers > 1 else None,
            capacity=capacity,
            step_bytes=step_bytes,
            learning_rate=learning_rate,
            max_minutes=max_minutes,
            shared_cache=scheduler is not None or workers > 1,
        )
        for seed in range(seeds)
        for draw in range(draws)
        for n in dict.fromkeys(sizes)
        for network in dict.fromkeys(networks)
        for arm in {arm.name: arm for arm in arms}.values()
    ]
    recipe = {
        "capacity": capacity,
        "step_bytes": step_bytes,
        "learning_rate": learning_rate,
        "pool": pool,
        "max_minutes": max_minutes,
    }
    table = RunsTable(out, recipe)
    with table.held():
        table.open(runs)
        missing = [run for run in runs if run.key not in table.finished]
        used = [case for run in missing for case in run.pool]
        used += [
            case for run in missing for case in (*run.training, *run.testing)
        ]  # these win: they have labels
        check_cases({case.case_id: case for case in used}.values(), on_check)
        table.tidy()
        twins.keep()
        place = partial(here, workers) if scheduler is None else partial(cluster, scheduler)
        unfinished = UnfinishedRuns(cache.resolve() / f"{out.stem}.unfinished")
        unfinished.sweep([run for run in runs if run.key in table.finished], missing)
        doing = _Replaying(missing, len(runs), table, unfinished, progress)
        doing.all(place, cache / f"{out.stem}.under_way", should_stop or (lambda: False))
    return out


def run_once(
    run: ReplayRun, *, on_step: OnStep | None = None, should_stop: Callable[[], bool] | None = None
) -> list[dict[str, object]]:
    """Trains and tests one run; the rows of its table."""
    if run.threads is not None:
        torch.set_num_threads(run.threads)
    with saying_what_would_do("--memory-gb"):
        plan = make_plan(
            run.training,
            run.structures,
            network=run.network,
            capacity=run.capacity,
            memory_bytes=run.step_bytes,
        )
    cases = PreparedCases(
        plan, [*run.training, *run.pool], run.cache_dir, run.memory_bytes, shared=run.shared_cache
    )
    settings = RunSettings(
        strategy=run.arm.strategy,
        steps=run.steps,
        seed=training_seed(run.seed, run.draw, run.n),
        learning_rate=run.learning_rate,
        max_minutes=run.max_minutes,
        options=dict(run.arm.options),
    )
    pool_ids = [case.case_id for case in run.pool]
    with held(run.checkpoint) as checkpoint:
        model = train(
            cases,
            cases.labelled,
            settings,
            pool_ids=pool_ids,
            checkpoint=checkpoint,
            on_step=on_step,
            should_stop=should_stop,
        )
    # a training that was killed counts from its first beginning
    seconds = float(model.report["prepare_seconds"]) + float(model.report["seconds"])
    fixed = {"seconds": seconds, "trained_steps": model.report["steps"], **_done_by_strategy(model.report)}
    scores = test(model, run.testing, should_stop=should_stop)
    return [row for scored in scores for row in _rows_of(run, scored, fixed)]


class _Replaying:
    """The runs that the table lacks, one after the other or side by side."""

    def __init__(
        self,
        missing: Sequence[ReplayRun],
        total: int,
        table: RunsTable,
        unfinished: UnfinishedRuns,
        progress: Callable[[ReplayProgress], None] | None,
    ) -> None:
        self.waiting = deque(missing)
        self.before = self.done = total - len(missing)
        self.total, self.table, self.progress = total, table, progress
        self.unfinished = unfinished
        self.begun: dict[tuple[str, ...], float] = {}
        self.made_before: dict[tuple[str, ...], float] = {}
        self.under_way: dict[str, ReplayRun] = {}
        self.crew: Crew | None = None
        self.began = time.perf_counter()

    def all(self, place: Callable[[], AnyPlace], folder: Path, should_stop: Callable[[], bool]) -> None:
        """Until nothing is left, or it is asked to stop between two runs."""
        if should_stop() or not self.waiting:
            self.unfinished.tidy()
            return
        with Crew(run_once, folder, place, on_look=self._look) as self.crew:
            while self.waiting or self.under_way:
                while self.waiting and self.crew.has_room():
                    run = self.waiting.popleft()
                    name = digest_of(*run.key)[:16]
                    self.under_way[name] = run
                    share = run.memory_bytes // self.crew.place.on_one_machine()
                    checkpoint = self.unfinished.file_of(run)
                    self.crew.begin(name, replace(run, memory_bytes=share, checkpoint=checkpoint))
                for name, future in self.crew.ended():
                    self._ended(self.under_way.pop(name), future)
                    if should_stop():
                        return
        self.unfinished.tidy()

    def _ended(self, run: ReplayRun, future: Future[list[dict[str, object]]] | None) -> None:
        if future is None:
            self.waiting.appendleft(run)
            return
        try:
            rows = future.result()
        except Exception as error:
            if would_fail_again(error):
                self.unfinished.forget(run)
            raise
        self.table.add(run, rows)
        self.unfinished.forget(run)
        self.done += 1
        dices = [dice for row in rows if isinstance(dice := row["dice"], int | float)]
        self._tell(run, None, sum(dices) / len(dices) if dices else None)

    def _look(self) -> None:
        for name, run in self.under_way.items():
            if self.crew is not None and (step := self.crew.step_of(name)) is not None:
                self._tell(run, step, None)

    def _tell(self, run: ReplayRun, step: StepReport | None, dice: float | None) -> None:
        if self.progress is None:
            return
        if step is None:
            self.begun.pop(run.key, None)
        elif step.phase == "training":
            self.begun[run.key] = step.share
            self.made_before.setdefault(run.key, step.share)  # by an earlier attempt: it took no time now
        reached = self.done + sum(self.begun.values())
        made = max(0.0, reached - self.before - sum(self.made_before.values()))
        eta = (time.perf_counter() - self.began) / made * (self.total - reached) if made else None
        self.progress(ReplayProgress(self.done, self.total, run, step, dice, eta))


def _check_names(strategies: Sequence[str], networks: Sequence[str]) -> None:
    for kind, chosen, known in (
        ("strategy", strategies, strategy_names()),
        ("network", networks, NETWORKS),
    ):
        unknown = [name for name in chosen if name not in known]
        if unknown or not chosen:
            raise CohortError(
                f"unknown {kind} {', '.join(unknown) or '(none)'}; there are: {', '.join(known)}"
            )


def _structures(cohort: Cohort, largest: int) -> dict[str, int]:
    """The structures in all training sets, so that every run is asked for the same ones."""
    cases = {case.case_id: case for draw in cohort.draws for case in draw[:largest]}
    return found_structures(list(cases.values()))


def _done_by_strategy(report: Mapping[str, object]) -> dict[str, object]:
    """What a run's record says for the table's last columns; None where the strategy does no such thing."""
    told = {
        name: report.get(f"strategy_{name}", report.get(f"strategy_real_{name}"))
        for name in ("carried", "carried_dice", "fallback", "synthesis")
    }
    if isinstance(told["fallback"], str):
        told["fallback"] = " ".join(told["fallback"].split())  # a row is a line
    return told


def _rows_of(run: ReplayRun, scored: CaseScore, fixed: Mapping[str, object]) -> Iterator[dict[str, object]]:
    patients = {case.case_id: case.patient for case in run.testing}
    for score in scored.scores:
        yield {
            **dict(zip(KEY, run.key, strict=True)),
            "case": scored.case_id,
            "structure": score.structure,
            "dice": score.dice,
            "nsd": score.nsd,
            "hd95_mm": score.hd95_mm,
            "bce": score.bce,
            "patient": patients[scored.case_id],
            **fixed,
        }
