"""The REST interface beside MONAI Label's own. Handlers are plain functions: FastAPI runs them in threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Body, Depends, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute

from scaling_app.curve.ledger_curve import curve_csv, curve_observations
from scaling_app.ledger import LASTING_DOUBTS, MOST_MINUTES, Ledger, reader_of
from scaling_app.service.amiss import what_is_amiss
from scaling_app.service.answers import CaseNote, NotedCase
from scaling_app.service.forecasting import ForecastKeeper
from scaling_app.service.glance import Training
from scaling_app.service.live_report import LiveReport, Tagged, sign_in_page
from scaling_app.service.old_names import with_new_names
from scaling_app.service.payloads import Payload
from scaling_app.trials.length import AUTO_STEPS, MOST_STEPS

Dependency = Callable[..., Any]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]

CASE_FIELDS = tuple(CaseNote.model_fields)


class UpdateRefusedError(RuntimeError):
    """The curve job cannot be started now; the message says why."""


class _SentenceRoute(APIRoute):
    """Answers 422 with a sentence where FastAPI would send a list of locations, and a browser with a page to sign in."""

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()

        async def with_sentence(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError as error:
                kind = request.headers.get("content-type", "")
                raise HTTPException(422, what_is_amiss(error.errors(), kind)) from None
            except HTTPException as error:
                asks_for_a_page = "text/html" in request.headers.get("accept", "")
                if error.status_code != 401 or not asks_for_a_page:
                    raise
                return HTMLResponse(sign_in_page(), 401, {**(error.headers or {}), **_UNKEPT})

        return with_sentence


def make_router(
    keeper: ForecastKeeper,
    ledger: Ledger,
    *,
    start_update: Callable[[], object],
    has_image: Callable[[str], bool],
    user: Dependency,
    annotator: Dependency,
    admin: Dependency,
    training: Callable[[], Training | None] = lambda: None,
    name_of: Callable[[Any, str], str] = lambda user, client: reader_of(client),
) -> APIRouter:
    """The routes under `/sufficiency`.

    Args:
        keeper: the newest forecast.
        ledger: where targets and facts about cases go.
        start_update: starts the curve job; raises `UpdateRefusedError` (409) or its own `HTTPException`.
        has_image: whether the datastore knows that image.
        user, annotator, admin: dependencies that let a role in; who only looks is a user, facts about cases come
            from annotators, the target too; steps are set and jobs started by admins.
        training: what is being trained; asked often.
        name_of: who an annotator is, from what `annotator` returns and what the viewer calls itself.
    """
    router = APIRouter(prefix="/sufficiency", tags=["Sufficiency"], route_class=_SentenceRoute)
    _add_views(router, keeper, ledger, user)
    _add_live_report(router, LiveReport(keeper, ledger, training), user)
    _add_notes(router, ledger, has_image, annotator, name_of)

    @router.post("/steps", dependencies=[Depends(admin)])
    def steps(body: dict[str, Any] = Body()) -> dict[str, Any]:
        """Sets the training steps from now on, of the model and of the curve; null goes back to the server's."""
        wanted = _steps(body)
        ledger.set_setting("steps", wanted)
        return {"steps": wanted}

    @router.post("/update", dependencies=[Depends(admin)])
    def update() -> dict[str, Any]:
        """Starts the job that measures new curve points."""
        try:
            start_update()
        except UpdateRefusedError as error:
            raise HTTPException(409, str(error)) from error
        return {"job": keeper.payload()["job"]}

    return router


def _add_views(router: APIRouter, keeper: ForecastKeeper, ledger: Ledger, user: Dependency) -> None:
    looking = [Depends(user)]

    @router.get("/", response_model=Payload, dependencies=looking)
    def sufficiency() -> JSONResponse:
        """What the next labelled case is worth."""
        return JSONResponse(keeper.payload())

    @router.get("/curve.csv", response_class=PlainTextResponse, dependencies=looking)
    def curve() -> PlainTextResponse:
        """The observations behind the curve, as `scaling-app forecast` reads them."""
        headers = {"Content-Disposition": 'attachment; filename="curve.csv"'}
        text = curve_csv(curve_observations(ledger))
        return PlainTextResponse(text, media_type="text/csv; charset=utf-8", headers=headers)


def _add_live_report(router: APIRouter, live: LiveReport, user: Dependency) -> None:
    looking = [Depends(user)]

    @router.get("/report", response_class=HTMLResponse, dependencies=looking)
    def report() -> HTMLResponse:
        """The same for people: a page that follows the server while it is open."""
        return HTMLResponse(live.page(), headers=_UNKEPT)

    @router.get("/report.html", response_class=HTMLResponse, dependencies=looking)
    def report_file() -> HTMLResponse:
        """The report as a file to keep: it needs no server, and stays as it is."""
        headers = {"Content-Disposition": 'attachment; filename="report.html"', **_UNKEPT}
        return HTMLResponse(live.file(), headers=headers)

    @router.get("/report/often", dependencies=looking, include_in_schema=False)
    def often(request: Request) -> Response:
        return _unless_known(request, live.often())

    @router.get("/report/sections", dependencies=looking, include_in_schema=False)
    def below(request: Request) -> Response:
        return _unless_known(request, live.sections())


