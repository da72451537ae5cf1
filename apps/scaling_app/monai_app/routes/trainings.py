"""Routes that train, end a training, and take a model away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException
from monailabel.endpoints import model as model_files
from monailabel.endpoints import train
from monailabel.utils.async_tasks.utils import tasks

from scaling_app.monai_app.roles import Admin
from scaling_app.monai_app.routes.guards import shown, stop_task
from scaling_app.monai_app.served import Served
from scaling_app.studies.interrupted import close_interrupted_runs
from scaling_app.studies.train_options import OPTIONS, number_option
from scaling_app.trials import wire
from scaling_app.web.request_checks import refusing, require_name

MODEL = "segmentation"
"""The infer task, and the trainer of its model."""

CURVE = "learning_curve"
"""The trainer that measures, for which nobody waits."""

STOP_SECONDS = 5.0
"""How long a stopped training may take to be gone."""

_BUSY = "A training is running already; stop it or wait for its end."


def add_training_routes(router: APIRouter, app: Served) -> None:
    """Adds these routes."""

    @router.post("/train/{model}", tags=["Train"], response_model=None)
    def run_training(
        model: str,
        user: Admin,
        params: dict | None = None,
        run_sync: bool | None = False,
        enqueue: bool | None = False,
    ) -> object:
        return start_training(app, model, params, run_sync=bool(run_sync), enqueue=bool(enqueue))

    @router.put("/model/{model}", tags=["Model"])
    def refuse_model(model: str, user: Admin) -> None:
        # what a model has seen decides on what it is tested, and only a training here knows that
        raise HTTPException(405, "Models come from trainings on this server; none can be put in their place.")

    @router.delete("/model/{model}", tags=["Model"])
    def remove_model(model: str, user: Admin) -> dict:
        return model_files.delete_model(model)

    @router.post("/train/", include_in_schema=False)  # the address that OHIF uses
    def update_model(user: Admin, params: dict | None = None) -> dict:
        options = (params or {}).get(MODEL)
        task = start_training(app, MODEL, options if isinstance(options, dict) else None)
        return {MODEL: {"result": task, "detail": None}}

    @router.delete("/train/", tags=["Train"], response_model=None)
    def stop_training(user: Admin) -> object:
        return _stopped(app, "stopped by a user")


def start_training(
    app: Served, model: str, params: dict | None, *, run_sync: bool = False, enqueue: bool = False
) -> object:
    """Checks a training request and hands it to MONAI Label's train queue.

    A training of the model in use goes first: a curve job under way is ended, and goes on after it for the rest of
    its minutes, from its checkpoints.

    Raises:
        HTTPException: 404 unknown trainer, 422 unusable options or nothing to train on, 429 when one is
            running or about to.
    """
    require_name("trainer", model, app.trainer_names())
    busy = [task for task in tasks("train") if task["status"] in ("SUBMITTED", "RUNNING")]
    goes_first = model == MODEL and not enqueue and _is_one_of_the_curve(busy)
    if busy and not enqueue and not goes_first:
        raise HTTPException(429, _BUSY)
    with refusing():
        app.require_trainable(model, params or {})
    if not goes_first:
        return _queued(model, params or {}, run_sync, enqueue)
    if not _stopped(app, "a training of the model in use went first"):
        raise HTTPException(429, _BUSY)  # its process is not there yet, or not any more
    task = _queued(model, params or {}, run_sync, True)
    _queued(CURVE, _rest_of(busy[0], app.open_studies.conf.curve_minutes), False, True)
    return task


def _queued(model: str, params: Mapping[str, Any], run_sync: bool, enqueue: bool) -> object:
    # what else is there is no option; some of it would win over the address, or keep the queue from going on
    options = {key: value for key, value in params.items() if key in OPTIONS}
    return shown(train.run_model(model, options, run_sync, enqueue))


def _stopped(app: Served, message: str) -> object:
    """Ends the training under way, also what of it runs on other machines."""
    stopped = stop_task("train")
    if stopped:
        close_interrupted_runs(app.open_studies.ledger, message, wait_seconds=STOP_SECONDS)
        wire.abandon(app.open_studies.folder / wire.UNDER_WAY)
    return stopped


def _is_one_of_the_curve(busy: Sequence[Mapping[str, Any]]) -> bool:
    return len(busy) == 1 and (busy[0].get("request") or {}).get("model") == CURVE


def _rest_of(task: Mapping[str, Any], usual_minutes: float) -> dict[str, Any]:
    """What a curve job was asked for, with the minutes that are left of it."""
    request = task["request"]
    asked = number_option("curve_minutes", request, usual_minutes, low=0.05, high=10080)
    since = datetime.now() - datetime.strptime(task["start_ts"], "%Y-%m-%d %H:%M:%S")
    return {**request, "curve_minutes": max(0.05, round(asked - since.total_seconds() / 60, 2))}
