"""What `/metrics` is told of the running server: request times by route, queues, disks, who can reach it."""

from __future__ import annotations

import functools
import os
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from fastapi import APIRouter, FastAPI
from fastapi.responses import PlainTextResponse
from monailabel.config import settings
from monailabel.utils.async_tasks.utils import tasks
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scaling_app.monai_app.dicom.studies import DicomStudies
from scaling_app.monai_app.roles import AnyUser
from scaling_app.service.metrics import CONTENT_TYPE, NO_ROUTE, Metrics, ServerFacts
from scaling_app.studies.place import is_url
from scaling_app.web.addresses import is_loopback
from scaling_app.web.in_front import stand_in_front
from scaling_app.web.places import CLIENT_GONE

if TYPE_CHECKING:
    from scaling_app.studies.studies import Studies

KINDS = ("train", "scoring", "batch_infer")


def metrics_of(studies: Studies, source: str) -> Metrics:
    """The numbers of these studies; errors are counted from now on.

    Args:
        source: the studies folder, or the address of a DICOM server.
    """
    metrics = Metrics(studies.ledger, lambda: facts_of(studies, source))
    metrics.count_errors()
    return metrics


def make_router(metrics: Metrics) -> APIRouter:
    """The route, open to whoever may read the forecast."""
    router = APIRouter()

    @router.get("/metrics", tags=["Others"], response_class=PlainTextResponse)
    def numbers(user: AnyUser) -> PlainTextResponse:
        """How the server does, for Prometheus."""
        return PlainTextResponse(metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    return router


def time_requests(server: FastAPI, metrics: Metrics) -> None:
    """Counts every answer of the server, those of refusals by what stands before it now, too."""
    stand_in_front(server, _Timed, metrics=metrics)


class _Timed:
    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, began = CLIENT_GONE, time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except BaseException:
            status = 500
            raise
        finally:
            template = getattr(scope.get("route"), "path", NO_ROUTE)
            self.metrics.saw_request(scope["method"], template, status, time.perf_counter() - began)


def facts_of(studies: Studies, source: str) -> ServerFacts:
    """What the server knows at the moment of the question."""
    store = studies.datastore
    place = studies.folder if is_url(source) else Path(source)
    return ServerFacts(
        unlabelled=len(store.get_unlabeled_images()),
        tasks=dict(
            Counter((kind, str(task["status"]).lower()) for kind in KINDS for task in list(tasks(kind)))
        ),
        trainers=len(studies.ledger.trainers()),
        gpus=_gpus(),
        login=settings.MONAI_LABEL_AUTH_ENABLE,
        loopback_only=_loopback_only(),
        pacs_up=store.is_answering if isinstance(store, DicomStudies) else None,
        free_bytes={"studies": shutil.disk_usage(place).free, "app": shutil.disk_usage(studies.folder).free},
    )


@functools.cache
def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


@functools.cache
def _loopback_only() -> bool | None:
    """Whether this process listens on loopback alone, however it was started."""
    try:
        heard = psutil.Process(os.getpid()).net_connections(kind="inet")
    except (psutil.Error, OSError):
        return None
    places = [one.laddr.ip for one in heard if one.status == psutil.CONN_LISTEN]
    return all(is_loopback(place) for place in places) if places else None
