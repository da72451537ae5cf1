"""Routes for predictions: of one image, and of many."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, File, Form, HTTPException, UploadFile
from fastapi.background import BackgroundTasks
from fastapi.responses import Response
from monailabel.endpoints import batch_infer, infer
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType
from pydicom.dataset import Dataset

from scaling_app.monai_app.dicom.studies import DicomStudies
from scaling_app.monai_app.roles import Admin, AnyUser
from scaling_app.monai_app.routes.guards import shown
from scaling_app.monai_app.routes.lent_images import require_lent
from scaling_app.monai_app.routes.readers import logged_in, reader_name, require_not_read_blind
from scaling_app.monai_app.served import Served
from scaling_app.studies.batch_options import parse_batch_options
from scaling_app.studies.studies import FINAL, ORIGINAL
from scaling_app.web.request_checks import (
    PREDICTIONS,
    read_params,
    refusing,
    require_image,
    require_name,
    require_plain_name,
    spooled,
)

_OF_THE_ADDRESS = ("image", "model", "label", "session")
"""What MONAI Label would take from the options, too, and read as a file of this machine."""


def add_prediction_routes(router: APIRouter, app: Served) -> None:
    """Adds these routes."""

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
        require_name("model", model, app.model_names())
        if known.get("image", image) != image:  # it would win, and may be any file of this machine
            raise HTTPException(422, "Name the image as ?image=, not in params.")
        if known.get("model", model) != model:
            raise HTTPException(422, "Name the model in the address, not in params.")
        _require_tag_of_predictions(known)
        if session_id:
            require_lent(app, session_id)
        if not file and not session_id:
            require_image(app.open_studies, image)
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
            with spooled(file, "image") as path, refusing():
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
        require_name("model", model, app.model_names())
        _require_tag_of_predictions(params or {})
        with refusing():
            known = parse_batch_options(params or {}, app.open_studies.has_image)
        with PREDICTIONS.passed():
            return shown(batch_infer.run(model, images, {**known, "model": model}, run_sync))


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
