"""nnU-Net with ten times the processor time of the app's own training, on the same cases; resumable.

    python -m benchmarks.nnunet.run --data DIR --work DIR --environment nnunet/bin --only msd_hippocampus,acdc --draws 1

`--environment` is the folder with the programs of an environment of its own that holds nnU-Net 2.8. Training and test cases are those of the bank
(`benchmarks/bank`), 8 and 40. The app's time is all that its run takes, planning, training and
testing; of nnU-Net's only the training counts. Both have one thread. Both are scored by the app's Dice. Rows go to `results/runs.csv` and
`results/scores.csv`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil
import SimpleITK
import torch

from benchmarks.bank.run import ARMS
from benchmarks.common.data_sets import BY_NAME, VOLUMES, DataSet
from benchmarks.common.tables import add_rows, finished
from scaling_app.experiments.cohort import make_cohort
from scaling_app.experiments.replay import run_once
from scaling_app.experiments.replay_run import ReplayRun
from scaling_app.imaging.geometry import read_image, read_label, spacing_of
from scaling_app.imaging.network_table import DEFAULT_NETWORK
from scaling_app.imaging.scores import score_case
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.fingerprint import found_structures
from scaling_app.trials.memory import step_bytes
from scaling_app.trials.plan import default_capacity

RESULTS = Path(__file__).parent / "results"
OURS, THEIRS = "ours", "nnunet"
TIMES = 10
CASES = 8
THICKNESS_MM = {"acdc": 7.0}
"""Of slices, where the files' own is a placeholder, by what nnU-Net's planner would find no network: the true one, to scale (about 10 to 2.8 mm)."""
RUN = ("dataset", "n", "draw", "method")
RUN_COLUMNS = (*RUN, "steps", "cpu_seconds", "patch", "batch", "parameters")
SCORE_COLUMNS = (*RUN, "case", "patient", "structure", "dice")


class Comparison:
    """One data set and draw: the same cases for both.

    Args:
        work: for what both need on the way.
        programs: of nnU-Net's environment.
    """

    def __init__(self, data: Path, data_set: DataSet, draw: int, work: Path, programs: Path) -> None:
        cohort = make_cohort(data_set.cases(data), data_set.test, [CASES], draw + 1)
        self.training, self.testing = cohort.training(CASES, draw), cohort.test
        self.structures = found_structures([*self.training, *self.testing])
        self.key = {"dataset": data_set.name, "n": CASES, "draw": draw}
        self.draw, self.name, self.programs = draw, data_set.name, programs
        self.thickness = THICKNESS_MM.get(data_set.name)
        self.dataset = f"Dataset{501 + 10 * VOLUMES.index(data_set.name) + draw}_{data_set.name}"
        self.work = work / self.dataset

    def ours(self) -> None:
        """The app's training, as `replay` does it."""
        run = ReplayRun(
            dataset=self.name,
            network=DEFAULT_NETWORK,
            arm=ARMS["baseline"],
            n=CASES,
            draw=self.draw,
            seed=0,
            steps=None,
            structures=self.structures,
            training=self.training,
            testing=self.testing,
            pool=(),
            cache_dir=self.work / "cache",
            memory_bytes=psutil.virtual_memory().available // 4,
            capacity=default_capacity(),
            step_bytes=step_bytes(),
        )
        began = time.process_time()
        rows = run_once(run)
        seconds = time.process_time() - began
        patients = {case.case_id: case.patient for case in self.testing}
        dice = [(str(row["case"]), patients[str(row["case"])], row["structure"], row["dice"]) for row in rows]
        self._add(OURS, {"steps": rows[0]["trained_steps"], "cpu_seconds": f"{seconds:.0f}"}, dice)

    def theirs(self, seconds: float) -> None:
        """nnU-Net's, for so much processor time."""
        raw = self.work / "raw" / self.dataset
        if not (self.work / "preprocessed" / self.dataset / "nnUNetPlans.json").is_file():
            shutil.rmtree(raw, ignore_errors=True)
            write_dataset(raw, self.training, self.structures, self.thickness)
            number = self.dataset.removeprefix("Dataset").partition("_")[0]
            self._program(
                "nnUNetv2_plan_and_preprocess", "-d", number, "-c", "3d_fullres", "-np", "1", "-npfp", "1"
            )
        there = Path(__file__).with_name("in_its_environment.py")
        result = self.work / "results" / self.dataset / "nnUNetTrainer__nnUNetPlans__3d_fullres" / "fold_all"
        if not (result / "done.json").is_file():
            self._program("python", str(there), "train", self.dataset, "--seconds", f"{seconds:.0f}")
        done = json.loads((result / "done.json").read_text())
        images, predicted = self.work / "test", self.work / "predicted"
        write_images(images, self.testing, self.thickness)
        self._program("python", str(there), "predict", self.dataset, str(images), str(predicted))
        facts = {
            "steps": done["steps"],
            "cpu_seconds": f"{done['used']:.0f}",
            "patch": "x".join(map(str, done["patch"])),
            "batch": done["batch"],
            "parameters": done["parameters"],
        }
        self._add(THEIRS, facts, list(self._scored(predicted)))

    def _scored(self, predicted: Path) -> Iterable[tuple[str, str, str, float | None]]:
        for case in self.testing:
            assert case.label is not None
            image = read_image(case.image)
            reference = read_label(case.label, image)
            file = predicted / f"{case.case_id}.nii.gz"
            placed = SimpleITK.ReadImage(str(file))
            placed.CopyInformation(SimpleITK.ReadImage(str(case.image)))
            SimpleITK.WriteImage(placed, str(file))
            prediction = read_label(file, image)
            for score in score_case(
                prediction.as_tensor(), reference.as_tensor(), self.structures, spacing_of(image)
            ):
                yield case.case_id, case.patient, score.structure, score.dice

    def _program(self, name: str, *arguments: str) -> None:
        folders = {f"nnUNet_{kind}": str(self.work / kind) for kind in ("raw", "preprocessed", "results")}
        for folder in folders.values():
            Path(folder).mkdir(parents=True, exist_ok=True)
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        environment |= {**folders, "OMP_NUM_THREADS": "1", "nnUNet_compile": "f"}
        # 0: batches are made in the process whose time is taken; the planner needs a thread
        environment["nnUNet_n_proc_DA"] = "0" if name == "python" else "1"
        environment["PATH"] = f"{self.programs}{os.pathsep}{environment.get('PATH', '')}"
        subprocess.run([str(self.programs / name), *arguments], check=True, env=environment)

    def _add(self, method: str, facts: dict[str, object], dice: Sequence[tuple]) -> None:
        key = {**self.key, "method": method}
        scores = [
            dict(zip(SCORE_COLUMNS, (*key.values(), *one[:3], f"{one[3]:.4f}"), strict=True))
            for one in dice
            if one[3] is not None
        ]
        add_rows(RESULTS / "scores.csv", SCORE_COLUMNS, scores)
        add_rows(RESULTS / "runs.csv", RUN_COLUMNS, [{**dict.fromkeys(RUN_COLUMNS, ""), **key, **facts}])
        print(
            key, facts, f"{sum(one[3] for one in dice if one[3] is not None) / len(scores):.4f}", flush=True
        )


