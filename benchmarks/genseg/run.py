"""Does GenSeg help? Paired, resumable: the same labels, steps and test cases for every arm.

    python -m benchmarks.genseg.run --data DIR --out runs.csv [--tasks wbc,busi] [--arms none,baseline,genseg]
    python -m benchmarks.genseg.table runs.csv --out table.md

Every arm trains on all n labels, those that GenSeg validates on included. A draw changes training cases,
weights and batches together. Networks are small, grids bounded and trainings short, so that the whole
runs on two processor cores; the seconds of processor time are in the table, since equal steps are not
equal work.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from benchmarks.common.data_sets import BY_NAME
from scaling_app.experiments.cohort import Cohort, make_cohort
from scaling_app.imaging.geometry import read_image, read_label
from scaling_app.imaging.network_table import NETWORKS
from scaling_app.strategies.base import PointMap, PreparedCase, Strategy
from scaling_app.strategies.catalogue import register
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.model import TrainedModel
from scaling_app.trials.plan import make_plan
from scaling_app.trials.run_settings import RunSettings
from scaling_app.trials.testing import test
from scaling_app.trials.training import train

COLUMNS = ("task", "network", "arm", "n", "draw", "steps", "case", "structure", "dice", "cpu_seconds", "note")
N_TEST = 60
LEARNING_RATES = {"unet": 3e-3, "resunet": 3e-3, "deeplab": 3e-4}
"""0.3 times the networks' own. At 3e-3 DeepLabV3's loss on its training cases hardly falls."""
POOL = 12
"""Images without labels that GenDA, and GenSeg where it is told to, may learn from."""


@dataclass(frozen=True)
class Task:
    """A data set and its training sizes."""

    folder: str
    sizes: tuple[int, ...]
    dims: int = 2
    networks: tuple[str, ...] = ("unet", "deeplab")
    elsewhere: bool = False
    """Whether the models are tested on another hospital's images too, as the task `NAME elsewhere`."""


TASKS = {
    "wbc": Task("wbc", (40,)),
    "busi": Task("busi", (25, 100)),
    "nuclei": Task("dsb2018_nuclei", (40,)),
    "lv": Task("sunnybrook_lv", (9,), elsewhere=True),
    "hippocampus": Task("msd_hippocampus", (4, 8), dims=3, networks=("unet", "resunet")),
    "acdc": Task("acdc", (4, 8), dims=3, networks=("unet", "resunet")),
}


@dataclass(frozen=True)
class Arm:
    """A strategy with its options."""

    strategy: str
    options: dict[str, str] = field(default_factory=dict)


UNPROVEN = {"genseg_proof": "false"}
"""Generated pairs count from the first outer step on: what they do is seen where nothing holds them back."""
ARMS = {
    "none": Arm("none"),
    "baseline": Arm("baseline"),
    "genseg": Arm("genseg"),
    "separate": Arm("genseg", {"genseg_couple": "false"}),
    "genseg+fields": Arm("genseg+fields"),
    "genda": Arm("genda"),
    "genda+genseg": Arm("genda+genseg"),
    "rotate": Arm("rotate"),
    "flip": Arm("flip"),
    "translate": Arm("translate"),
    "combined": Arm("combined"),
    "genda with carried labels": Arm("genda", {"carry_labels": "first"}),
    "genseg without proof": Arm("genseg", UNPROVEN),
    "genseg without context": Arm("genseg", UNPROVEN | {"genseg_context": "false"}),
    "genseg without compositing": Arm("genseg", UNPROVEN | {"genseg_compose": "false"}),
    "genseg with the pool": Arm("genseg", UNPROVEN | {"genseg_pool": "true"}),
    "genseg with fields too": Arm("genseg", UNPROVEN | {"genseg_fields": "true"}),
    "genseg weights only": Arm(
        "genseg", UNPROVEN | {"genseg_architecture": "false", "genseg_feedback": "false"}
    ),
    "genda+genseg without proof": Arm("genda+genseg", UNPROVEN),
    "genda+genseg without carrying": Arm("genda+genseg", UNPROVEN | {"carry_labels": "never"}),
}
REMEDIES = tuple(name for name in ARMS if name.startswith(("genseg ", "genda with ", "genda+genseg with")))
MAIN_ARMS = tuple(name for name in ARMS if name not in REMEDIES)
SHORT_ARMS = ("none", "baseline", "genseg", "genseg+fields")


class SimpleAugmentation(Strategy):
    """The published baselines: rotation (15 degrees), flips, translation (10 %), or all of them."""

    name: ClassVar[str] = "simple"
    affine: ClassVar[bool] = False

    def __init__(self, *kinds: str) -> None:
        self.kinds = kinds

    def deformation(self, case: PreparedCase, generator: torch.Generator) -> PointMap:
        """A rigid map of the whole case about its centre."""
        shape = torch.tensor(case.image.shape[1:], dtype=torch.float32)
        matrix, shift = torch.eye(len(shape)), torch.zeros(len(shape))
        if "rotate" in self.kinds:
            angle = math.radians(15) * float(2 * torch.rand((), generator=generator) - 1)
            matrix[0, 0] = matrix[1, 1] = math.cos(angle)
            matrix[0, 1], matrix[1, 0] = -math.sin(angle), math.sin(angle)
        if "flip" in self.kinds:
            matrix = matrix * (1 - 2 * torch.randint(0, 2, (len(shape),), generator=generator))
        if "translate" in self.kinds:
            shift = 0.1 * shape * (2 * torch.rand(len(shape), generator=generator) - 1)
        centre = (shape - 1) / 2

        def move(points: Tensor) -> Tensor:
            return (points - centre) @ matrix.T + centre + shift

        return move


