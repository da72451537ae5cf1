"""Published trainings in an MLflow store, for those who keep one: options, accuracy and the model.

The ledger stays the truth. What MLflow is told comes after a training has been published, in a process of its own with a
bound in time: a store that is away, slow or full costs a line in the log, and never a training.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scaling_app.ledger import Run

if TYPE_CHECKING:
    from scaling_app.trials.model import TrainedModel
    from scaling_app.trials.testing import CaseScore

logger = logging.getLogger(__name__)

SECONDS = 120.0
"""How long MLflow may take in all."""

_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_SCHEMES = ("sqlite", "http", "https")


def parse_store(text: str) -> str | None:
    """The store of `--conf mlflow`; None where none is wanted.

    Raises:
        ValueError: no address of a store, or MLflow is not installed.
    """
    if not text:
        return None
    parts = urlsplit(text)
    if parts.scheme not in _SCHEMES or not (parts.netloc or parts.path.strip("/")):
        raise ValueError(
            "the address of an MLflow store is wanted, as in sqlite:////data/mlflow.db or http://mlflow:5000"
        )
    if importlib.util.find_spec("mlflow") is None:
        raise ValueError("MLflow is not installed: pip install 'scaling-app[mlflow]'")
    return text


def tell(
    store: str,
    run: Run,
    steps: int,
    held_out: Sequence[CaseScore],
    accuracy: float | None,
    model: TrainedModel,
    folder: Path,
) -> bool:
    """Writes one published training into the store; says whether it is there, and never raises.

    Args:
        steps: that it took.
        held_out: its scores on the patients held out; their mean Dice is told for each structure, and no name of them.
        accuracy: the mean Dice that the viewer shows, or None.
        model: it goes without names of cases.
        folder: the ledger's. Its name is the experiment's; with a SQLite store models go into `mlflow` there, while a server
            has a place of its own.
    """
    folder = folder.resolve()
    of_structure: dict[str, list[float]] = {}
    for score in (one for scored in held_out for one in scored.scores):
        if score.dice is not None and math.isfinite(score.dice):
            of_structure.setdefault(score.structure, []).append(score.dice)
    scores = {f"dice/{_key(name)}": sum(dice) / len(dice) for name, dice in of_structure.items()}
    if accuracy is not None and math.isfinite(accuracy):
        scores["dice"] = accuracy
    options = {"strategy": run.strategy, "network": run.network, "steps": steps, "seed": run.seed}
    options |= {"settings_hash": run.settings_hash, "n_train": run.n, "n_held_out": len(held_out)}
    told = {
        "store": store,
        "experiment": folder.name,
        "run": run.run_id,
        "options": {key: str(value) for key, value in options.items()},
        "scores": scores,
        "artifacts": (folder / "mlflow").as_uri() if urlsplit(store).scheme == "sqlite" else None,
    }
    try:
        with tempfile.TemporaryDirectory() as place:
            told["model"] = str(model.without_cases().save(Path(place) / f"{run.run_id}.pt"))
            done = subprocess.run(
                [sys.executable, "-m", __name__],
                input=json.dumps(told),
                text=True,
                capture_output=True,
                timeout=SECONDS,
                env={**os.environ, **_ENVIRONMENT},
            )
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("The training is published; MLflow was not told of it (%s)", type(error).__name__)
        return False
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        logger.warning("The training is published; MLflow was not told of it: %s", last[0])
    return done.returncode == 0


def _key(name: str) -> str:
    """A name that MLflow takes for a number."""
    return re.sub(r"[^\w .\-/]", "_", name)[:250]


def _write(told: Mapping[str, Any]) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(told["store"])
    known = client.get_experiment_by_name(told["experiment"])
    experiment = (
        known.experiment_id
        if known is not None
        else client.create_experiment(told["experiment"], artifact_location=told["artifacts"])
    )
    run = client.create_run(experiment, run_name=told["run"]).info.run_id
    try:
        for key, value in told["options"].items():
            client.log_param(run, key, value)
        for key, value in told["scores"].items():
            client.log_metric(run, key, value)
        client.log_artifact(run, told["model"], "model")
    except BaseException:
        client.set_terminated(run, "FAILED")
        raise
    client.set_terminated(run, "FINISHED")


if __name__ == "__main__":
    _write(json.load(sys.stdin))
