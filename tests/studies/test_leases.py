"""In whose hands a case is: for an hour, whatever becomes of server and clock."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Event, Lock

import pytest

from scaling_app.ledger import Lease, Ledger, LedgerError, utc_now
from scaling_app.studies.leases import HOUR, Leases


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as fresh:
        yield fresh


def test_a_lease_lasts_an_hour_after_its_reader_was_last_heard_of(ledger) -> None:
    clock = Clock()
    leases = Leases(ledger, clock)
    leases.take("a", "anna")
    assert leases.others("ben") == {"a"} and leases.others("anna") == set()
    clock.now += HOUR - 1
    assert leases.others("ben") == {"a"} and leases.renew("a", "anna")
    clock.now += HOUR - 1
    assert leases.others("ben") == {"a"}
    clock.now += 2
    assert leases.others("ben") == set() and leases.held() == {}


def test_a_lease_ends_when_its_reader_says_so_and_no_other_can_end_or_renew_it(ledger) -> None:
    leases = Leases(ledger, Clock())
    leases.take("a", "anna")
    assert not leases.end("a", "ben") and not leases.renew("a", "ben")
    assert leases.others("ben") == {"a"}
    assert leases.end("a", "anna") and not leases.renew("a", "anna")
    assert leases.others("ben") == set()
    assert leases.held()["a"].reader == "anna", "who gave it back is not handed it at once"


def test_a_restart_keeps_what_is_left_of_the_hour(ledger) -> None:
    ledger.keep_lease(Lease("a", "anna", utc_now() - timedelta(minutes=59)))
    ledger.keep_lease(Lease("b", "anna", utc_now() - timedelta(minutes=61)))
    clock = Clock()
    leases = Leases(ledger, clock)
    assert leases.others("ben") == {"a"}
    clock.now += 2 * 60
    assert leases.others("ben") == set()


@pytest.mark.parametrize("ahead", [timedelta(hours=3), timedelta(days=3650)])
def test_a_calendar_that_was_set_back_keeps_a_case_for_an_hour_and_no_longer(ledger, ahead) -> None:
    ledger.keep_lease(Lease("a", "anna", utc_now() + ahead))
    clock = Clock()
    leases = Leases(ledger, clock)
    clock.now += HOUR - 1
    assert leases.others("ben") == {"a"}
    clock.now += 2
    assert leases.others("ben") == set()


def test_a_calendar_set_back_under_a_running_server_changes_nothing(ledger, monkeypatch) -> None:
    clock = Clock()
    leases = Leases(ledger, clock)
    leases.take("a", "anna")
    past = utc_now() - timedelta(hours=5)
    monkeypatch.setattr("scaling_app.studies.leases.utc_now", lambda: past)
    leases.take("b", "ben")
    clock.now += HOUR - 1
    assert leases.others("carl") == {"a", "b"}
    clock.now += 2
    assert leases.others("carl") == set()


def test_a_ledger_that_cannot_be_written_hands_out_nothing(ledger, monkeypatch) -> None:
    leases = Leases(ledger, Clock())

    def full(lease: Lease) -> None:
        raise LedgerError("disk full")

    monkeypatch.setattr(ledger, "keep_lease", full)
    with pytest.raises(LedgerError):
        leases.take("a", "anna")
    assert leases.held() == {}


def test_readers_who_ask_at_once_never_share_a_case(ledger) -> None:
    leases, serving, start = Leases(ledger), Lock(), Barrier(8)
    images = [f"case_{k:02d}" for k in range(40)]

    def work(reader: str) -> list[str]:
        start.wait()
        mine = []
        for _ in range(5):
            with serving:  # as the server hands out cases
                held = leases.held()
                image = next(i for i in images if i not in held)
                leases.take(image, reader)
            mine.append(image)
        return mine

    with ThreadPoolExecutor(8) as pool:
        handed = [image for mine in pool.map(work, map(str, range(8))) for image in mine]
    assert sorted(handed) == images
    assert {lease.image_id for lease in ledger.leases()} == set(images)


def test_who_ends_a_lease_and_who_is_handed_a_case_do_not_wait_for_each_other(ledger) -> None:
    leases, begun = Leases(ledger, Clock()), Event()
    leases.take("a", "anna")

    def hand_out() -> None:
        with ledger.at_once():  # as the next case is served
            begun.set()
            time.sleep(0.3)  # the other wants the ledger by now
            leases.take("b", "ben")

    with ThreadPoolExecutor(2) as pool:
        served, began = pool.submit(hand_out), time.monotonic()
        assert begun.wait(10)
        assert leases.end("a", "anna")
        served.result(60)
    assert time.monotonic() - began < 20
    assert leases.others("carl") == {"b"}


def test_a_lease_is_no_more_than_what_came_with_it(ledger) -> None:
    leases = Leases(ledger, Clock())
    leases.take("a", "anna")
    with pytest.raises(ZeroDivisionError), ledger.at_once():
        leases.take("b", "ben")
        leases.end("a", "anna")
        raise ZeroDivisionError
    assert leases.others("carl") == {"a"} == {lease.image_id for lease in ledger.leases() if not lease.ended}
