"""The DICOM server behind this one, for viewers in a browser: what DICOMweb reads, and nothing else.

MONAI Label's own passes on any address and any body, with the server's password: a mere user could change what lies on the
DICOM server, or ask its other services. It also waits for the answer in the loop in which all requests are answered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import requests
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import StreamingResponse
from monailabel.config import settings

from scaling_app.monai_app.pacs import open_session
from scaling_app.monai_app.roles import AnyUser
from scaling_app.monai_app.served import Served
from scaling_app.studies.place import is_url

_READ = re.compile(
    r"(?:(?P<kind>wado|qido|stow)/)?(?P<what>(?:studies|series|instances)(?:/[\w,-][\w.,-]*)*)", re.ASCII
)
_PIECE = 1 << 16
_TOLD = ("content-type", "content-length", "content-encoding")


def add_proxy(router: APIRouter, app: Served) -> None:
    """Adds the routes under `/proxy/dicom/`."""

    @router.post("/proxy/dicom/{path:path}", include_in_schema=False)
    def refuse_to_write(path: str, user: AnyUser) -> None:
        raise HTTPException(
            405, "Nothing is written to the DICOM server this way; send labels to /datastore/label."
        )

    @router.get("/proxy/dicom/{path:path}", include_in_schema=False)
    def read(path: str, request: Request, user: AnyUser) -> StreamingResponse:
        if not is_url(app.studies):
            raise HTTPException(404, "The studies lie in a folder here; there is no DICOM server to ask.")
        if (asked := _READ.fullmatch(path)) is None:
            raise HTTPException(404, "Only studies, series and instances are passed on.")
        address = "/".join(filter(None, (app.studies.rstrip("/"), _prefix(asked), asked["what"])))
        try:
            answer = open_session(app.studies).get(
                address,
                params=request.url.query,
                headers={"Accept": request.headers.get("accept", "*/*")},
                stream=True,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise HTTPException(503, "The DICOM server gave no answer; try again later.") from error
        told = {name: answer.headers[name] for name in _TOLD if name in answer.headers}
        status = (
            answer.status_code if answer.status_code not in (401, 403) else 503
        )  # its password, not the user's
        return StreamingResponse(_pieces(answer), status, told)


def _prefix(asked: re.Match[str]) -> str:
    """Where the DICOM server has that service; metadata is WADO's, whatever the viewer asks."""
    metadata = asked["what"].endswith("metadata")
    prefixes = {"wado": settings.MONAI_LABEL_WADO_PREFIX, "qido": settings.MONAI_LABEL_QIDO_PREFIX}
    kind = "wado" if metadata and asked["kind"] == "qido" else asked["kind"]
    return (prefixes.get(kind or "") or "").strip("/")


def _pieces(answer: requests.Response) -> Iterator[bytes]:
    with answer:
        yield from answer.raw.stream(_PIECE, decode_content=False)
