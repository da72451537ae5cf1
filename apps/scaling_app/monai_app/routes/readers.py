"""Routes about readers: which case comes next, whose label is shown to whom, how long a case is in whose hands."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from fastapi import APIRouter, HTTPException, Response
from monailabel.endpoints import datastore
from monailabel.endpoints.user.auth import User
from monailabel.interfaces.exception import LabelNotFoundException

from scaling_app.ledger import reader_of, utc_now
from scaling_app.monai_app.roles import Annotator, AnyUser, annotator_of
from scaling_app.monai_app.served import Served
from scaling_app.studies.labels.readers import SECOND_SENTENCE, TAG, is_being_read, reader_with
from scaling_app.studies.next_case import READER
from scaling_app.studies.studies import FINAL, Studies
from scaling_app.web.request_checks import require_image, require_name, require_storable


def reader_name(user: User, client: object) -> str:
    """Who asks, as the ledger calls readers; empty for nobody known.

    Args:
        client: what the viewer calls itself, which counts where nobody logs in.
    """
    return reader_of(annotator_of(user) or (str(client) if client else None))


def logged_in(user: User) -> dict[str, str]:
    """Whoever is logged in, in the place of what the viewer calls itself: people use several."""
    name = annotator_of(user)
    return {} if name is None else {"client_id": name}


def require_not_read_blind(studies: Studies, image: str, reader: str) -> None:
    """Refuses to show anything of a case to the reader who is to read it alone.

    Raises:
        HTTPException: 409.
    """
    if is_being_read(studies, image, reader):
        raise HTTPException(409, SECOND_SENTENCE)


def require_own_tag(tag: str) -> None:
    """Refuses tags that the server gives itself.

    Raises:
        HTTPException: 422.
    """
    if tag.startswith(TAG):
        raise HTTPException(422, f"Tags that begin with {TAG!r} are the server's own; choose another tag.")


def add_reader_routes(router: APIRouter, app: Served) -> None:
    """Adds these routes."""

    @router.post("/activelearning/{strategy}", tags=["ActiveLearning"])
    def next_sample(strategy: str, user: AnyUser, params: dict | None = None) -> dict:
        require_name("next-case rule", strategy, app.rule_names())
        require_storable(params)
        others = {key: value for key, value in (params or {}).items() if key != "strategy"}  # it would win
        others |= logged_in(user)
        reader = others[READER] = reader_name(user, others.get("client_id"))
        with app.open_studies.ledger.kept_at_end(), app.serving:  # nobody else waits for the disk
            # MONAI Label's own route notes in the index who was served what, too; here the lease says it
            sample = app.next_sample({**others, "strategy": strategy})
        if sample:
            return {**sample, **app.datastore().get_image_info(sample["id"])}
        missing = app.nothing_to_serve(reader)
        return {} if missing is None else {"message": missing}

    @router.get("/datastore/label", tags=["Datastore"], response_model=None)
    def download_label(label: str, tag: str, user: AnyUser, client_id: str = "") -> Response:
        studies, reader = app.open_studies, reader_name(user, client_id)
        if not studies.has_image(label) or not studies.has_label(label, tag):
            raise HTTPException(404, f"The image {label!r} has no label {tag!r}.")
        if (drawn_by := _drawn_by(studies, label, tag)) != reader:
            require_not_read_blind(studies, label, reader)
        try:
            answer = datastore.download_label(label, tag)
        except LabelNotFoundException as error:  # it went meanwhile
            raise HTTPException(404, f"The image {label!r} has no label {tag!r}.") from error
        if drawn_by is not None and drawn_by != reader:
            studies.ledger.note_exposure(label, reader or None, utc_now(), label_by=drawn_by)
        return answer

    @router.post("/sufficiency/lease/{image:path}", tags=["Sufficiency"])
    def keep_lease(image: str, user: Annotator, body: dict[str, Any] | None = None) -> dict:
        """Says that an annotator is still at a case, or gives it back: `{"client_id": ..., "ended": true}`."""
        known = body or {}
        if unknown := sorted(set(known) - {"client_id", "ended"}):
            raise HTTPException(
                422, f"A lease takes client_id and ended, not {', '.join(map(repr, unknown))}."
            )
        if not isinstance(known.get("ended", False), bool):
            raise HTTPException(422, f"ended must be true or false, not {known['ended']!r}.")
        require_image(app.open_studies, image)
        leases, reader = app.open_studies.leases, reader_name(user, known.get("client_id"))
        with app.open_studies.ledger.kept_at_end(), app.serving:
            if known.get("ended"):
                leases.end(image, reader)
                return {"image": image, "held": False}
            return {"image": image, "held": leases.renew(image, reader)}


def show_labels(
    app: Served, labels: Mapping[str, Collection[str]], user: User, client: str | None = None
) -> None:
    """Before labels are read past `GET /datastore/label`: refuses, or notes it, as there.

    Args:
        labels: image -> who drew its labels that are to be shown.
        client: what the viewer calls itself.

    Raises:
        HTTPException: 409.
    """
    studies, reader = app.open_studies, reader_name(user, client)
    others = [(image, drawn_by) for image, who in labels.items() for drawn_by in map(reader_of, who)]
    others = [(image, drawn_by) for image, drawn_by in others if drawn_by != reader or not reader]
    for image, _ in others:
        require_not_read_blind(studies, image, reader)
    if not others:  # most often: that takes no writing
        return
    with studies.ledger.at_once():
        for image, drawn_by in others:
            studies.ledger.note_exposure(image, reader or None, utc_now(), label_by=drawn_by)


def forget_reading(studies: Studies, image: str, tag: str) -> None:
    """After a label went: a reading that it was is none any more."""
    if (reader := reader_with(studies, image, tag)) is not None:
        studies.ledger.forget_reading(image, reader)


def _drawn_by(studies: Studies, image: str, tag: str) -> str | None:
    """Whose label it is, empty for somebody unknown; None for a prediction."""
    if tag == FINAL:
        case = studies.ledger.case(image)
        return "" if case is None else reader_of(case.annotator)
    if not tag.startswith(TAG):
        return None
    return reader_with(studies, image, tag) or ""
