"""What is acknowledged is on the disk, and nobody waits for another's flush."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from scaling_app.ledger import Ledger, LedgerError, tables, utc_now
from scaling_app.ledger.store import LONG_LOG_BYTES
from scaling_app.storage import SharedFlush

PATIENCE = 60.0


class Disk:
    """Sees every flush of one file: how much of it there was. It may be slow, stand still or fail."""

    def __init__(self, file: Path) -> None:
        self.file, self.sizes, self.seconds = file, [], 0.0
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.reached = threading.Event()
        self.error: OSError | None = None
        self._real = os.fsync

    def fsync(self, handle: int) -> None:
        if not self.file.exists() or not os.path.sameopenfile(
            handle, (own := os.open(self.file, os.O_RDONLY))
        ):
            self._real(handle)
            return
        os.close(own)
        self.sizes.append(os.fstat(handle).st_size)
        self.reached.set()
        assert self.goes_on.wait(PATIENCE)
        time.sleep(self.seconds)
        if self.error is not None:
            raise self.error


@pytest.fixture
def disk(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """The disk under the log of a ledger that was written before."""
    ledger.set_setting("was", "there")
    found = Disk(Path(f"{ledger.path}-wal"))
    monkeypatch.setattr(os, "fsync", found.fsync)
    yield found
    found.goes_on.set()


def test_a_call_returns_when_all_that_it_wrote_is_on_the_disk(ledger: Ledger, disk: Disk, new_case) -> None:
    ledger.save_case(new_case())
    assert disk.sizes == [disk.file.stat().st_size]
    ledger.case("a")
    ledger.set_setting("was", "there")  # as it was
    assert len(disk.sizes) == 1, "who changes nothing waits for no disk"


def test_several_transactions_may_wait_for_the_disk_once(ledger: Ledger, disk: Disk, new_case) -> None:
    with ledger.kept_at_end():
        ledger.save_case(new_case())
        with ledger.kept_at_end():
            ledger.set_minutes("a", 5)
        with ledger.at_once():
            ledger.set_blind("a", True)
        assert disk.sizes == []
    assert disk.sizes == [disk.file.stat().st_size]


def test_what_is_committed_before_an_error_is_on_the_disk_too(ledger: Ledger, disk: Disk, new_case) -> None:
    with pytest.raises(ZeroDivisionError), ledger.kept_at_end():
        ledger.save_case(new_case())
        raise ZeroDivisionError
    assert disk.sizes == [disk.file.stat().st_size]


def test_while_one_writer_waits_for_the_disk_others_read_and_commit(
    ledger: Ledger, disk: Disk, new_case
) -> None:
    disk.goes_on.clear()
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(ledger.save_case, new_case("a"))
        assert disk.reached.wait(PATIENCE)

        def write() -> None:
            with ledger.kept_at_end():
                ledger.save_case(new_case("b"))
                committed.set()

        committed = threading.Event()
        other = threads.submit(write)
        assert committed.wait(PATIENCE) and not waiting.done() and not other.done()
        assert {case.image_id for case in ledger.cases()} == {"a", "b"}
        disk.goes_on.set()
        waiting.result(PATIENCE)
        other.result(PATIENCE)


def test_writers_who_come_while_the_disk_is_busy_share_the_next_flush(
    ledger: Ledger, disk: Disk, new_case
) -> None:
    disk.goes_on.clear()
    committed = threading.Semaphore(0)

    def write(number: int) -> None:
        with ledger.kept_at_end():
            ledger.save_case(new_case(f"case_{number}"))
            committed.release()

    with ThreadPoolExecutor(8) as threads:
        writers = [threads.submit(write, number) for number in range(8)]
        assert all(committed.acquire(timeout=PATIENCE) for _ in writers)
        time.sleep(0.3)  # until they wait
        disk.goes_on.set()
        for writer in writers:
            writer.result(PATIENCE)
    assert len(disk.sizes) <= 3
    assert disk.sizes[-1] == disk.file.stat().st_size


def test_a_long_log_is_brought_into_the_file_once_nobody_waits_for_the_lock(ledger: Ledger) -> None:
    log, much = Path(f"{ledger.path}-wal"), "x" * (1 << 19)
    before = ledger.path.stat().st_size
    with ledger.kept_at_end():
        for number in range(20):
            ledger.set_setting(f"s{number}", much)
        assert ledger.path.stat().st_size == before, "a commit has flushed the file, and all writers waited"
    assert ledger.path.stat().st_size > 20 * len(much)
    for number in range(60):
        ledger.set_setting("again", f"{number}{much}")
        assert log.stat().st_size < 3 * LONG_LOG_BYTES, "a log that begins anew is short"


def test_who_looks_waits_for_no_disk_and_a_label_saved_later_is_not_there_without_the_note(
    ledger: Ledger, disk: Disk, new_case
) -> None:
    disk.goes_on.clear()
    ledger.note_exposure("a", "ben", utc_now(), label_by="anna")
    ledger.note_exposure("b", "ben", utc_now())
    assert ledger.saw_label_of_others("a", "ben") and ledger.was_exposed("b", "ben")
    assert disk.reached.wait(PATIENCE), "the flush begins at once"
    with ThreadPoolExecutor(1) as threads:
        saving = threads.submit(ledger.save_case, new_case())
        time.sleep(0.3)
        assert not saving.done()
        disk.goes_on.set()
        saving.result(PATIENCE)
    assert disk.sizes[-1] == disk.file.stat().st_size


def test_who_looks_again_writes_nothing(ledger: Ledger, disk: Disk) -> None:
    for _ in range(3):
        for client, label_by in (("ben", "anna"), ("ben", ""), ("ben", None), (None, None), (None, "anna")):
            ledger.note_exposure("a", client, utc_now(), label_by=label_by)
    with ledger._read() as connection:
        assert len(connection.execute(select(tables.exposures)).all()) == 5


def test_a_note_within_what_waits_for_the_disk_is_waited_for(ledger: Ledger, disk: Disk) -> None:
    with ledger.kept_at_end():
        ledger.note_exposure("a", "ben", utc_now())
        assert disk.sizes == []
    with ledger.at_once():
        ledger.note_exposure("b", "ben", utc_now())
    assert disk.sizes[-1] == disk.file.stat().st_size


def test_a_note_that_the_disk_does_not_keep_is_said_in_the_log(
    ledger: Ledger, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.error = OSError(errno.EIO, os.strerror(errno.EIO))
    ledger.note_exposure("a", "ben", utc_now())
    until = time.monotonic() + PATIENCE
    while "could not be flushed: Input/output error" not in caplog.text and time.monotonic() < until:
        time.sleep(0.01)
    assert "could not be flushed: Input/output error" in caplog.text


def test_a_disk_that_does_not_keep_it_is_said(ledger: Ledger, disk: Disk, new_case) -> None:
    disk.error = OSError(errno.EIO, os.strerror(errno.EIO))
    with pytest.raises(LedgerError, match="could not be flushed: Input/output error"):
        ledger.save_case(new_case())


def test_all_who_waited_for_a_flush_that_failed_hear_of_it_and_the_next_does_not(
    ledger: Ledger, disk: Disk
) -> None:
    flush = SharedFlush(disk.file)
    disk.goes_on.clear()
    disk.error = OSError(errno.EIO, os.strerror(errno.EIO))
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(flush) for _ in range(4)]
        time.sleep(0.3)
        disk.goes_on.set()
        assert all(isinstance(one.exception(PATIENCE), OSError) for one in waiting)
    disk.error = None
    flush()


def test_a_file_that_is_gone_needs_no_flush(tmp_path: Path) -> None:
    SharedFlush(tmp_path / "gone")()
