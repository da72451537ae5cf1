"""Several processes and threads at once, and processes killed at any moment."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import event

from scaling_app.ledger import Case, Ledger, LedgerError, utc_now

pytestmark = pytest.mark.slow_processes

WRITER = Path(__file__).with_name("writer.py")
OBSERVATIONS_PER_RUN = 5


def start(mode: str, path: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(WRITER), mode, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_writing_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    writers = [start(mode, path, f"{mode}{k}", 25) for mode in ("labels", "runs") for k in range(2)]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0, 0]
    with Ledger(path) as ledger:
        assert len(ledger.cases()) == 50
        assert [run.state for run in ledger.runs()] == ["done"] * 50
        assert len(ledger.observations(current=False)) == 50 * OBSERVATIONS_PER_RUN
        assert ledger.revision() == 100


def test_threads_sharing_a_ledger_lose_nothing(ledger: Ledger) -> None:
    def work(k: int) -> None:
        for j in range(10):
            ledger.save_case(Case(f"{k}-{j}", "h", utc_now(), str(k)))
            assert ledger.revision() > 0

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(work, range(12)))
    assert len(ledger.cases()) == 120
    assert ledger.revision() == 120


def test_one_assignment_wins_among_threads(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda k: ledger.assign_role("p", f"role-{k}"), range(8)))
    assert len(set(answers)) == 1
    assert answers[0] == ledger.role("p")


def test_readers_are_not_held_up_by_a_writer(ledger: Ledger, new_case) -> None:
    ledger.save_case(new_case())
    with ledger._write() as connection, ThreadPoolExecutor(1) as another:
        connection.exec_driver_sql("UPDATE cases SET patient = 'half-way'")
        began = time.monotonic()
        assert another.submit(ledger.case, "a").result().patient == "a"
        assert time.monotonic() - began < 5


def test_what_is_written_at_once_is_all_there_or_not_at_all(ledger: Ledger, new_case) -> None:
    with pytest.raises(LedgerError), ledger.at_once():
        ledger.save_case(new_case())
        ledger.note_sampling_weight("a", 2.0)
        ledger.set_minutes("a", -1.0)
    assert ledger.cases() == []
    assert ledger.sampling_weight("a") is None
    with ledger.at_once(), ThreadPoolExecutor(1) as another:
        ledger.save_case(new_case())
        ledger.note_sampling_weight("a", 2.0)
        assert ledger.case("a") is not None, "its own thread sees it"
        assert another.submit(ledger.case, "a").result() is None, "nobody else does yet"
    assert ledger.case("a") is not None
    assert ledger.sampling_weight("a") == 2.0


def test_what_is_written_at_once_waits_for_the_disk_once(ledger: Ledger, new_case) -> None:
    log = ledger.path.with_name(f"{ledger.path.name}-wal")
    ends: list[int] = []
    event.listen(ledger._engine, "commit", lambda _: ends.append(log.stat().st_size))
    with ledger.at_once():
        ledger.save_case(new_case())
        ledger.note_sampling_weight("a", 2.0)
        ledger.assign_blind("a", True)
    assert len(ends) == 1


@pytest.mark.parametrize("mode", ["labels", "runs"])
def test_a_kill_at_any_moment_loses_nothing_acknowledged(tmp_path: Path, mode: str) -> None:
    path, generator = tmp_path / "ledger.sqlite", random.Random(mode)
    acknowledged: list[str] = []
    for attempt in range(4):
        writer = start(mode, path, f"w{attempt}", 100_000)
        assert writer.stdout is not None
        first = [writer.stdout.readline().strip() for _ in range(generator.randint(6, 12))]
        time.sleep(generator.uniform(0, 0.25))
        writer.kill()
        acknowledged += [*first, *writer.stdout.read().splitlines()]
        writer.wait()
        writer.stdout.close()
        assert_whole(path)
    assert len(acknowledged) > 20
    with Ledger(path) as ledger:
        present = {f"case {case.image_id}" for case in ledger.cases()}
        present |= {f"run {run.run_id}" for run in ledger.runs() if run.state == "done"}
        assert set(acknowledged) <= present
        assert len(present) <= len(acknowledged) + 4


def assert_whole(path: Path) -> None:
    """The file is sound, and every run is ended with all its observations or not ended at all."""
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
        runs = raw.execute(
            "SELECT state, (SELECT count(*) FROM observations o WHERE o.run_id = r.run_id) FROM runs r"
        ).fetchall()
        assert set(runs) <= {("done", OBSERVATIONS_PER_RUN), ("running", 0)}
        lost = "SELECT count(*) FROM cases c LEFT JOIN labels l USING (image_id) WHERE l.id IS NULL"
        assert raw.execute(lost).fetchone() == (0,)
