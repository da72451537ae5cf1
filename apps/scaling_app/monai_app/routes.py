"""Routes that stand before MONAI Label's own of the same address.

MONAI Label's handlers run in its one event loop and answer a mistake with "500 Internal Server Error".
These check first, answer with a 4xx that says what is wrong, and then call MONAI Label's own function, in
a worker thread so that a large label or a prediction keeps nobody waiting. Roles are MONAI Label's.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, FastAPI, File, Form, HTTPException, UploadFile
from fastapi import Path as InPath
from fastapi.background import BackgroundTasks
from fastapi.responses import Response
from monailabel.config import settings
from monailabel.endpoints import activelearning, batch_infer, datastore, infer, session, train
from monailabel.endpoints import model as model_files
from monailabel.interfaces.exception import LabelNotFoundException
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType
from monailabel.utils.async_tasks.utils import tasks
from pydicom.dataset import Dataset

from scaling_app.imaging.image_files import stem_of
from scaling_app.monai_app import roles
from scaling_app.monai_app.dicom_studies import DicomStudies
from scaling_app.monai_app.guards import add_guards, shown, stop_task
from scaling_app.monai_app.reader_routes import (
    add_reader_routes,
    forget_reading,
    logged_in,
    reader_name,
    require_not_read_blind,
    require_own_tag,
)
from scaling_app.monai_app.roles import Admin, Annotator, AnyUser, annotator_of
from scaling_app.monai_app.served import Served
from scaling_app.service import routes as sufficiency_routes
from scaling_app.studies.batch_options import parse_batch_options
from scaling_app.studies.labels.reading import image_grid
from scaling_app.studies.next_case import READER
from scaling_app.studies.studies import FINAL, ORIGINAL
from scaling_app.studies.train_options import OPTIONS
from scaling_app.web.request_checks import (
    ARCHIVES,
    PREDICTIONS,
    read_image_facts,
    read_params,
    refusing,
    require_plain_name,
    require_storable,
    spooled,
)

_SESSION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_OF_THE_ADDRESS = ("image", "model", "label", "session")
"""What MONAI Label would take from the options, too, and read as a file of this machine."""

MODEL = "segmentation"
"""The infer task, and the trainer of its model."""

STOP_SECONDS = 5.0
"""How long a stopped training may take to be gone."""

SessionId = Annotated[str, InPath(pattern=f"^{_SESSION.pattern}$")]


def include_first(server: FastAPI, router: APIRouter) -> None:
    """Adds routes so that they win over those already there."""
    routes = server.router.routes
    before = len(routes)
    server.include_router(router, prefix=settings.MONAI_LABEL_API_STR)
    added = routes[before:]
    del routes[before:]
    routes[:0] = added


def add_all(server: FastAPI, app: Served) -> None:
    """Adds all routes of this app before MONAI Label's."""
    include_first(server, make_router(app))
    sufficiency = sufficiency_routes.make_router(
        app.keeper,
        app.open_studies.ledger,
        start_update=app.start_update,
        has_image=app.open_studies.has_image,
        user=roles.USER,
        annotator=roles.ANNOTATOR,
        admin=roles.ADMIN,
        training=app.training,
        name_of=reader_name,
    )
    include_first(server, sufficiency)


def make_router(app: Served) -> APIRouter:
    """The routes of this app that replace MONAI Label's."""
    router = APIRouter()
    _add_datastore_routes(router, app)
    _add_task_routes(router, app)
    _add_session_routes(router, app)
    add_reader_routes(router, app)
    add_guards(router, app)
    return router


