"""A training outlives a checkpoint that cannot be written, and the checkpoint before outlives both."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scaling_app.trials import checkpoint as checkpoint_module
from scaling_app.trials import training
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.model import TrainedModel, read_safely
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
