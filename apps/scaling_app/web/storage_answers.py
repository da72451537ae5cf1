"""What a request is answered when the server cannot write: its disk is full, read-only or failing, its ledger locked,
or the DICOM server that keeps the labels silent.

One place for every route, MONAI Label's included. Files and the ledger change in one step or not at all, so the answer
may promise that nothing has changed.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import filelock
from fastapi import FastAPI, HTTPException
from fastapi.exception_handlers import http_exception_handler
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from scaling_app.imaging.dicom_series import SeriesError
from scaling_app.ledger import LedgerError
from scaling_app.storage import NO_ROOM
from scaling_app.studies.datastore import DatastoreSilentError
from scaling_app.web.in_front import build_anew

logger = logging.getLogger(__name__)

FULL = 507
UNABLE = 503


def storage_refusal(error: BaseException) -> HTTPException | None:
    """The answer to an error that comes of where the studies are kept; None to any other."""
    for cause in _causes(error):
        if isinstance(cause, DatastoreSilentError):
            return HTTPException(UNABLE, f"{cause} {cause.outcome}")
        if isinstance(cause, SeriesError):
            return HTTPException(422, str(cause))
        if isinstance(cause, filelock.Timeout):
            return _unable("another process holds the index of the studies")
        if isinstance(cause, OSError) and cause.errno in NO_ROOM:
            where = f" ({Path(cause.filename).name})" if isinstance(cause.filename, str) else ""
            return _full(f"{cause.strerror}{where}")
        if isinstance(cause, OSError) and cause.errno is not None and isinstance(cause.filename, str):
            return _unable(f"{cause.strerror}: {Path(cause.filename).name}")
        if isinstance(cause, OSError) and cause.errno is not None and not isinstance(cause, ConnectionError):
            return _unable(str(cause.strerror))
        if isinstance(cause, sqlite3.Error):
            full = "full" in str(cause)
            return _full(f"the ledger: {cause}") if full else _unable(f"the ledger: {cause}")
    return None


def answer_storage_errors(server: FastAPI) -> None:
    """Has every route of a server answer such errors with 507 or 503 and a sentence; others stay what they are."""
    for kind in (OSError, LedgerError, sqlite3.Error, SeriesError):
        server.add_exception_handler(kind, _answer)
    # what was turned into another refusal on its way, as FastAPI does with an upload that finds no room
    server.add_exception_handler(AnyHTTPException, _look_behind)
    build_anew(server)


async def _answer(request: Request, error: Exception) -> Response:
    refusal = storage_refusal(error)
    if refusal is None:
        raise error
    logger.error("%s %s: %s", request.method, request.url.path, refusal.detail, exc_info=error)
    return JSONResponse({"detail": refusal.detail}, refusal.status_code)


async def _look_behind(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    behind = None if error.status_code >= UNABLE else storage_refusal(error)
    return await http_exception_handler(request, behind or error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _full(reason: str) -> HTTPException:
    return HTTPException(
        FULL, f"The server has no room left; nothing was changed. Free some, then send it again. ({reason})"
    )


def _unable(reason: str) -> HTTPException:
    return HTTPException(
        UNABLE, f"The server cannot write this down; nothing was changed. Send it again later. ({reason})"
    )
