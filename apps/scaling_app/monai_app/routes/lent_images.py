"""Routes that lend images for predictions, which do not join the studies."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, File, HTTPException, UploadFile
from fastapi import Path as InPath
from monailabel.endpoints import session

from scaling_app.monai_app.roles import AnyUser
from scaling_app.monai_app.served import Served
from scaling_app.web.request_checks import refusing, spooled

_SESSION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

SessionId = Annotated[str, InPath(pattern=f"^{_SESSION.pattern}$")]


def add_lending_routes(router: APIRouter, app: Served) -> None:
    """Adds these routes.

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
        with spooled(files[0], "image") as path, refusing():
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


def require_lent(app: Served, session_id: str) -> None:
    """Refuses a session that there is not.

    Raises:
        HTTPException: 404.
    """
    lent = app.sessions()
    if lent is None or not _SESSION.fullmatch(session_id) or lent.get_session(session_id) is None:
        raise HTTPException(404, "There is no such session; lend the image again (PUT /session/).")
