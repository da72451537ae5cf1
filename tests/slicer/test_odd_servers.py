"""A server that answers otherwise than it should, in the middle of the work: a sentence, and the drawing is kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import slicer.util
from DataSufficiencyLib.forecast_words import age_text
from DataSufficiencyLib.glance_words import note_text
from DataSufficiencyLib.session import Session
from session_fixtures import at_work, clock, connected, quick, session
from stub_server import StubServer, half, redirect, sufficiency

from scaling_app_client.payload import Payload

__all__ = ["at_work", "clock", "connected", "quick", "session"]


def login_page(handler: object) -> None:
    handler.send(b"<html>Log in</html>", "text/html")


def saying(**changes: object) -> Callable[[object], None]:
    return lambda handler: handler.answer({**sufficiency(6), **changes})


ANSWERS = {
    "older": (saying(schema=0), "too old for this extension"),
    "newer": (saying(schema=2), "newer than this extension"),
    "half": (half, "broke before the answer was complete"),
    "half a contract": (saying(status=None), "could not be understood"),
    "redirect": (redirect, "points to another address, perhaps of a login page"),
    "login page": (login_page, "or a login page has answered"),
    "proxy's page": (
        lambda handler: handler.send(b"<html>nginx</html>", "text/html", 502),
        "a proxy perhaps",
    ),
    "deep": (lambda handler: handler.send(b"[" * 100_000), "could not be understood"),
    "huge": (saying(n_labelled=10**400), "could not be understood"),
    "busy": (
        lambda handler: handler.answer(
            {"detail": "The server is busy with other files; send it again."}, 503
        ),
        "busy with other files; send it again",
    ),
}
TURNED_AWAY = {
    "too large": (
        lambda handler: handler.send(b"<html>nginx</html>", "text/html", 413),
        "what stands in front",
    ),
    "full": (
        lambda handler: handler.answer({"detail": "The server has no room left; nothing was changed."}, 507),
        "has no room left; nothing was changed",
    ),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_odd_forecast_is_said_and_the_drawing_stays(
    at_work: Session, server: StubServer, wait: Callable, answer: str
) -> None:
    before, drawing = at_work.state.sufficiency, voxels(at_work)
    handler, words = ANSWERS[answer]
    server.handlers["GET", "/sufficiency/"] = handler
    at_work.forecast.ask()
    wait(lambda: at_work.state.forecast.trouble is not None)
    assert words in at_work.state.forecast.trouble.text
    assert words in note_text(at_work.state, None), "in sight, whatever is folded"
    assert at_work.state.sufficiency is before
    assert at_work.state.can_submit
    assert np.array_equal(voxels(at_work), drawing)
    del server.handlers["GET", "/sufficiency/"]
    at_work.forecast.ask()
    wait(lambda: at_work.state.forecast.trouble is None)
    assert not any("login" in request for request in server.requests)


@pytest.mark.parametrize(
    "answer", ["half", "redirect", "login page", "proxy's page", "deep", "busy", *TURNED_AWAY]
)
def test_an_odd_answer_to_a_label_is_said_and_the_label_is_kept(
    at_work: Session, server: StubServer, wait: Callable, answer: str
) -> None:
    drawing = voxels(at_work)
    handler, words = {**ANSWERS, **TURNED_AWAY}[answer]
    server.handlers["PUT", "/datastore/label"] = handler
    said: list[str] = []
    at_work.changed.connect(lambda: said.append(at_work.state.notice.text if at_work.state.notice else ""))
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "open" and at_work.submission.waiting())
    assert any(words in text for text in said)
    assert np.array_equal(voxels(at_work), drawing)
    assert at_work.state.can_submit


@pytest.mark.parametrize(
    ("route", "answer", "words"),
    [
        (("GET", "/datastore/image"), login_page, "or a login page has answered"),
        (("GET", "/datastore/image"), lambda handler: handler.send(b"no image"), "could not load case_007"),
        (("POST", "/activelearning/random"), login_page, "or a login page has answered"),
        (
            ("POST", "/activelearning/random"),
            lambda handler: handler.answer({"id": "case_007", "name": "a\0"}),
            "could not be understood",
        ),
        (
            ("POST", "/activelearning/random"),
            lambda handler: handler.answer({"id": "\ud800", "name": "x"}),
            "could not be understood",
        ),
    ],
)
def test_a_case_that_is_none_is_said_and_the_next_can_be_asked_for(
    connected: Session, server: StubServer, wait: Callable, route: tuple, answer: Callable, words: str
) -> None:
    server.handlers[route] = answer
    connected.cases.next_case("random")
    wait(lambda: connected.state.phase == "ready" and connected.state.notice)
    assert words in connected.state.notice.text
    del server.handlers[route]
    connected.cases.next_case("random")
    wait(lambda: connected.state.phase == "open")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (login_page, "or a login page has answered"),
        (lambda handler: handler.send(b"no label"), "The prediction could not be loaded"),
    ],
)
def test_a_prediction_that_is_none_is_said_and_the_case_stays(
    connected: Session, server: StubServer, wait: Callable, answer: Callable, words: str
) -> None:
    connected.cases.next_case("random")
    wait(lambda: connected.state.phase == "open")
    server.handlers["POST", "/infer/segmentation"] = answer
    connected.prediction.fill_in()
    wait(lambda: connected.state.notice and not connected.state.filling)
    assert words in connected.state.notice.text
    assert connected.state.phase == "open" and connected.prediction.possible


def test_minutes_that_a_login_page_held_up_are_sent_again(
    at_work: Session, server: StubServer, wait: Callable
) -> None:
    server.handlers["POST", "/sufficiency/case/case_007"] = redirect
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "sent")
    del server.handlers["POST", "/sufficiency/case/case_007"]
    (draft,) = at_work.submission.waiting()
    assert draft.label_sent
    at_work.submission.resend(draft)
    wait(lambda: server.notes)
    assert server.notes[0][0] == "case_007" and len(server.saved) == 1


def test_who_asks_too_often_is_told_how_long_to_wait(
    connected: Session, server: StubServer, wait: Callable
) -> None:
    words = "Too many sign-ins went wrong; try again in 30 seconds."
    server.handlers["POST", "/auth/token"] = lambda handler: handler.answer({"detail": words}, 429)
    connected.connection.sign_in("reader", "wrong")
    wait(lambda: connected.state.connection and words in connected.state.connection.text)


def test_a_field_that_is_not_known_changes_nothing(
    at_work: Session, server: StubServer, wait: Callable
) -> None:
    before = at_work.state.sufficiency
    server.handlers["GET", "/sufficiency/"] = saying(splendour={"of": [1, 2]})
    at_work.forecast.ask()
    wait(lambda: at_work.state.sufficiency is not before)
    assert at_work.state.forecast.trouble is None
    assert at_work.state.sufficiency.overall == before.overall


# A wrong clock ------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_server_whose_clock_is_wrong_has_a_forecast_of_the_right_age(
    connected: Session, server: StubServer, wait: Callable, hours: int
) -> None:
    """Its forecasts are dated by its own clock, and so are its answers."""
    server.clock_s = 3600.0 * hours
    before = connected.state.sufficiency
    connected.forecast.ask()
    wait(lambda: connected.state.sufficiency is not before)
    assert abs(connected.state.sufficiency.age_s) < 5


def test_the_age_is_the_time_between_two_moments_of_the_servers_clock() -> None:
    data = {**sufficiency(6), "updated": "2031-05-06T10:00:00Z"}
    assert Payload.from_json(data, "Tue, 06 May 2031 10:20:00 GMT").age_s == 1200
    assert (
        Payload.from_json({**data, "updated": "2031-05-06T10:00:00"}, "Tue, 06 May 2031 10:20:00 GMT").age_s
        == 1200
    )
    assert Payload.from_json(data, "").age_s is None
    assert Payload.from_json({**data, "updated": "yesterday"}, "Tue, 06 May 2031 10:20:00 GMT").age_s is None


@pytest.mark.parametrize(
    ("age_s", "received_s", "words"),
    [
        (20.0, 10.0, "Forecast made just now."),
        (1200.0, 600.0, "Forecast made 30 min ago."),
        (None, 600.0, "Forecast made 10 min ago."),
        (-7200.0, 0.0, "How old the forecast is cannot be told: the server's clock was changed."),
    ],
)
def test_the_age_in_words(age_s: float | None, received_s: float, words: str) -> None:
    assert age_text(age_s, received_s) == words


def voxels(session: Session) -> np.ndarray:
    """The drawing, as a label map of the first class."""
    nodes = session.nodes
    return slicer.util.arrayFromSegmentBinaryLabelmap(nodes.segmentation, "anterior", nodes.image)
