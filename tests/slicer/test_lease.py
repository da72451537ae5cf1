"""The server hears of whoever draws, and of a case that is left."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from DataSufficiencyLib.activity import ActiveClock
from DataSufficiencyLib.lease import CaseLease
from DataSufficiencyLib.session import Session
from DataSufficiencyLib.signal import Signal
from DataSufficiencyLib.states import CaseAtHand, SessionState
from session_bench import HandClock, paint, paint_all, pass_time
from session_fixtures import at_work, clock, connected, quick, session
from stub_server import StubServer

__all__ = ["at_work", "clock", "connected", "quick", "session"]


class Hours:
    """A clock that passes when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def told() -> list[tuple[str, bool]]:
    return []


@pytest.fixture
def desk(told: list) -> tuple[SessionState, ActiveClock, Hours, CaseLease]:
    """A case that is open."""
    hours = Hours()
    drawing = ActiveClock(now=hours)
    client = SimpleNamespace(keep_lease=lambda image, ended, _done, _failed: told.append((image, ended)))
    state = SessionState(phase="open", client=client, case=CaseAtHand("a", False))  # type: ignore[arg-type]
    drawing.restart()
    return state, drawing, hours, CaseLease(state, drawing, Signal(), hours)


def pass_minutes(desk: tuple, minutes: int, *, drawing: bool) -> None:
    _, clock, hours, lease = desk
    for _ in range(2 * minutes):
        hours.now += 30
        if drawing:
            clock.touch()
        lease.look()


def test_the_server_hears_every_ten_minutes_of_whoever_draws(desk: tuple, told: list) -> None:
    desk[3].look()
    pass_minutes(desk, 9, drawing=True)
    assert told == []
    pass_minutes(desk, 25, drawing=True)
    assert told == [("a", False)] * 3


def test_a_case_that_is_left_open_falls_silent(desk: tuple, told: list) -> None:
    desk[3].look()
    pass_minutes(desk, 3, drawing=False)
    desk[3]._minutes = desk[1].minutes
    pass_minutes(desk, 300, drawing=False)
    assert told == []


def test_a_case_looked_at_again_is_nobodys_to_give_back(desk: tuple, told: list) -> None:
    desk[0].case = CaseAtHand("a", False, again=True)
    desk[3].give_back()
    assert told == []


LEASE = "POST /sufficiency/lease/case_007"


def leases_told(server: StubServer) -> int:
    return server.requests.count(LEASE)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is told at every sign of life after the first."""
    monkeypatch.setattr(CaseLease, "EVERY_S", 0.0)


@pytest.fixture
def gone(impatient: None, server: StubServer) -> None:
    """No case is ours."""
    route = tuple(LEASE.split())
    server.handlers[route] = lambda handler: handler.answer({"image": "case_007", "held": False})


@pytest.mark.parametrize("sign", ["edited", "looked"])
def test_the_server_hears_of_whoever_draws_while_the_panel_is_hidden(
    impatient: None, at_work: Session, clock: HandClock, server: StubServer, wait: object, sign: str
) -> None:
    at_work.unwatch()
    pass_time(wait, 0.3)
    told = leases_told(server)
    clock.seconds += 30
    getattr(at_work.nodes, sign).emit()
    wait(lambda: leases_told(server) == told + 1)


def test_a_case_that_is_not_ours_any_more_is_said_once(
    gone: None, at_work: Session, clock: HandClock, server: StubServer, wait: object
) -> None:
    for _ in range(3):
        clock.seconds += 30
        at_work.nodes.looked.emit()
        wait(lambda: at_work.state.notice is not None)
        assert "no longer keeps case_007 for you" in at_work.state.notice.text
    assert leases_told(server) == 1


def test_a_label_that_is_corrected_is_in_nobodys_hands(
    gone: None, connected: Session, clock: HandClock, server: StubServer, wait: object
) -> None:
    connected.cases.next_case("random")
    wait(lambda: connected.state.phase == "open")
    paint_all(connected)
    connected.cases.submit()
    wait(lambda: connected.state.phase == "sent")
    paint(connected.nodes, "anterior", 3, 7)
    clock.seconds += 30
    connected.nodes.looked.emit()
    wait(lambda: leases_told(server))
    pass_time(wait, 0.3)
    assert "no longer keeps" not in connected.state.notice.text


def test_a_case_left_without_a_label_is_given_back(
    at_work: Session, server: StubServer, wait: object
) -> None:
    at_work.cases.next_case("random", drop_unsent=True)
    wait(lambda: any(line.startswith("POST /sufficiency/lease/") for line in server.requests))
    wait(lambda: at_work.state.phase == "open")
