"""Routes that train, end a training, and take a model away."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from monailabel.endpoints import model as model_files
from monailabel.endpoints import train
from monailabel.utils.async_tasks.utils import tasks

from scaling_app.monai_app.roles import Admin
from scaling_app.monai_app.routes.guards import shown, stop_task
from scaling_app.monai_app.served import Served
from scaling_app.studies.interrupted import close_interrupted_runs
from scaling_app.studies.train_options import OPTIONS
from scaling_app.web.request_checks import refusing, require_name

MODEL = "segmentation"
"""The infer task, and the trainer of its model."""

STOP_SECONDS = 5.0
"""How long a stopped training may take to be gone."""


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
        stopped = stop_task("train")
        if stopped:
            close_interrupted_runs(app.open_studies.ledger, "stopped by a user", wait_seconds=STOP_SECONDS)
        return stopped


def start_training(
    app: Served, model: str, params: dict | None, *, run_sync: bool = False, enqueue: bool = False
) -> object:
    """Checks a training request and hands it to MONAI Label's train queue.

    Raises:
        HTTPException: 404 unknown trainer, 422 unusable options or nothing to train on, 429 when one is
            running or about to.
    """
    require_name("trainer", model, app.trainer_names())
    busy = any(task["status"] in ("SUBMITTED", "RUNNING") for task in tasks("train"))
    if busy and not enqueue:
        raise HTTPException(429, "A training is running already; stop it or wait for its end.")
    with refusing():
        app.require_trainable(model, params or {})
    # what else is there is no option; some of it would win over the address, or keep the queue from going on
    options = {key: value for key, value in (params or {}).items() if key in OPTIONS}
    return shown(train.run_model(model, options, run_sync, enqueue))
