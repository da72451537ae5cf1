"""The file: what is refused, how an older one becomes a newer one, how it is read by others."""

from __future__ import annotations

import os
import pickle
import sqlite3
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

import pytest
from sqlalchemy import text

from scaling_app.ledger import Doubt, Ledger, LedgerError, tables, utc_now
from scaling_app.ledger.copying import copy_ledger

TO_SCHEMA_2 = (
    "ALTER TABLE exposures DROP COLUMN label_by",
    "DROP TABLE readings",
    "DROP TABLE agreements",
    "DROP TABLE leases",
    "ALTER TABLE runs DROP COLUMN steps",
    "ALTER TABLE runs DROP COLUMN ended",
    "ALTER TABLE runs DROP COLUMN max_minutes",
    "ALTER TABLE runs DROP COLUMN minutes",
)


def test_folders_are_made(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "new" / "folder" / "ledger.sqlite").cases() == []


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="is a folder"):
        Ledger(tmp_path)


def test_a_missing_file_is_refused_when_it_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no ledger at"):
        Ledger(tmp_path / "ledger.sqlite", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_text_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(LedgerError, match="is no ledger"):
        Ledger(path)
    assert path.read_text() == "not a database " * 100


def test_a_foreign_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE cases (a)")
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="no ledger"):
        Ledger(path)
    assert path.read_bytes() == before


def killed_young(path: Path) -> bytes:
    """A ledger whose writer was killed: all that it holds is in the log beside it. Its bytes."""
    writer = get_context("fork").Process(target=_write_and_die, args=(path,))
    writer.start()
    writer.join()
    return path.read_bytes()


def _write_and_die(path: Path) -> None:
    Ledger(path).set_setting("seed", 7)
    os._exit(0)


@pytest.mark.parametrize("logged", [False, True])
@pytest.mark.parametrize("left", [0, 1, 50, 100, 500, 4095])
def test_a_ledger_cut_within_its_first_page_is_refused_and_left_alone(
    tmp_path: Path, left: int, logged: bool
) -> None:
    path, log = tmp_path / "ledger.sqlite", tmp_path / "ledger.sqlite-wal"
    path.write_bytes(killed_young(path)[:left])
    if not logged:
        log.unlink()
    before = {file.name: file.read_bytes() for file in (path, log) if file.exists()}
    if left == 0 and not logged:  # a new file
        assert Ledger(path).setting("seed") is None
    elif left >= 100 and logged:  # the log holds its first page
        assert Ledger(path).setting("seed") == 7
    else:
        for opened in (lambda: Ledger(path), lambda: copy_ledger(path, tmp_path / "copy.sqlite")):
            with pytest.raises(LedgerError, match=rf"no whole ledger \({left} bytes .*restore a copy"):
                opened()
        assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_a_log_without_its_ledger_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    killed_young(path)
    path.unlink()
    with pytest.raises(
        LedgerError, match=r"there is no .*ledger\.sqlite, but its log ledger\.sqlite-wal is there"
    ):
        Ledger(path)
    assert [file.name for file in tmp_path.iterdir() if file.name.endswith("-wal")] and not path.exists()


def test_a_file_whose_tables_were_not_made_before_a_kill_becomes_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA journal_mode=WAL")
    assert path.stat().st_size > 0
    assert Ledger(path).cases() == []


