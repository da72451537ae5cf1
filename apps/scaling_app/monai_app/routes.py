"""Routes that stand before MONAI Label's own of the same address.

MONAI Label's handlers run in its one event loop and answer a mistake with "500 Internal Server Error".
These check first, answer with a 4xx that says what is wrong, and then call MONAI Label's own function, in
a worker thread so that a large label or a prediction keeps nobody waiting. Roles are MONAI Label's.
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, File, Form, HTTPException, UploadFile
from fastapi.background import BackgroundTasks
from monailabel.config import settings
from monailabel.endpoints import activelearning, batch_infer, datastore, infer, train
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.exception import LabelNotFoundException
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType
from monailabel.utils.async_tasks.utils import tasks

from scaling_app.imaging.geometry import read_image, read_label, readable_kinds, stem_of, suffix_of
from scaling_app.monai_app.session import FINAL, ORIGINAL
from scaling_app.monai_app.train_options import OPTIONS

if TYPE_CHECKING:
    from fastapi import FastAPI

    from scaling_app.monai_app.app import ScalingApp

logger = logging.getLogger(__name__)

_PLAIN_NAME = re.compile(r"\w[\w .+,()=@#-]*(?<! )")
_LONGEST_NAME = 200
"""Bytes: file systems end at 255, and the kind of the file comes after it."""

USER = RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER)
ANNOTATOR = RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR)
ADMIN = RBAC(settings.MONAI_LABEL_AUTH_ROLE_ADMIN)

STOP_SECONDS = 5.0
"""How long a stopped training may take to be gone."""

AnyUser = Annotated[User, Depends(USER)]
Annotator = Annotated[User, Depends(ANNOTATOR)]
Admin = Annotated[User, Depends(ADMIN)]


def include_first(server: FastAPI, router: APIRouter) -> None:
    """Adds routes so that they win over those already there."""
    routes = server.router.routes
    before = len(routes)
    server.include_router(router, prefix=settings.MONAI_LABEL_API_STR)
    added = routes[before:]
    del routes[before:]
    routes[:0] = added


def make_router(app: ScalingApp) -> APIRouter:
    """The routes of this app that replace MONAI Label's."""
    router = APIRouter()
    _add_datastore_routes(router, app)
    _add_task_routes(router, app)
    return router


def _add_datastore_routes(router: APIRouter, app: ScalingApp) -> None:
    @router.put("/datastore/label", tags=["Datastore"])
    def save_label(
        image: str,
        label: Annotated[UploadFile, File()],
        user: Annotator,
        params: Annotated[str, Form()] = "{}",
        tag: str = FINAL,
    ) -> dict:
        known = read_params(params)
        _require_image(app, image)
        require_plain_name("tag", tag or FINAL)
        annotator = user.username if settings.MONAI_LABEL_AUTH_ENABLE else None
        final = not tag or tag == FINAL
        with spooled(label, raw_voxels=final) as path, refusing():
            if final:
                return app.take_label(image, path, known, annotator)
            read_label(path)
            label_id = app.session.save_label(image, path, tag, known)
            return {**app.on_save_label(image, label_id), "image": image, "label": label_id}

    @router.put("/datastore/", tags=["Datastore"], include_in_schema=False)  # the address Slicer uses
    @router.put("/datastore/image", tags=["Datastore"])
    def add_image(
        file: Annotated[UploadFile, File()],
        user: Annotator,
        image: str | None = None,
        params: Annotated[str, Form()] = "{}",
    ) -> dict:
        known = {**read_params(params), "user": user.username}
        name = image or stem_of(file.filename or "")
        if not name:
            raise HTTPException(422, "The image needs a name: give one as ?image= or in the file's name.")
        require_plain_name("image", name)
        if app.session.has_image(name):
            raise HTTPException(
                409,
                f"There is an image {name!r} already; send this one under another name, or delete that one.",
            )
        with spooled(file) as path, refusing():
            read_image(path)
            return {"image": app.datastore().add_image(name, str(path), known)}

    @router.put("/datastore/image/info", tags=["Datastore"])
    def set_image_info(image: str, user: Annotator, info: Annotated[str, Form()] = "{}") -> None:
        known = read_params(info)
        _require_image(app, image)
        app.datastore().update_image_info(image, {**known, "user": user.username})

    @router.put("/datastore/updatelabelinfo", tags=["Datastore"], include_in_schema=False)
    def set_label_params(
        label: str, tag: str, user: Annotator, params: Annotated[str, Form()] = "{}"
    ) -> None:
        set_label_info(label, tag, user, params)

    @router.put("/datastore/label/info", tags=["Datastore"])
    def set_label_info(label: str, tag: str, user: Annotator, info: Annotated[str, Form()] = "{}") -> None:
        known = read_params(info)
        try:
            app.datastore().update_label_info(label, tag, {**known, "user": user.username})
        except LabelNotFoundException as error:
            raise HTTPException(404, f"There is no label {label!r} with the tag {tag!r}.") from error

    @router.delete("/datastore/image", tags=["Datastore"])
    @router.delete("/datastore/", tags=["Datastore"], include_in_schema=False)
    def remove_image(id: str, user: Admin) -> dict:
        _require_image(app, id)
        answer = datastore.remove_image(id, user.username)
        app.take_stock()
        return answer

    @router.delete("/datastore/label", tags=["Datastore"])
    def remove_label(id: str, tag: str, user: Admin) -> dict:
        _require_image(app, id)
        require_plain_name("tag", tag)
        if not app.session.has_label(id, tag):
            raise HTTPException(404, f"The image {id!r} has no label {tag!r}.")
        answer = datastore.remove_label(id, tag, user.username)
        app.take_stock()
        return answer


