"""Trains and predicts with nnU-Net 2.8 as it plans a task, for so much processor time. Runs in nnU-Net's own environment.

    python in_its_environment.py train DATASET --seconds S
    python in_its_environment.py predict DATASET IMAGES OUT

The folders are those of nnU-Net's variables `nnUNet_raw`, `nnUNet_preprocessed`, `nnUNet_results`. Only the length is not its own: its
rate falls to zero over the time there is, in epochs of 25 steps; the last weights count. All cases are trained on (fold
`all`), one thread, its augmentation in this process. What was done stands in `done.json` in the folder of the results.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.paths import nnUNet_preprocessed, nnUNet_results
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

CONFIGURATION = "3d_fullres"
EPOCH = 25
"""Steps; of the 250 that are usual, so few are done here that the rate would not fall."""
TRIED = 4
"""Steps by which the cost of one is told, after one that warms up; they count."""


def trainer_of(dataset: str, epochs: int) -> nnUNetTrainer:
    """nnU-Net's own trainer on fold `all`."""
    folder = Path(str(nnUNet_preprocessed)) / dataset
    plans = json.loads((folder / "nnUNetPlans.json").read_text())
    plans["continue_training"] = False
    description = json.loads((folder / "dataset.json").read_text())
    trainer = nnUNetTrainer(plans, CONFIGURATION, "all", description, torch.device("cpu"))
    trainer.num_epochs = epochs
    trainer.num_iterations_per_epoch = EPOCH
    trainer.num_val_iterations_per_epoch = 1
    trainer.save_every = 1
    return trainer


def cost_of_a_step(dataset: str) -> float:
    """Processor seconds."""
    trainer = trainer_of(dataset, 1)
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    for step in range(TRIED + 1):
        if step == 1:
            began = time.process_time()
        trainer.train_step(next(trainer.dataloader_train))
    return (time.process_time() - began) / TRIED


def train(dataset: str, seconds: float) -> None:
    """Trains to the end of the time, or from where it was stopped."""
    folder = output_of(dataset)
    under_way, latest = folder / "under_way.json", folder / "checkpoint_latest.pth"
    if under_way.is_file():
        told = json.loads(under_way.read_text())
    else:
        cost = cost_of_a_step(dataset)
        used = time.process_time()
        epochs = max(1, round((seconds - used) / (cost * (EPOCH + 0.5))))
        told = {"epochs": epochs, "step_seconds": cost, "used": used}
        folder.mkdir(parents=True, exist_ok=True)
        under_way.write_text(json.dumps(told))
    before, began = told["used"], time.process_time()
    trainer = trainer_of(dataset, told["epochs"])
    trainer.initialize()
    if latest.is_file():
        trainer.load_checkpoint(str(latest))
    trainer.on_train_start()
    for epoch in range(trainer.current_epoch, trainer.num_epochs):
        trainer.on_epoch_start()
        trainer.on_train_epoch_start()
        trainer.on_train_epoch_end([trainer.train_step(next(trainer.dataloader_train)) for _ in range(EPOCH)])
        with torch.no_grad():
            trainer.on_validation_epoch_start()
            trainer.on_validation_epoch_end([trainer.validation_step(next(trainer.dataloader_val))])
        trainer.on_epoch_end()
        told["used"] = before + time.process_time() - began
        under_way.write_text(json.dumps(told))
        print(f"epoch {epoch + 1} of {trainer.num_epochs}, {told['used']:.0f} s", flush=True)
    trainer.on_train_end()
    plan = trainer.configuration_manager
    done = {
        **told,
        "steps": told["epochs"] * EPOCH,
        "patch": [int(side) for side in plan.patch_size],
        "batch": plan.batch_size,
        "parameters": sum(p.numel() for p in trainer.network.parameters()),
    }
    (folder / "done.json").write_text(json.dumps(done))


def predict(dataset: str, images: Path, out: Path) -> None:
    """Predicts all images of a folder as nnU-Net does: windows that overlap by half, mirrored where it trained so."""
    out.mkdir(parents=True, exist_ok=True)
    predictor = nnUNetPredictor(
        device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False
    )
    predictor.initialize_from_trained_model_folder(
        str(output_of(dataset).parent), ("all",), "checkpoint_final.pth"
    )
    predictor.predict_from_files_sequential(str(images), str(out))


def output_of(dataset: str) -> Path:
    """Where nnU-Net keeps what it has trained."""
    return Path(str(nnUNet_results)) / dataset / f"nnUNetTrainer__nnUNetPlans__{CONFIGURATION}" / "fold_all"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("dataset")
    training.add_argument("--seconds", type=float, required=True)
    predicting = commands.add_parser("predict")
    predicting.add_argument("dataset")
    predicting.add_argument("images", type=Path)
    predicting.add_argument("out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if arguments.command == "train":
        train(arguments.dataset, arguments.seconds)
    else:
        predict(arguments.dataset, arguments.images, arguments.out)


if __name__ == "__main__":
    main()