def _add_datastore_routes(router: APIRouter, app: Served) -> None:
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
        require_own_tag(tag)
        annotator = annotator_of(user)
        final = not tag or tag == FINAL
        with spooled(label, raw_voxels=final) as path, refusing():
            if final:
                return app.take_label(image, path, known, annotator)
            drawn_on = app.open_studies.image_path(image)
            app.files.label_facts(
                path, shape=None if drawn_on is None else image_grid(drawn_on).shape, sent=True
            )
            label_id = app.open_studies.save_label(image, path, tag, known)
            return {**app.on_save_label(image, label_id), "image": image, "label": label_id}

    @router.put("/datastore/", tags=["Datastore"], include_in_schema=False)  # the address Slicer uses
    @router.put("/datastore/image", tags=["Datastore"])
    def add_image(
        file: Annotated[UploadFile, File()],
        user: Annotator,
        image: str | None = None,
        params: Annotated[str, Form()] = "{}",
    ) -> dict:
        known = {**read_image_facts(params), "user": user.username}
        name = image or stem_of(file.filename or "")
        if not name:
            raise HTTPException(422, "The image needs a name: give one as ?image= or in the file's name.")
        require_plain_name("image", name)
        if app.open_studies.has_image(name):
            raise HTTPException(
                409,
                f"There is an image {name!r} already; send this one under another name, or delete that one.",
            )
        with spooled(file) as path, refusing():
            app.files.require_image(path, sent=True)
            app.veil.learn([name])
            return {"image": app.datastore().add_image(name, str(path), known)}

    @router.put("/datastore/image/info", tags=["Datastore"])
    def set_image_info(image: str, user: Annotator, info: Annotated[str, Form()] = "{}") -> None:
        known = read_image_facts(info)
        _require_image(app, image)
        with refusing():
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
            with refusing():
                app.datastore().update_label_info(label, tag, {**known, "user": user.username})
        except LabelNotFoundException as error:
            raise HTTPException(404, f"There is no label {label!r} with the tag {tag!r}.") from error

    @router.get("/datastore/dataset", tags=["Datastore"], response_model=None)
    def download_dataset(
        background_tasks: BackgroundTasks, user: Annotator, limit_cases: int | None = None
    ) -> object:
        if not app.datastore().datalist():
            raise HTTPException(404, "There is no labelled image to download yet.")
        for pair in app.datastore().datalist():
            if strange := next((file for file in pair.values() if not Path(file).is_file()), None):
                raise HTTPException(409, f"{Path(strange).name} is no file; put a file in its place.")
        with ARCHIVES.passed():
            answer = datastore.download_dataset(limit_cases)
        # it would stay in the temporary folder
        background_tasks.add_task(Path(answer.path).unlink, missing_ok=True)
        return answer

    @router.delete("/datastore/image", tags=["Datastore"])
    @router.delete("/datastore/", tags=["Datastore"], include_in_schema=False)
    def remove_image(id: str, user: Admin) -> dict:
        _require_image(app, id)
        with refusing():
            answer = datastore.remove_image(id, user.username)
        app.follow_labels()
        return answer

    @router.delete("/datastore/label", tags=["Datastore"])
    def remove_label(id: str, tag: str, user: Admin) -> dict:
        _require_image(app, id)
        require_plain_name("tag", tag)
        if not app.open_studies.has_label(id, tag):
            raise HTTPException(404, f"The image {id!r} has no label {tag!r}.")
        with refusing():
            answer = datastore.remove_label(id, tag, user.username)
            forget_reading(app.open_studies, id, tag)
        app.follow_labels()
        return answer


