"""The DICOM server, for the OHIF viewer that this server hands out: the viewer knows no other address.

MONAI Label's own way asks in its one event loop with no bound in time, forgets what a search was for, and takes any
path of the DICOM server's machine, along with its password. Here DICOMweb's resources alone are passed on, in a worker
thread, and who may only read stores nothing.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from typing import IO, Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import Response, StreamingResponse
from monailabel.endpoints.user.auth import User
from requests import Response as Answer

from scaling_app.monai_app.dicom.pacs import Pacs
from scaling_app.monai_app.roles import Annotator, AnyUser
from scaling_app.web.turnstile import Turnstile

ASKED = Turnstile(12, waiting=12)
"""A browser asks six things at once."""

_RESOURCE = re.compile(r"(studies|series|instances)(/(?!\.+(/|$))[A-Za-z0-9._,~-]+)*")
_STORED = re.compile(r"studies(/[0-9.]+)?")
_IN_MEMORY = 8 << 20
_PIECE = 1 << 18


async def _body(request: Request) -> AsyncIterator[IO[bytes]]:
    """What came, on the disk where it is large."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        async for piece in request.stream():
            file.write(piece)
        file.seek(0)
        yield file


def _nothing(*_: object) -> None:
    """Nobody asks."""


def add_dicom_proxy(router: APIRouter, pacs: Pacs, show: Callable[[str, User], object] = _nothing) -> None:
    """Adds the routes under the address that the viewer's configuration names.

    Args:
        show: called with each address that is read, and who reads it; it may refuse.
    """

    @router.get("/proxy/dicom/{service}/{path:path}", include_in_schema=False)
    def read(service: str, path: str, request: Request, user: AnyUser) -> Response:
        _require(_RESOURCE, service, path)
        show(path, user)
        with ASKED.passed():
            found = pacs.read(service, path, request.url.query, request.headers.get("accept", "*/*"))
        return _passed_on(found)

    @router.post("/proxy/dicom/{service}/{path:path}", include_in_schema=False)
    def store(
        service: str, path: str, request: Request, body: Annotated[IO[bytes], Depends(_body)], user: Annotator
    ) -> Response:
        _require(_STORED, service, path)
        with ASKED.passed():
            return _passed_on(pacs.store_body(path, body, request.headers.get("content-type", "")))


def _require(known: re.Pattern[str], service: str, path: str) -> None:
    if service not in ("qido", "wado", "stow") or not known.fullmatch(path):
        raise HTTPException(404, "The DICOM server is asked here for studies, series and instances alone.")


def _passed_on(answer: Answer) -> Response:
    kind = answer.headers.get("content-type")
    if answer.status_code == 204:
        answer.close()
        return Response(status_code=204)
    return StreamingResponse(_pieces(answer), answer.status_code, media_type=kind)


def _pieces(answer: Answer) -> Iterator[bytes]:
    with answer:
        yield from answer.iter_content(_PIECE)