def _add_task_routes(router: APIRouter, app: ScalingApp) -> None:
    @router.post("/activelearning/{strategy}", tags=["ActiveLearning"])
    def next_sample(strategy: str, user: AnyUser, params: dict | None = None) -> dict:
        _require_name("strategy", strategy, app.strategy_names())
        require_storable(params)
        others = {key: value for key, value in (params or {}).items() if key != "strategy"}  # it would win
        with app.serving:
            return activelearning.sample(strategy, others, user.username)

    @router.post("/infer/{model}", tags=["Infer"], response_model=None)
    def run_inference(
        background_tasks: BackgroundTasks,
        model: str,
        user: AnyUser,
        image: str = "",
        session_id: str = "",
        params: Annotated[str, Form()] = "{}",
        file: Annotated[UploadFile | None, File()] = None,
        label: Annotated[UploadFile | None, File()] = None,
        output: infer.ResultType | None = None,
    ) -> object:
        known = read_params(params)
        _require_name("model", model, app.model_names())
        if known.get("image", image) != image:  # it would win, and may be any file of this machine
            raise HTTPException(422, "Name the image as ?image=, not in params.")
        if known.get("model", model) != model:
            raise HTTPException(422, "Name the model in the address, not in params.")
        _require_tag_of_predictions(known)
        if not file and not session_id:
            _require_image(app, image)
        return infer.run_inference(background_tasks, model, image, session_id, params, file, label, output)

    @router.post("/infer/wsi/{model}", include_in_schema=False)
    @router.post("/infer/wsi_v2/{model}", include_in_schema=False)
    def refuse_slides(model: str, user: AnyUser) -> None:
        # MONAI Label's own hand any image to the same model, and would take any tag and any file
        raise HTTPException(404, "This app segments no whole-slide images; ask /infer/{model} for others.")

    @router.post("/batch/infer/{model}", tags=["Infer"], response_model=None)
    def run_batch_inference(
        model: str,
        user: Admin,
        images: BatchInferImageType = BatchInferImageType.IMAGES_ALL,
        params: dict | None = None,
        run_sync: bool | None = False,
    ) -> object:
        _require_name("model", model, app.model_names())
        known = {**(params or {"max_workers": 1}), "model": model}
        _require_tag_of_predictions(known)
        if not isinstance(known.get("gpus", ""), str):
            raise HTTPException(422, f'gpus must be a text such as "0,1", got {known["gpus"]!r}.')
        return batch_infer.run(model, images, known, run_sync)

    @router.post("/train/{model}", tags=["Train"], response_model=None)
    def run_training(
        model: str,
        user: Admin,
        params: dict | None = None,
        run_sync: bool | None = False,
        enqueue: bool | None = False,
    ) -> object:
        return start_training(app, model, params, run_sync=bool(run_sync), enqueue=bool(enqueue))

    @router.delete("/train/", tags=["Train"], response_model=None)
    def stop_training(user: Admin) -> object:
        stopped = train.stop()
        if stopped:
            app.close_interrupted_runs("stopped by a user", wait_seconds=STOP_SECONDS)
        return stopped


