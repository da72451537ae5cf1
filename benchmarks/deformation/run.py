"""Trains what `table.py` compares: RED, RegDA and GenDA against the baseline, on the same cases.

    python benchmarks/deformation/run.py --data DIR --runs RUNS [--minutes M] [--tasks wbc,hc18]

Every arm trains on the same cases with the same seed, steps, affine map and intensity changes (but `none`,
which has neither). The pool are images of the same draw that are neither trained on nor tested; their labels
are not read. Resumable: the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from scaling_app.trials.replay import Arm, replay

STEPS = 400
LEARNING_RATE = 3e-3
"""Lower than the network's own: on 32 training cases it reached a lower loss in so few steps."""
STEP_MB = 20
POOL = 12
DRAWS = 3


@dataclass(frozen=True)
class Task:
    """A folder of cases: the patient in a file name, test cases (slices of a patient are alike), sizes."""

    patient: str | None = None
    test: int = 40
    sizes: tuple[int, ...] = (2, 4, 8, 16)


TASKS = {
    "msd_hippocampus": Task(sizes=(1, 2, 4, 8, 16)),
    "wbc": Task(),
    "hc18": Task(r"^(\d+)_"),
    "sunnybrook_lv": Task(r"^(SC-.+?)-IM", test=120),
    "acdc": Task(r"^(patient\d+)", sizes=(1, 2, 4, 8, 16)),
}
MAIN = (
    Arm("baseline", "baseline"),
    Arm("red", "red"),
    Arm("genda-gaussian", "genda", {"genda_generator": "gaussian"}),
    Arm("regda-carried", "regda+pool"),
)
OTHERS = (
    Arm("none", "none"),
    Arm("regda-pool", "regda", {"regda_targets": "pool"}),
    Arm("regda-labelled", "regda", {"regda_targets": "labelled"}),
    Arm("genda-adversarial", "genda", {"genda_generator": "adversarial"}),
)
REMEDIES = (
    Arm("regda-carried-first", "regda", {"carry_labels": "first"}),
    Arm("genda-carried-first", "genda", {"carry_labels": "first"}),
    Arm("red-mild", "red", {"red_strength": "1.5%"}),
    Arm("red-third", "red", {"deformed_share": "0.33"}),
    Arm("genda-third", "genda", {"genda_generator": "gaussian", "deformed_share": "0.33"}),
    Arm("genda-labelled", "genda", {"genda_generator": "gaussian", "genda_shapes": "labelled"}),
)


def main() -> None:
    """Makes the runs that the tables do not hold yet, the arms that matter most first."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder per data set")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the tables")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after about this long")
    parser.add_argument("--tasks", default=",".join(TASKS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    console, deadline = Console(), time.monotonic() + 60 * options.minutes
    for arms, few in ((MAIN, True), (OTHERS, True), (MAIN, False), (REMEDIES, True), (OTHERS, False)):
        for name in options.tasks.split(","):
            if time.monotonic() > deadline:
                console.print("time is up; the same command goes on from here")
                return
            sizes = [n for n in TASKS[name].sizes if (1 < n < 16) == few]
            console.print(f"{name}: {', '.join(arm.name for arm in arms)} at n = {sizes}")
            replay(
                options.data / name / "images",
                options.data / name / "labels",
                sizes,
                arms,
                draws=DRAWS,
                n_test=TASKS[name].test,
                steps=STEPS,
                out=options.runs / f"{name}.csv",
                patient_pattern=TASKS[name].patient,
                step_bytes=STEP_MB * 2**20,
                learning_rate=LEARNING_RATE,
                pool=POOL,
                should_stop=lambda: time.monotonic() > deadline,
            )


if __name__ == "__main__":
    main()