_UNKEPT = {"Cache-Control": "no-store"}
"""It names patients, and belongs on no disk."""


def _unless_known(request: Request, answer: Tagged) -> Response:
    headers = {"ETag": answer.tag, **_UNKEPT}
    if answer.tag in (tag.strip() for tag in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    return Response(answer.body, media_type="application/json", headers=headers)


def _add_notes(
    router: APIRouter,
    ledger: Ledger,
    has_image: Callable[[str], bool],
    annotator: Dependency,
    name_of: Callable[[Any, str], str],
) -> None:
    writers = [Depends(annotator)]

    @router.post("/target", dependencies=writers)
    def target(body: dict[str, Any] = Body()) -> dict[str, Any]:
        """Sets the Dice to aim at; null takes it back."""
        dice = _dice(body)
        ledger.set_setting("target", dice)
        return {"target": dice}

    @router.post("/case/{image:path}")
    def case(
        image: str, body: dict[str, Any] = Body(), client_id: str = "", user: Any = Depends(annotator)
    ) -> dict[str, Any]:
        """Notes annotation minutes, blindness, or that a label in doubt is right.

        What a second reader notes is of their own reading, and leaves the case as it is.

        409 when a doubt is one that only another label or image settles.
        """
        if not has_image(image):
            raise HTTPException(404, f"There is no image {image!r} in the datastore.")
        minutes, blind, confirmed = _case_note(with_new_names("CaseNote", body))
        reading = ledger.reading(image, name_of(user, client_id))
        if reading is not None and reading.asked_at is not None and not confirmed:
            if minutes is not None:
                ledger.note_reading_minutes(image, reading.reader, minutes)
            return NotedCase(image=image, minutes=minutes, blind=True).sent()
        if confirmed:
            _require_confirmable(ledger, image)
        if minutes is not None:
            ledger.set_minutes(image, minutes)
        if blind is not None:
            ledger.set_blind(image, blind)
        if confirmed:
            ledger.confirm_label(image)
        known = ledger.case(image)
        doubts = [doubt.sentence for doubt in known.doubts] if known else []
        return NotedCase(image=image, minutes=minutes, blind=ledger.is_blind(image), doubts=doubts).sent()


def _require_confirmable(ledger: Ledger, image: str) -> None:
    """Refuses to take a label for good that no training can use.

    Raises:
        HTTPException: 409 with the doubts that cannot be confirmed.
    """
    known = ledger.case(image)
    lasting = [doubt.sentence for doubt in known.doubts if doubt.kind in LASTING_DOUBTS] if known else []
    if lasting:
        raise HTTPException(409, f"This cannot be confirmed, only corrected. {' '.join(lasting)}")


def _dice(body: dict[str, Any]) -> float | None:
    """The target in the body.

    Raises:
        HTTPException: 422 when it is none.
    """
    return _setting(
        body,
        "dice",
        'The body must name the target, such as {"dice": 0.85}.',
        lambda value: _is_number(value) and 0 < value < 1,
        "The target must be a Dice between 0 and 1, such as 0.85",
    )


def _steps(body: dict[str, Any]) -> int | str | None:
    """The training steps in the body, a number or `auto`.

    Raises:
        HTTPException: 422 when they are none.
    """
    return _setting(
        body,
        "steps",
        'The body must name the training steps, such as {"steps": 1600}.',
        lambda value: (
            value == AUTO_STEPS
            or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_STEPS)
        ),
        f"steps must be {AUTO_STEPS}, or a whole number from 1 to {MOST_STEPS}",
    )


def _setting(body: dict[str, Any], name: str, missing: str, fits: Callable[[Any], bool], wanted: str) -> Any:
    """The body's value of that name, or null, which takes the setting back."""
    if name not in body:
        raise HTTPException(422, missing)
    value = body[name]
    if value is not None and not fits(value):
        raise HTTPException(422, f"{wanted}, not {value!r}.")
    return value


def _case_note(body: dict[str, Any]) -> tuple[float | None, bool | None, bool]:
    """Minutes, blind and confirmed in the body.

    Raises:
        HTTPException: 422 when there is nothing in it, something unknown, or a value out of range.
    """
    unknown = sorted(set(body) - set(CASE_FIELDS))
    if unknown or not body:
        got = f"not {', '.join(map(repr, unknown))}" if unknown else "but nothing came"
        raise HTTPException(422, f"A case takes {', '.join(CASE_FIELDS)}, {got}.")
    minutes = body.get("minutes")
    if minutes is not None and not (_is_number(minutes) and 0 <= minutes <= MOST_MINUTES):
        raise HTTPException(422, f"minutes must be a number from 0 to {MOST_MINUTES:g}, not {minutes!r}.")
    for name in ("blind", "confirmed"):
        if body.get(name) is not None and not isinstance(body[name], bool):
            raise HTTPException(422, f"{name} must be true or false, not {body[name]!r}.")
    return None if minutes is None else float(minutes), body.get("blind"), bool(body.get("confirmed"))


def _is_number(value: Any) -> bool:
    """Whether it is a finite number that a float can hold."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