def main() -> None:
    """Makes the runs that the table does not hold yet."""
    options = _options()
    for kind in ("rotate", "flip", "translate"):
        register(kind, lambda kind=kind: SimpleAugmentation(kind))
    register("combined", lambda: SimpleAugmentation("rotate", "flip", "translate"))
    torch.set_num_threads(options.threads)
    done = _finished(options.out)
    networks = options.networks.split(",") if options.networks else list(NETWORKS)
    chosen = options.tasks.split(",")
    cohorts = {name: cohort_of(TASKS[name], options) for name in chosen}
    for draw, name in itertools.product(range(options.draws), chosen):
        task = TASKS[name]
        for n, network in itertools.product(task.sizes, [k for k in task.networks if k in networks]):
            for arm in _arms(options.arms, network):
                key = (name, network, arm, str(n), str(draw), str(options.steps))
                if key not in done:
                    append_rows(options.out, _run(key, task, cohorts[name], options))


def left_ventricle_slices(data: Path, folder: Path) -> list[CaseFiles]:
    """ACDC's first `N_TEST` patients: the slice with most left ventricle (its value 3) of the first frame.

    Written to `folder` as pictures of one structure.
    """
    found = {}
    for case in BY_NAME["acdc"].cases(data):
        found.setdefault(case.patient, case)
    cases = []
    for patient, case in sorted(found.items())[:N_TEST]:
        label = read_label(case.label).array[0] == 3
        level = int(label.sum(axis=(0, 1)).argmax())
        paths = []
        for kind, plane in (("image", read_image(case.image).array[0]), ("label", label)):
            paths.append(folder / f"{patient}_{kind}.nii.gz")
            paths[-1].parent.mkdir(parents=True, exist_ok=True)
            values = np.asarray(plane[..., level], dtype=np.float32 if kind == "image" else np.uint8)
            nib.save(nib.Nifti1Image(values, np.eye(4)), paths[-1])
        cases.append(CaseFiles(patient, patient, *paths))
    return cases


def cohort_of(task: Task, options: argparse.Namespace) -> Cohort:
    """The task's test cases and label draws."""
    return make_cohort(BY_NAME[task.folder].cases(options.data), N_TEST, task.sizes, options.draws)


def _arms(chosen: str | None, network: str) -> tuple[str, ...]:
    if chosen is not None:
        return tuple(chosen.split(","))
    return MAIN_ARMS if network == "unet" else SHORT_ARMS


def trained(
    key: tuple[str, ...], task: Task, cohort: Cohort, options: argparse.Namespace
) -> tuple[TrainedModel, float]:
    """The model of a task, network, arm, n, draw and number of steps, and its seconds of processor time."""
    _, network, arm, n, draw, steps = key
    training = cohort.training(int(n), int(draw))
    plan = make_plan(
        training, spatial_dims=task.dims, network=network, memory_bytes=options.megabytes * 2**20
    )
    pool = cohort.pool(int(n), int(draw), POOL)
    cases = PreparedCases(plan, [*training, *pool], options.out.with_suffix(".cache"), 2**30)
    settings = RunSettings(
        strategy=ARMS[arm].strategy,
        steps=int(steps),
        seed=int(draw),
        learning_rate=LEARNING_RATES[network],
        options=ARMS[arm].options,
    )
    began = time.process_time()
    model = train(cases, cases.labelled, settings, pool_ids=cases.pool)
    return model, round(time.process_time() - began, 2)


def _run(key: tuple[str, ...], task: Task, cohort: Cohort, options: argparse.Namespace) -> list[dict]:
    model, seconds = trained(key, task, cohort, options)
    report = {k.removeprefix("strategy_"): v for k, v in model.report.items()}
    note = "; ".join(
        f"{k}={report[k]}" for k in ("synthesis", "omega", "architecture_max_change") if k in report
    )
    tested = [(key, cohort.test)]
    if task.elsewhere:
        slices = left_ventricle_slices(options.data, options.out.with_suffix(".cache") / "acdc_slices")
        tested.append(((f"{key[0]} elsewhere", *key[1:]), slices))
    rows = []
    for name, files in tested:
        scores = [(case.case_id, s) for case in test(model, files) for s in case.scores]
        dices = [s.dice for _, s in scores if s.dice is not None]
        print(*name, f"{100 * sum(dices) / len(dices):.1f}", f"{seconds:.0f} s", note, flush=True)
        for case_id, s in scores:
            dice = "" if s.dice is None else s.dice
            rows.append(dict(zip(COLUMNS, (*name, case_id, s.structure, dice, seconds, note), strict=True)))
    return rows


def _finished(path: Path) -> set[tuple[str, ...]]:
    if not path.is_file():
        return set()
    with path.open(newline="") as stream:
        return {tuple(row[c] for c in COLUMNS[:6]) for row in csv.DictReader(stream)}


def append_rows(path: Path, rows: list[dict]) -> None:
    """A training's rows in one write, so that a kill leaves whole trainings."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.is_file()
    with path.open("a", newline="", buffering=1 << 20) as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        if new:
            writer.writeheader()
        writer.writerows(rows)


def parser_of(description: str) -> argparse.ArgumentParser:
    """The options of everything that trains these tasks."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder per data set")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=20, help="bounds the grid, the patch and the batch")
    return parser


def _options() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--arms", help="default: all main arms with unet, none, baseline, genseg with others")
    parser.add_argument("--networks", help="default: those of each task that are available")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
