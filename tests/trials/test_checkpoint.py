"""A training outlives a checkpoint that cannot be written, and the checkpoint before outlives both."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scaling_app.trials import checkpoint as checkpoint_module
from scaling_app.trials import training
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.model import TrainedModel, read_safely, write_whole
from scaling_app.trials.run_settings import RunSettings
from scaling_app.trials.training import train

from ..full_disk import files_up_to

pytestmark = pytest.mark.slow_training

QUICK = RunSettings(strategy="none", steps=6, seed=3)


def weights(model: TrainedModel) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.network.parameters()])


def after(steps: int) -> Callable[[], bool]:
    asked = iter(range(steps))
    return lambda: next(asked, None) is None


@pytest.fixture(autouse=True)
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)


@pytest.fixture
def ids(prepared: PreparedCases) -> list[str]:
    """Cases that are on the disk."""
    ids = prepared.labelled[:2]
    for case in ids:
        prepared[case], prepared.foreground(case)
    return ids


def test_a_full_disk_costs_a_training_nothing_but_its_next_checkpoints(
    prepared: PreparedCases, ids: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = tmp_path / "unfinished" / "run.pt"
    train(prepared, ids, QUICK, checkpoint=checkpoint, should_stop=after(2))
    kept = checkpoint.read_bytes()
    with files_up_to(10_000):
        model = train(prepared, ids, QUICK, checkpoint=checkpoint)
    assert torch.equal(weights(model), weights(train(prepared, ids, QUICK)))
    assert checkpoint.read_bytes() == kept and list(checkpoint.parent.iterdir()) == [checkpoint]
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert str(checkpoint.parent) in line and "the disk is full" in line and "The training goes on" in line
    assert "If it were killed now, its last 0.0 minutes would be lost" in line


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), RuntimeError("odd")])
def test_a_checkpoint_is_tried_again_at_the_next_time(
    prepared: PreparedCases,
    ids: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    caplog.set_level(logging.INFO)
    tries: list[int] = []
    real = checkpoint_module.write_whole

    def refused_twice(content: dict, path: Path) -> Path:
        tries.append(content["step"])
        if content["step"] in (2, 3):
            raise error
        return real(content, path)

    monkeypatch.setattr(checkpoint_module, "write_whole", refused_twice)
    train(prepared, ids, QUICK, checkpoint=tmp_path / "run.pt")
    assert tries == [1, 2, 3, 4, 5, 6, 6]
    assert read_safely(tmp_path / "run.pt")["step"] == 6
    assert caplog.text.count("cannot be written") == caplog.text.count("can be written again") == 1


def cut(content: dict) -> None:
    content["weights"] = {name: weight[:1] for name, weight in content["weights"].items() if weight.ndim}


def other_optimiser(content: dict) -> None:
    content["optimiser"] = {"state": {}, "param_groups": []}


def other_means(content: dict) -> None:
    next(iter(content["optimiser"]["state"].values()))["exp_avg"] = torch.zeros(3)


def no_means(content: dict) -> None:
    del next(iter(content["optimiser"]["state"].values()))["exp_avg_sq"]


def part_of_a_patch(content: dict) -> None:
    content["held"] = 1.5


def no_step(content: dict) -> None:
    content["step"] = "x"


def beyond_the_end(content: dict) -> None:
    content["step"] = 7


def lacking(key: str) -> Callable[[dict], None]:
    return lambda content: content.pop(key)


@pytest.mark.parametrize(
    "damage",
    [
        *(cut, other_optimiser, other_means, no_means, part_of_a_patch, no_step, beyond_the_end),
        *map(
            lacking,
            ("step", "held", "seconds", "weights", "average", "optimiser", "skipped", "loss", "strategy"),
        ),
    ],
)
def test_a_checkpoint_that_lacks_something_begins_the_training_anew(
    prepared: PreparedCases,
    ids: list[str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[dict], None],
) -> None:
    """Whatever of it was taken up before that showed is forgotten."""
    checkpoint, settings = tmp_path / "run.pt", replace(QUICK, average=0.9, strategy="red")
    train(prepared, ids, settings, checkpoint=checkpoint, should_stop=after(3))
    content = read_safely(checkpoint)
    damage(content)
    write_whole(content, checkpoint)
    steps: list[int] = []
    again = train(
        prepared, ids, settings, checkpoint=checkpoint, on_step=lambda told: steps.append(told.step)
    )
    whole = train(prepared, ids, settings)
    assert steps[:2] == [0, 1] and torch.equal(weights(again), weights(whole))
    assert again.report["steps"] == whole.report["steps"] and "starting afresh" in caplog.text


def test_a_changed_bit_in_the_weights_is_noticed(
    prepared: PreparedCases, ids: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = tmp_path / "run.pt"
    train(prepared, ids, QUICK, checkpoint=checkpoint, should_stop=after(3))
    weight = next(iter(read_safely(checkpoint)["weights"].values())).numpy().tobytes()
    held = bytearray(checkpoint.read_bytes())
    held[held.index(weight) + 5] ^= 4
    checkpoint.write_bytes(held)
    steps: list[int] = []
    train(prepared, ids, QUICK, checkpoint=checkpoint, on_step=lambda told: steps.append(told.step))
    assert steps[:2] == [0, 1] and "run.pt cannot be read; it may be truncated or damaged" in caplog.text


@pytest.mark.parametrize(
    "damage", [cut, *map(lacking, ("plan", "weights", "report", "train_ids", "strategy"))]
)
def test_a_model_s_file_that_lacks_something_is_refused_as_a_damaged_one(
    prepared: PreparedCases, ids: list[str], tmp_path: Path, damage: Callable[[dict], None]
) -> None:
    file = train(prepared, ids, replace(QUICK, steps=1)).save(tmp_path / "model.pt")
    content = read_safely(file)
    damage(content)
    write_whole(content, file)
    with pytest.raises(
        ValueError, match=r"model\.pt does not fit the network that this version builds: .*; train again"
    ):
        TrainedModel.load(file)