def write_dataset(
    folder: Path, cases: Sequence[CaseFiles], structures: dict[str, int], thickness: float | None
) -> None:
    """Labelled cases as nnU-Net's raw data; the files have to be NIfTI, their values 1, 2, ... of all structures."""
    write_images(folder / "imagesTr", cases, thickness)
    (folder / "labelsTr").mkdir(parents=True)
    for case in cases:
        assert case.label is not None
        write_file(case.label, folder / "labelsTr" / f"{case.case_id}.nii.gz", thickness)
    description = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, **structures},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(description))


def write_images(folder: Path, cases: Sequence[CaseFiles], thickness: float | None) -> None:
    """Images under the names by which nnU-Net knows them."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        write_file(case.image, folder / f"{case.case_id}_0000.nii.gz", thickness)


def write_file(source: Path, target: Path, thickness: float | None) -> None:
    """A copy, with slices of this thickness where one is given."""
    if thickness is None:
        shutil.copy(source, target)
        return
    volume = SimpleITK.ReadImage(str(source))
    volume.SetSpacing((*volume.GetSpacing()[:2], thickness))
    SimpleITK.WriteImage(volume, str(target), useCompression=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--environment", type=Path, required=True, help="folder with nnU-Net's programs")
    parser.add_argument("--only", default=",".join(VOLUMES))
    parser.add_argument("--draws", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    RESULTS.mkdir(exist_ok=True)
    runs = RESULTS / "runs.csv"
    for draw in range(arguments.draws):
        for name in arguments.only.split(","):
            key = (name, str(CASES), str(draw))
            comparison = Comparison(
                arguments.data, BY_NAME[name], draw, arguments.work, arguments.environment
            )
            if (*key, OURS) not in finished(runs, RUN):
                comparison.ours()
            if (*key, THEIRS) not in finished(runs, RUN):
                comparison.theirs(TIMES * float(finished(runs, RUN)[(*key, OURS)]["cpu_seconds"]))


if __name__ == "__main__":
    main()