def test_a_file_from_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute(f"PRAGMA user_version={tables.SCHEMA_VERSION + 1}")
    with pytest.raises(LedgerError, match=r"newer version.*update"):
        Ledger(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(LedgerError, match="cannot"):
            Ledger(tmp_path / "ledger.sqlite")
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(LedgerError, match="cannot make the folder"):
        Ledger(tmp_path / "file" / "sub" / "ledger.sqlite")


def test_an_older_file_is_migrated_with_what_it_holds(
    tmp_path: Path, new_case, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as older:
        older.save_case(new_case())
    version = tables.SCHEMA_VERSION
    step = {version: lambda c: c.execute(text("ALTER TABLE cases ADD COLUMN scanner TEXT DEFAULT 'unknown'"))}
    monkeypatch.setattr(tables, "SCHEMA_VERSION", version + 1)
    monkeypatch.setattr(tables, "MIGRATIONS", step)
    with Ledger(path) as newer:
        assert newer.case("a") is not None
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT scanner FROM cases").fetchall() == [("unknown",)]
        assert raw.execute("PRAGMA user_version").fetchone() == (version + 1,)


def test_a_ledger_of_schema_1_keeps_its_doubts(tmp_path: Path, new_case) -> None:
    path, doubt = tmp_path / "ledger.sqlite", Doubt("volume", "Too large.")
    with Ledger(path) as ledger:
        ledger.save_case(new_case("open", doubts=(doubt,)))
        ledger.save_case(new_case("fine", doubts=(doubt,)))
        ledger.confirm_label("fine")
        ledger.set_curve_block(5, ["open"])
    with sqlite3.connect(path) as raw:
        for statement in (
            "DROP INDEX ix_doubts_image_id",
            "ALTER TABLE doubts RENAME COLUMN confirmed_at TO resolved_at",
            "ALTER TABLE doubts RENAME TO flags",
            "CREATE INDEX ix_flags_image_id ON flags (image_id)",
            "ALTER TABLE curve_blocks RENAME COLUMN curve_size TO checkpoint",
            *TO_SCHEMA_2,
            "PRAGMA user_version=1",
        ):
            raw.execute(statement)
    with Ledger(path) as again:
        assert {case.image_id: case.doubts for case in again.cases()} == {"open": (doubt,), "fine": ()}
        assert again.curve_blocks() == {5: ["open"]}


def test_a_migration_that_fails_changes_nothing(
    tmp_path: Path, new_case, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as older:
        older.save_case(new_case())
    version = tables.SCHEMA_VERSION

    def half_way(connection) -> None:
        connection.execute(text("DROP TABLE exposures"))
        raise RuntimeError("power cut")

    with monkeypatch.context() as patched:
        patched.setattr(tables, "SCHEMA_VERSION", version + 1)
        patched.setattr(tables, "MIGRATIONS", {version: half_way})
        with pytest.raises(RuntimeError, match="power cut"):
            Ledger(path)
    with Ledger(path) as again:
        assert again.case("a") is not None
        assert not again.was_exposed("a", None, again.case("a").saved_at)


def test_there_is_a_log_of_writes_and_references_are_kept(ledger: Ledger) -> None:
    with ledger._read() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_a_ledger_travels_to_other_processes_as_its_path(ledger: Ledger, new_case) -> None:
    ledger.save_case(new_case())
    assert [case.image_id for case in pickle.loads(pickle.dumps(ledger)).cases()] == ["a"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_can_write(ledger: Ledger, new_case) -> None:
    ledger.save_case(new_case("parent"))
    child = os.fork()
    if child == 0:
        try:
            ledger.save_case(new_case("child"))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert [case.image_id for case in ledger.cases()] == ["parent", "child"]


def test_sqlite_alone_can_read_it(ledger: Ledger, new_case) -> None:
    ledger.save_case(new_case())
    with sqlite3.connect(f"file:{ledger.path}?mode=ro", uri=True) as raw:
        assert raw.execute("SELECT image_id, patient FROM cases").fetchall() == [("a", "a")]


def test_a_ledger_of_schema_2_keeps_its_exposures_as_predictions(tmp_path: Path, new_case) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.save_case(new_case())
        ledger.note_exposure("a", "slicer-1", utc_now())
    with sqlite3.connect(path) as raw:
        for statement in (*TO_SCHEMA_2, "PRAGMA user_version=2"):
            raw.execute(statement)
    with Ledger(path) as again:
        assert again.was_exposed("a", "slicer-1") and not again.saw_label_of_others("a", "slicer-1")
        assert again.readings() == [] and again.leases() == [] and again.case("a") is not None
