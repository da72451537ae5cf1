"""A session against the stub server: connected, and with a painted case open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from DataSufficiencyLib.forecast_watch import ForecastWatch
from DataSufficiencyLib.session import Session
from DataSufficiencyLib.training import TrainingWatch
from session_bench import HandClock, new_session, paint_all
from stub_server import StubServer


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ForecastWatch, "BUSY_S", 0.1)
    monkeypatch.setattr(ForecastWatch, "CALM_S", 0.2)
    monkeypatch.setattr(ForecastWatch, "LONGEST_S", 0.4)
    monkeypatch.setattr(TrainingWatch, "EVERY_S", 0.05)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def session(scene: object, tmp_path: Path, clock: HandClock) -> Iterator[Session]:
    one = new_session(tmp_path / "drafts", clock)
    one.watch()
    yield one
    one.close()


@pytest.fixture
def connected(session: Session, server: StubServer, wait: object) -> Session:
    session.connection.connect(server.url)
    wait(lambda: session.state.phase == "ready")
    return session


@pytest.fixture
def at_work(connected: Session, wait: object) -> Session:
    """A case is open and painted."""
    connected.cases.next_case("random")
    wait(lambda: connected.state.phase == "open")
    paint_all(connected)
    return connected
