"""Does a training on few cases gain by a start that has seen something? Pairs of trainings; resumable.

    python -m benchmarks.pretraining.run --data DIR --work DIR --tasks wbc,ventricle --sizes 2,4 --draws 0

Both of a pair are the app's own training (`resenc`, `steps auto`, mean of the weights) with the same cases, seed and
steps: `fresh` from fresh weights, `shapes` from those of `pretrain.py`, `self` from those of `restoring.py`, all but the last layer. Scores are of the
last model on development cases (`benchmarks.engine.run.cohort_of`): the final test cases are left out before anything
is drawn. Runs that are in the table are not made again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from benchmarks.common.tables import add_rows, finished
from benchmarks.engine.run import TASKS, cohort_of
from benchmarks.pretraining.pretrain import Pretraining, body_of, form_for, is_whole, start_of
from benchmarks.pretraining.restoring import restore
from scaling_app.imaging.network_table import NETWORKS
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.model import TrainedModel, read_safely
from scaling_app.trials.plan import Plan, make_plan
from scaling_app.trials.run_settings import RunSettings
from scaling_app.trials.testing import test
from scaling_app.trials.training import train

RESULTS = Path(__file__).parent / "results"
STEP_BYTES = 2**31
STEPS = 2500
IMAGES = 100
"""Most images without labels that are restored."""
KEY = ("task", "n", "draw", "arm", "pretraining")
RUN_COLUMNS = (*KEY, "seed", "steps", "dice", "loss", "step_cpu_seconds", "patch", "batch")
SCORE_COLUMNS = (*KEY, "case", "patient", "structure", "dice")
PRETRAINING_COLUMNS = ("form", "steps", "step", "bodies", "dice", "kinds", "loss", "cpu_seconds")
RESTORING_COLUMNS = ("start", "steps", "images", "loss", "spoiled", "cpu_seconds")


@dataclass(frozen=True)
class Arm:
    """One start: what it has seen, with which share of the peak rate, and whether its decoder is taken too."""

    seen: Literal["shapes", "images"] | None = "shapes"
    rate: float = 1.0
    decoder: bool = True


ARMS = {
    "fresh": Arm(None),
    "fresh-half": Arm(None, rate=0.5),
    "shapes": Arm(),
    "shapes-half": Arm(rate=0.5),
    "shapes-encoder": Arm(decoder=False),
    "self": Arm("images"),
    "self-half": Arm("images", rate=0.5),
}


def one_run(
    data: Path, work: Path, out: Path, task: str, n: int, draw: int, arm: str, pretraining: int
) -> None:
    """Trains and tests one arm, and adds its rows."""
    cohort = cohort_of(data, TASKS[task], [n], draw + 1)
    training = cohort.training(n, draw)
    plan = make_plan(training, memory_bytes=STEP_BYTES)
    cases = PreparedCases(plan, training, work / "prepared", 2**32)
    name = f"{task}-{n}-{draw}-{arm}-{pretraining}"
    body = None
    if ARMS[arm].seen == "shapes":
        pretrained(form_for(plan), pretraining, work, out)
        body = body_of(form_for(plan), pretraining, work)
    elif ARMS[arm].seen == "images":
        body = _restored(plan, cohort.draws[draw][:IMAGES], pretraining, work, out, f"{task}-{n}-{draw}")
    model = _trained(cases, plan, ARMS[arm], draw, body, work, name)
    patients = {case.case_id: case.patient for case in cohort.test}
    key = dict(zip(KEY, (task, n, draw, arm, pretraining), strict=True))
    scores = [
        {
            **key,
            "case": scored.case_id,
            "patient": patients[scored.case_id],
            "structure": score.structure,
            "dice": f"{score.dice:.4f}",
        }
        for scored in test(model, cohort.test)
        for score in scored.scores
    ]
    known = [float(str(score["dice"])) for score in scores if score["dice"] != "nan"]
    row = {
        **key,
        "seed": draw,
        "steps": model.report["steps"],
        "dice": f"{sum(known) / len(known):.4f}",
        "loss": f"{model.report['loss']:.4f}",
        "step_cpu_seconds": f"{model.report['step_cpu_seconds']:.0f}",
        "patch": "x".join(map(str, plan.patch)),
        "batch": plan.batch,
    }
    add_rows(out / "scores.csv", SCORE_COLUMNS, scores)
    add_rows(out / "runs.csv", RUN_COLUMNS, [row])
    print(time.strftime("%H:%M:%S"), row, flush=True)


def _trained(
    cases: PreparedCases,
    plan: Plan,
    arm: Arm,
    seed: int,
    body: Mapping[str, Tensor] | None,
    work: Path,
    name: str,
) -> TrainedModel:
    settings = RunSettings(seed=seed, learning_rate=arm.rate * NETWORKS[plan.network].peak_rate)
    start = None
    if body is not None:
        start = start_of(plan, seed, body, work / f"start-{name}.pt", decoder=arm.decoder)
    checkpoint = work / f"run-{name}.pt"
    model = train(cases, cases.labelled, settings, checkpoint=checkpoint, warm_start=start)
    for file in (checkpoint, start):
        if file is not None:
            file.unlink(missing_ok=True)
    return model


def pretrained(name: str, steps: int, work: Path, out: Path) -> None:
    """Makes what a form's starts need, unless it is there."""
    if is_whole(name, steps, work):
        return
    for row in Pretraining(name, steps, work).through():
        add_rows(out / "pretraining.csv", PRETRAINING_COLUMNS, [row])
        print(time.strftime("%H:%M:%S"), row, flush=True)


def _restored(
    plan: Plan, cases: Sequence[CaseFiles], steps: int, work: Path, out: Path, name: str
) -> Mapping[str, Tensor]:
    """Weights that have restored the images of these cases."""
    file = work / f"self-{name}-{steps}.pt"
    if not file.is_file():
        unlabelled = [replace(case, label=None) for case in cases]
        told = restore(PreparedCases(plan, unlabelled, work / "prepared", 2**32), steps, file)
        add_rows(out / "restoring.csv", RESTORING_COLUMNS, [{"start": name, "steps": steps, **told}])
    return read_safely(file)["body"]


def main() -> None:
    """Runs what the table lacks: all tasks at the first size and draw, then at the next."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for prepared cases and weights")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--sizes", default="2,4")
    parser.add_argument("--draws", default="0", help="numbers of the draws")
    parser.add_argument("--arms", default="fresh,shapes", help=f"of {', '.join(ARMS)}")
    parser.add_argument("--pretraining", type=int, default=STEPS, help="steps of the pre-training")
    parser.add_argument("--only-pretrain", default="", help="forms to pre-train; nothing else is run")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name in filter(None, args.only_pretrain.split(",")):
        pretrained(name, args.pretraining, args.work, args.out)
    if args.only_pretrain:
        return
    for draw in map(int, args.draws.split(",")):
        for n in map(int, args.sizes.split(",")):
            for task in args.tasks.split(","):
                for arm in args.arms.split(","):
                    steps = args.pretraining if ARMS[arm].seen else 0
                    key = (task, n, draw, arm, steps)
                    if tuple(map(str, key)) in finished(args.out / "runs.csv", KEY):
                        continue
                    one_run(args.data, args.work, args.out, *key)


if __name__ == "__main__":
    main()