def start_training(
    app: ScalingApp, model: str, params: dict | None, *, run_sync: bool = False, enqueue: bool = False
) -> object:
    """Checks a training request and hands it to MONAI Label's train queue.

    Raises:
        HTTPException: 404 unknown trainer, 422 unusable options or nothing to train on, 429 when one is
            running or about to.
    """
    _require_name("trainer", model, app.trainer_names())
    busy = any(task["status"] in ("SUBMITTED", "RUNNING") for task in tasks("train"))
    if busy and not enqueue:
        raise HTTPException(429, "A training is running already; stop it or wait for its end.")
    with refusing():
        app.require_trainable(model, params or {})
    # what else is there is no option; some of it would win over the address, or keep the queue from going on
    options = {key: value for key, value in (params or {}).items() if key in OPTIONS}
    return train.run_model(model, options, run_sync, enqueue)


def read_params(raw: str) -> dict:
    """The JSON object that MONAI Label's clients send in the form field `params`.

    Raises:
        HTTPException: 422 when it is none.
    """
    try:
        params = json.loads(raw) if raw else {}
    except ValueError as error:
        raise HTTPException(422, f"params is no JSON: {error}") from error
    if not isinstance(params, dict):
        raise HTTPException(422, "params must be a JSON object")
    require_storable(params)
    return params


def require_storable(params: object) -> None:
    """Refuses what neither the ledger nor MONAI Label's index of the studies could be read with again.

    Half a character in that index, and no server and no training starts on these studies any more.

    Raises:
        HTTPException: 422.
    """
    try:
        json.dumps(params, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise HTTPException(422, f"params is no JSON that can be stored: {error}") from error


def require_plain_name(what: str, name: str) -> None:
    """Refuses what cannot be a file's name in the datastore, or leads out of it.

    Letters of any script and spaces are allowed, as real data sets have them.

    Raises:
        HTTPException: 422.
    """
    if not _PLAIN_NAME.fullmatch(name) or len(name.encode()) > _LONGEST_NAME:
        raise HTTPException(
            422,
            f"{name[:80]!r} cannot be the name of the {what}: use letters, digits, spaces and "
            f"_ . - + , ( ) = @ #, a letter, digit or _ first, and at most {_LONGEST_NAME} bytes.",
        )


@contextmanager
def spooled(upload: UploadFile, *, raw_voxels: bool = False) -> Iterator[Path]:
    """The upload as a file with its own suffixes, gone afterwards.

    Args:
        raw_voxels: whether `.bin`, the raw voxels of the OHIF viewer, will do.

    Raises:
        HTTPException: 422 for a kind of file that is not read.
    """
    suffix = suffix_of(upload.filename or "") or ".nii.gz"
    if not (suffix in readable_kinds() or (raw_voxels and suffix == ".bin")):
        raise HTTPException(
            422, f"Files of the kind {suffix!r} are not read; known are {', '.join(readable_kinds())}."
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"upload{suffix}"
        with path.open("wb") as out:
            while piece := upload.file.read(1 << 20):
                out.write(piece)
        yield path


@contextmanager
def refusing() -> Iterator[None]:
    """Turns a mistake in the input into 422 with its sentence."""
    try:
        yield
    except ValueError as error:
        raise HTTPException(422, str(error)) from error


def _require_tag_of_predictions(params: Mapping[str, object]) -> None:
    """Refuses to have predictions stored as the labels that models are trained on and tested against.

    Raises:
        HTTPException: 422; also when the tag cannot be a name.
    """
    tag = str(params.get("label_tag", ORIGINAL))
    require_plain_name("label_tag", tag)
    if tag == FINAL:
        raise HTTPException(
            422, f"A prediction is not stored under {FINAL!r}, where labels are; choose another label_tag."
        )


def _require_image(app: ScalingApp, image: str) -> None:
    if not image or not app.session.has_image(image):
        raise HTTPException(404, f"There is no image {image!r} in the datastore.")


def _require_name(kind: str, name: str, names: list[str]) -> None:
    if name not in names:
        raise HTTPException(404, f"There is no {kind} {name!r}; there are: {', '.join(names)}.")
