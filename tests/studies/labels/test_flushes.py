"""What a saved label costs: how often it waits for the disk, and that nothing of it happens without the rest."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling_app.ledger import LedgerError
from scaling_app.studies.labels.notes import RECORDED_LATER
from tests.desk import Desk

LABEL_AND_FOLDER, INDEX_AND_FOLDER, LEDGER = 2, 2, 1
HISTORY = 1


@pytest.fixture
def flushes_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], Counter[str]]:
    """Counts the flushes of what is done: of folders, and of files by their ending."""
    real = os.fsync

    def count(do: Callable[[], None]) -> Counter[str]:
        found: Counter[str] = Counter()

        def fsync(handle: int) -> None:
            path = Path(f"/proc/self/fd/{handle}").resolve()
            found["folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else path.name[-4:]] += 1
            real(handle)

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fsync)
            do()
        return found

    return count


def handed_out(desk: Desk, image: str, reader: str) -> None:
    desk.studies.leases.take(image, reader)


def test_a_label_of_a_case_that_was_handed_out_waits_for_the_disk_five_times(desk_of, flushes_of) -> None:
    desk = desk_of(2)
    first, second = desk.labels
    desk.submit(first)  # the folder of labels is there
    handed_out(desk, second, "anna")
    found = flushes_of(lambda: desk.submit(second, client_id="anna"))
    assert found.total() == LABEL_AND_FOLDER + INDEX_AND_FOLDER + LEDGER, found
    assert found["-wal"] == LEDGER and found["json"] == 1
    assert desk.studies.leases.others("ben") == set()


def test_a_label_that_is_replaced_waits_once_more_for_its_history(desk_of, flushes_of) -> None:
    desk = desk_of(2)
    one, other = desk.labels
    desk.submit(one, client_id="anna")
    desk.labels[one], mine = desk.labels[other], desk.labels[one]
    desk.submit(one, client_id="anna")  # its history has a folder by now
    desk.labels[one] = mine
    found = flushes_of(lambda: desk.submit(one, client_id="anna"))
    assert found.total() == LABEL_AND_FOLDER + INDEX_AND_FOLDER + LEDGER + HISTORY, found


def test_the_end_of_a_lease_and_the_label_are_one_transaction(desk_of, monkeypatch) -> None:
    desk = desk_of(1)
    (image,) = desk.labels
    handed_out(desk, image, "anna")

    def refuse(*_: object) -> bool:
        raise LedgerError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(desk.studies.leases, "end", refuse)
        _, doubts = desk.intake.store(image, desk.labels[image], {"client_id": "anna"}, None)
    assert doubts == (RECORDED_LATER,)
    assert desk.studies.ledger.case(image) is None
    assert desk.studies.leases.others("ben") == {image}
    desk.intake.take_stock()
    assert desk.studies.ledger.case(image) is not None


def test_a_label_whose_ledger_is_not_flushed_counts_as_stored(desk_of, monkeypatch) -> None:
    desk = desk_of(1)
    (image,) = desk.labels

    def fail() -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(desk.studies.ledger, "_flush", fail)
    _, doubts = desk.intake.store(image, desk.labels[image], {}, None)
    assert doubts == (RECORDED_LATER,) and desk.studies.has_label(image)


def test_while_a_label_waits_for_the_ledger_to_be_flushed_another_one_can_be_taken(
    desk_of, monkeypatch
) -> None:
    desk = desk_of(2)
    ledger, free = desk.studies.ledger, []
    real = ledger._flush

    def flush() -> None:
        free.append(not desk.intake._lock._is_owned() and not desk.studies.datastore._index.lock.is_locked)
        real()

    monkeypatch.setattr(ledger, "_flush", flush)
    desk.submit(*desk.labels)
    assert free == [True, True]
