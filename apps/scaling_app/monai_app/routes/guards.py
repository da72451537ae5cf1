"""Routes of MONAI Label that end with an error of Python, or hold up everybody, when asked at a bad time or amiss.

Each is answered here instead: the same answer where there is one, else a 4xx with a sentence.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import psutil
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.security import OAuth2PasswordRequestForm
from monailabel.config import settings
from monailabel.endpoints import datastore, logs, ohif
from monailabel.utils.async_tasks.task import AsyncTask
from monailabel.utils.async_tasks.utils import processes, tasks

from scaling_app.monai_app.dicom.proxy import add_dicom_proxy
from scaling_app.monai_app.dicom.studies import DicomStudies
from scaling_app.monai_app.roles import Admin, Annotator, AnyUser
from scaling_app.monai_app.routes.readers import show_labels
from scaling_app.monai_app.served import Served
from scaling_app.studies.place import is_url
from scaling_app.web.request_checks import require_name
from scaling_app.web.tokens import LoginUnavailableError

MOST_LINES = 100_000
"""Of the log."""

_GPU_SECONDS = 20
_OHIF = Path(ohif.__file__).parent / "static" / "ohif"


def add_guards(router: APIRouter, app: Served) -> None:
    """Adds these routes."""
    _add_task_states(router)
    _add_scoring(router, app)
    _add_logs(router, app)
    _add_pages(router, app)
    if settings.MONAI_LABEL_AUTH_ENABLE:
        _add_login(router)


def shown(task: object) -> object:
    """A task as it is now: its own dictionary changes while it is being written into the answer."""
    if not isinstance(task, Mapping):
        return task
    copy = dict(task)
    if "details" in copy:
        copy["details"] = list(copy["details"])
    copy["request"] = dict(copy.get("request") or {})
    return copy


def state_of(method: str, *, everything: bool, running: bool) -> object:
    """The task of a kind that is under way, else the newest; or all of them.

    One that waits behind it in the queue is newer, and says nothing of what the server does.

    Raises:
        HTTPException: 404 when there is none.
    """
    known = [shown(task) for task in list(tasks(method))]
    if running:
        ids = set(dict(processes(method)))
        known = [task for task in known if isinstance(task, dict) and task.get("id") in ids]
    if not known:
        raise HTTPException(404, f"No {method} task {'is running' if running else 'was started yet'}.")
    if everything and not running:
        return known
    under_way = (
        task
        for status in ("RUNNING", "SUBMITTED")
        for task in known
        if isinstance(task, dict) and task.get("status") == status
    )
    return next(under_way, known[-1])


def stop_task(method: str) -> object:
    """Ends the running task of a kind; None when there is none, or it ended by itself meanwhile."""
    try:
        return shown(AsyncTask.stop(method))
    except (psutil.NoSuchProcess, KeyError, IndexError, StopIteration):
        return None


def _add_task_states(router: APIRouter) -> None:
    @router.get("/train/", tags=["Train"], response_model=None)
    def train_state(user: AnyUser, all: bool = False, check_if_running: bool = False) -> object:
        return state_of("train", everything=all, running=check_if_running)

    @router.get("/scoring/", tags=["Scoring"], response_model=None)
    def scoring_state(user: AnyUser, all: bool = False, check_if_running: bool = False) -> object:
        return state_of("scoring", everything=all, running=check_if_running)

    @router.get("/batch/infer", tags=["Infer"], response_model=None)
    def batch_state(user: AnyUser, all: bool = False, check_if_running: bool = False) -> object:
        return state_of("batch_infer", everything=all, running=check_if_running)

    @router.delete("/scoring/", tags=["Scoring"], response_model=None)
    def stop_scoring(user: Annotator) -> object:
        return stop_task("scoring")

    @router.delete("/batch/infer", tags=["Infer"], response_model=None)
    def stop_batch(user: Admin) -> object:
        return stop_task("batch_infer")


def _add_scoring(router: APIRouter, app: Served) -> None:
    @router.post("/scoring/", include_in_schema=False)
    def refuse_all_scorings(user: Annotator) -> None:
        raise HTTPException(404, "Name the scoring method, as in POST /scoring/sufficiency.")

    @router.post("/scoring/{method}", tags=["Scoring"], response_model=None)
    def score(
        method: str, user: Annotator, params: dict | None = None, run_sync: bool | None = False
    ) -> object:
        require_name("scoring method", method, app.scoring_names())
        # the method has no options; some of what else is there would win over the address
        result, detail = AsyncTask.run("scoring", {"method": method}, None, force_sync=bool(run_sync))
        if result is None:
            raise HTTPException(429, str(detail))
        return shown(result)


def _add_logs(router: APIRouter, app: Served) -> None:
    @router.get("/logs/names", tags=["Others"])
    def names(user: Admin) -> dict[str, str]:
        return dict(app.veil.names())

    @router.get("/logs/gpu", tags=["Others"], response_class=PlainTextResponse)
    def gpus(user: Admin) -> PlainTextResponse:
        if shutil.which("nvidia-smi") is None:
            raise HTTPException(404, "This computer has no nvidia-smi, and so no GPU that could be shown.")
        try:
            said = subprocess.run(["nvidia-smi"], capture_output=True, timeout=_GPU_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HTTPException(404, f"nvidia-smi gave no answer ({type(error).__name__}).") from error
        return PlainTextResponse(said.stdout.decode(errors="replace"))

    @router.get("/logs/", tags=["Others"], response_model=None)
    def log(
        user: Admin,
        lines: Annotated[int, Query(le=MOST_LINES)] = 300,
        html: bool | None = True,
        text: bool | None = False,
        refresh: Annotated[int, Query(le=86_400)] = 0,
    ) -> Response:
        file = Path(settings.MONAI_LABEL_APP_DIR) / "logs" / "app.log"
        return logs.get_logs(str(file), lines, html, text, refresh)


def _add_pages(router: APIRouter, app: Served) -> None:
    @router.head("/datastore/image", tags=["Datastore"])
    def image_is_there(image: str, user: AnyUser, check_sum: str | None = None) -> dict:
        try:
            return datastore.download_image(image, check_only=True, check_sum=check_sum)
        except ValueError as error:  # a digest of a kind that is not known
            raise HTTPException(422, str(error)) from error

    @router.get("/ohif/{path:path}", include_in_schema=False)
    def ohif_page(path: str, user: AnyUser) -> FileResponse:
        try:
            file = (_OHIF / path).resolve()
            known = file.is_file() and file.is_relative_to(_OHIF.resolve())
        except OSError:  # a name too long for any file
            known = False
        if not known:
            file = _OHIF / "index.html"
        if not file.is_file():
            raise HTTPException(404, "The OHIF viewer is not installed.")
        return FileResponse(file)

    store = app.datastore() if is_url(app.studies) else None
    if isinstance(store, DicomStudies):
        add_dicom_proxy(router, store.pacs, lambda path, user: show_labels(app, store.labels_at(path), user))

    @router.api_route("/proxy/dicom/{path:path}", methods=["GET", "POST"], include_in_schema=False)
    def refuse_proxy(path: str, user: AnyUser) -> None:
        raise HTTPException(404, "There is no DICOM server to ask here, or not for this.")

    @router.post("/reload", include_in_schema=False)
    def refuse_reload(user: Admin) -> None:
        # the app made anew would have neither its routes nor its watch
        raise HTTPException(405, "Start the server again instead.")


def _add_login(router: APIRouter) -> None:
    @router.post("/auth/token", tags=["Auth"])
    def token(request: Request, form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, str]:
        try:
            return request.app.state.realm.sign_in(form.username, form.password)
        except PermissionError as error:
            raise HTTPException(401, str(error)) from None
        except LoginUnavailableError as error:
            raise HTTPException(503, str(error)) from None
