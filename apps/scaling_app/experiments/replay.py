"""A learning curve on data that are labelled already: train on n cases, test on fixed others, for many n.

The table grows by whole runs, so that a kill costs the run in flight and the next start goes on from
there. Runs are independent jobs of a `concurrent.futures` executor: here, in local processes, or on a
Dask cluster.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import psutil
import torch

from scaling_app.curve.curve_points import training_seed
from scaling_app.experiments.case_check import check_cases
from scaling_app.experiments.cohort import Cohort, CohortError, find_cases, make_cohort
from scaling_app.experiments.replay_run import Arm, ReplayRun
from scaling_app.experiments.runs_table import COLUMNS, RunsTable
from scaling_app.imaging.network_table import DEFAULT_NETWORK, NETWORKS
from scaling_app.imaging.networks import width_of
from scaling_app.strategies.catalogue import names as strategy_names
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.fingerprint import found_structures
from scaling_app.trials.length import AUTO_STEPS
from scaling_app.trials.plan import default_capacity, make_plan
from scaling_app.trials.plan import step_bytes as usual_step_bytes
from scaling_app.trials.training import CaseScore, RunSettings, StepReport, test, train
from scaling_app.trials.twins import Twins

__all__ = ["COLUMNS", "Arm", "ReplayProgress", "ReplayRun", "replay", "run_once"]

_ANSWER_SECONDS = 20


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
    step_bytes: int | None = None,
    learning_rate: float | None = None,
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
        progress: told of every step (when runs are made one after the other here) and run.
        patient_pattern: regular expression whose match in a case's name is its patient.
        workers: local processes.
        capacity: size of the networks (default: what suits the device); the table does not tell sizes apart, so one
            table holds one.
        step_bytes: bound on the memory of a training step; a small one makes the grid coarser and the
            runs short (default: that of the server). One table holds one.
        learning_rate: its peak (default: the network's own); the table does not tell it either.
        pool: cases of other patients whose images, without labels, strategies may learn from, one number a table.
        should_stop: asked between runs.
        on_check: told how many cases have been looked at, and of how many.

    Raises:
        ValueError: folders, files, sizes, strategies or networks that make no replay, or a table of other runs
            (`CohortError` and others), or one that another replay is writing.
    """
    arms = [chosen if isinstance(chosen, Arm) else Arm(chosen, chosen) for chosen in strategies]
    _check_names([arm.strategy for arm in arms], networks)
    out = Path(out)
    cache = cache_dir or out.with_name(out.stem + ".cache")
    twins = Twins(cache / "contents.json")
    cohort = make_cohort(
        twins.together(find_cases(images, labels, patient_pattern), on_check), n_test, sizes, draws
    )
    structures = _structures(cohort, max(sizes))
    capacity = default_capacity() if capacity is None else capacity
    width_of(capacity)
    step_bytes = usual_step_bytes() if step_bytes is None else step_bytes
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
            memory_bytes=psutil.virtual_memory().available // (4 * max(1, workers)),
            threads=max(1, (os.cpu_count() or 1) // workers) if workers > 1 else None,
            capacity=capacity,
            step_bytes=step_bytes,
            learning_rate=learning_rate,
            shared_cache=scheduler is not None or workers > 1,
        )
        for seed in range(seeds)
        for draw in range(draws)
        for n in dict.fromkeys(sizes)
        for network in dict.fromkeys(networks)
        for arm in {arm.name: arm for arm in arms}.values()
    ]
    recipe = {"capacity": capacity, "step_bytes": step_bytes, "learning_rate": learning_rate, "pool": pool}
    table = RunsTable(out, recipe, cache / f"{out.stem}.recipe.json")
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
        _work(missing, len(runs), table, scheduler, workers, progress, should_stop or (lambda: False))
    return out


def run_once(run: ReplayRun, on_step: Callable[[StepReport], None] | None = None) -> list[dict[str, object]]:
    """Trains and tests one run; the rows of its table."""
    if run.threads is not None:
        torch.set_num_threads(run.threads)
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
        options=run.arm.options,
    )
    began = time.perf_counter()
    pool_ids = [case.case_id for case in run.pool]
    model = train(cases, cases.labelled, settings, on_step=on_step, pool_ids=pool_ids)
    seconds = time.perf_counter() - began
    fixed = {"seconds": seconds, "trained_steps": model.report["steps"], **_done_by_strategy(model.report)}
    return [row for scored in test(model, run.testing) for row in _rows_of(run, scored, fixed)]


def _work(
    missing: Sequence[ReplayRun],
    total: int,
    table: RunsTable,
    scheduler: str | None,
    workers: int,
    progress: Callable[[ReplayProgress], None] | None,
    should_stop: Callable[[], bool],
) -> None:
    done, began = total - len(missing), time.perf_counter()

    def tell(run: ReplayRun, step: StepReport | None, dice: float | None) -> None:
        if progress is None:
            return
        begun = step.step / step.steps if step is not None else 0.0
        made = done - (total - len(missing)) + begun
        eta = (time.perf_counter() - began) / made * (total - done - begun) if made else None
        progress(ReplayProgress(done, total, run, step, dice, eta))

    if scheduler is None and workers <= 1:
        finished: Iterator[tuple[ReplayRun, list[dict[str, object]]]] = (
            (run, run_once(run, lambda step, run=run: tell(run, step, None))) for run in missing
        )
    else:
        finished = _remotely(missing, scheduler, workers)
    if should_stop():
        return
    for run, rows in finished:
        table.add(run, rows)
        done += 1
        dices = [row["dice"] for row in rows if row["dice"] is not None]
        tell(run, None, sum(dices) / len(dices) if dices else None)
        if should_stop():
            return


def _remotely(
    missing: Sequence[ReplayRun], scheduler: str | None, workers: int
) -> Iterator[tuple[ReplayRun, list[dict[str, object]]]]:
    with _executor(scheduler, workers) as executor:
        futures: dict[Future, ReplayRun] = {executor.submit(run_once, run): run for run in missing}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            for future in futures:
                future.cancel()


@contextmanager
def _executor(scheduler: str | None, workers: int) -> Iterator[Executor]:
    if scheduler is None:
        # a forked torch may hang: its threads are not copied
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
            yield executor
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise CohortError("a scheduler needs Dask: pip install 'scaling-app[cluster]'") from error
    try:
        client = Client(scheduler, timeout=_ANSWER_SECONDS)
    except OSError as error:
        raise CohortError(f"no Dask scheduler answers at {scheduler}") from error
    with client:
        yield client.get_executor()


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
            "dataset": run.dataset,
            "network": run.network,
            "strategy": run.strategy,
            "n": run.n,
            "draw": run.draw,
            "seed": run.seed,
            "case": scored.case_id,
            "structure": score.structure,
            "dice": score.dice,
            "nsd": score.nsd,
            "hd95_mm": score.hd95_mm,
            "bce": score.bce,
            "steps": run.steps or AUTO_STEPS,
            "patient": patients[scored.case_id],
            **fixed,
        }