def _add_task_routes(router: APIRouter, app: Served) -> None:
    @router.post("/activelearning/{strategy}", tags=["ActiveLearning"])
    def next_sample(strategy: str, user: AnyUser, params: dict | None = None) -> dict:
        _require_name("strategy", strategy, app.strategy_names())
        require_storable(params)
        others = {key: value for key, value in (params or {}).items() if key != "strategy"}  # it would win
        others |= logged_in(user)
        reader = others[READER] = reader_name(user, others.get("client_id"))
        with app.serving:
            sample = activelearning.sample(strategy, others, user.username)
        missing = None if sample else app.nothing_to_serve(reader)
        return sample if missing is None else {"message": missing}

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
        if session_id:
            _require_session(app, session_id)
        if not file and not session_id:
            _require_image(app, image)
        if label:
            raise HTTPException(
                422, "This model takes an image alone, no label and no scribbles; send it without."
            )
        as_dicom = output == infer.ResultType.dicom_seg
        store = app.datastore()
        if as_dicom and (file or session_id or not isinstance(store, DicomStudies)):
            raise HTTPException(
                422,
                "output=dicom_seg is for series of a DICOM server; ask for output=image of this one.",
            )
        known |= logged_in(user)
        if image and not session_id and not known.get("reveal"):
            require_not_read_blind(app.open_studies, image, reader_name(user, known.get("client_id")))
        options = json.dumps({key: value for key, value in known.items() if key not in _OF_THE_ADDRESS})
        with PREDICTIONS.passed():
            if not file:
                wanted = infer.ResultType.image if as_dicom else output
                answer = infer.run_inference(
                    background_tasks, model, image, session_id, options, None, None, wanted
                )
                if as_dicom and isinstance(store, DicomStudies):
                    with refusing():
                        return _dicom(store.as_prediction(image, Path(answer.path)))
                return answer
            with spooled(file) as path, refusing():
                app.files.require_image(path, sent=True)
                return infer.run_inference(
                    background_tasks, model, str(path), "", options, None, None, output
                )

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
        _require_tag_of_predictions(params or {})
        with refusing():
            known = parse_batch_options(params or {}, app.open_studies.has_image)
        with PREDICTIONS.passed():
            return shown(batch_infer.run(model, images, {**known, "model": model}, run_sync))

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
            app.close_interrupted_runs("stopped by a user", wait_seconds=STOP_SECONDS)
        return stopped


def _add_session_routes(router: APIRouter, app: Served) -> None:
    """Images lent for predictions, which do not join the studies.

    MONAI Label's own unpack archives whose members may lead anywhere, and take a session's facts from what was
    unpacked: any file of this machine could be read and written.
    """

    @router.put("/session/", tags=["Session"])
    def lend_image(
        files: Annotated[list[UploadFile], File()], user: AnyUser, uncompress: bool = False, expiry: int = 0
    ) -> dict:
        if uncompress or len(files) != 1:
            raise HTTPException(422, "Lend one image file at a time; archives and folders are not taken.")
        if (lent := app.sessions()) is None:
            raise HTTPException(406, "Sessions are switched off on this server.")
        with spooled(files[0]) as path, refusing():
            app.files.require_image(path, sent=True)
            session_id, info = lent.add_session(str(path), expiry)
            return {"session_id": session_id, "session_info": info.to_json()}

    @router.get("/session/{session_id}", tags=["Session"], response_model=None)
    def lent_image(
        session_id: SessionId, user: AnyUser, update_ts: bool = False, image: bool = False
    ) -> object:
        return session.get_session(session_id, update_ts, image)

    @router.delete("/session/{session_id}", tags=["Session"], response_model=None)
    def end_session(session_id: SessionId, user: AnyUser) -> object:
        lent = app.sessions()
        # MONAI Label's own would note first that it was asked for, which takes room on the disk
        info = None if lent is None else lent.get_session(session_id, update_ts=False)
        if info is None:
            raise HTTPException(404, "There is no such session; it may have expired.")
        lent.remove_session(session_id)
        return info.to_json()


def start_training(
    app: Served, model: str, params: dict | None, *, run_sync: bool = False, enqueue: bool = False
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
    return shown(train.run_model(model, options, run_sync, enqueue))


def _dicom(instance: Dataset) -> Response:
    file = io.BytesIO()
    instance.save_as(file, write_like_original=False)
    named = {"Content-Disposition": 'attachment; filename="prediction.dcm"'}
    return Response(file.getvalue(), media_type="application/dicom", headers=named)


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


def _require_image(app: Served, image: str) -> None:
    if not image or not app.open_studies.has_image(image):
        raise HTTPException(404, f"There is no image {image!r} in the datastore.")


def _require_session(app: Served, session_id: str) -> None:
    lent = app.sessions()
    if lent is None or not _SESSION.fullmatch(session_id) or lent.get_session(session_id) is None:
        raise HTTPException(404, "There is no such session; lend the image again (PUT /session/).")


def _require_name(kind: str, name: str, names: list[str]) -> None:
    if name not in names:
        raise HTTPException(404, f"There is no {kind} {name!r}; there are: {', '.join(names)}.")
