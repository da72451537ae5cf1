"""Routes about images and labels: they come, go, and are told of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, File, Form, HTTPException, UploadFile
from fastapi.background import BackgroundTasks
from monailabel.endpoints import datastore
from monailabel.interfaces.exception import LabelNotFoundException

from scaling_app.imaging.image_files import stem_of
from scaling_app.monai_app.roles import Admin, Annotator, annotator_of
from scaling_app.monai_app.routes.readers import forget_reading, reader_name, require_own_tag, show_labels
from scaling_app.monai_app.served import Served
from scaling_app.studies.labels.contents import image_grid
from scaling_app.studies.studies import FINAL
from scaling_app.web.request_checks import (
    ARCHIVES,
    read_image_facts,
    read_params,
    refusing,
    require_image,
    require_plain_name,
    spooled,
)


def add_datastore_routes(router: APIRouter, app: Served) -> None:
    """Adds these routes."""

    @router.put("/datastore/label", tags=["Datastore"])
    def save_label(
        image: str,
        label: Annotated[UploadFile, File()],
        user: Annotator,
        params: Annotated[str, Form()] = "{}",
        tag: str = FINAL,
    ) -> dict:
        known = read_params(params)
        require_image(app.open_studies, image)
        require_plain_name("tag", tag or FINAL)
        require_own_tag(tag)
        annotator = annotator_of(user)
        final = not tag or tag == FINAL
        with spooled(label, "label", raw_voxels=final) as path, refusing():
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
        with spooled(file, "image") as path, refusing():
            app.files.require_image(path, sent=True)
            app.veil.learn([name])
            return {"image": app.datastore().add_image(name, str(path), known)}

    @router.put("/datastore/image/info", tags=["Datastore"])
    def set_image_info(image: str, user: Annotator, info: Annotated[str, Form()] = "{}") -> None:
        known = read_image_facts(info)
        require_image(app.open_studies, image)
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
        background_tasks: BackgroundTasks,
        user: Annotator,
        limit_cases: int | None = None,
        client_id: str = "",
    ) -> object:
        if not app.datastore().datalist():
            raise HTTPException(404, "There is no labelled image to download yet.")
        for pair in app.datastore().datalist():
            if strange := next((file for file in pair.values() if not Path(file).is_file()), None):
                raise HTTPException(409, f"{Path(strange).name} is no file; put a file in its place.")
        if reader_name(user, client_id):  # who gives no name fetches it for a backup, or another program
            drawn = {case.image_id: [case.annotator or ""] for case in app.open_studies.ledger.cases()}
            show_labels(
                app, drawn, user, client_id
            )  # all: which a limit leaves out is for MONAI Label to say
        with ARCHIVES.passed():
            answer = datastore.download_dataset(limit_cases)
        # it would stay in the temporary folder
        background_tasks.add_task(Path(answer.path).unlink, missing_ok=True)
        return answer

    @router.delete("/datastore/image", tags=["Datastore"])
    @router.delete("/datastore/", tags=["Datastore"], include_in_schema=False)
    def remove_image(id: str, user: Admin) -> dict:
        require_image(app.open_studies, id)
        with refusing():
            answer = datastore.remove_image(id, user.username)
        app.follow_labels()
        return answer

    @router.delete("/datastore/label", tags=["Datastore"])
    def remove_label(id: str, tag: str, user: Admin) -> dict:
        require_image(app.open_studies, id)
        require_plain_name("tag", tag)
        if not app.open_studies.has_label(id, tag):
            raise HTTPException(404, f"The image {id!r} has no label {tag!r}.")
        with refusing():
            answer = datastore.remove_label(id, tag, user.username)
            forget_reading(app.open_studies, id, tag)
        app.follow_labels()
        return answer
