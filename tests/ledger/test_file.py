"""The file: what is refused, how an older one becomes a newer one, how it is read by others."""

from __future__ import annotations

import os
import pickle
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from scaling_app.ledger import Ledger, LedgerError, tables


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


SCHEMA_2 = """
DROP TABLE forecasts;
CREATE TABLE forecasts (
    id INTEGER NOT NULL PRIMARY KEY, revision INTEGER NOT NULL, made_at VARCHAR(32) NOT NULL, payload TEXT NOT NULL
);
INSERT INTO forecasts VALUES
    (3, 1, '2026-01-01T00:00:00.000000+00:00', '{"n_in_curve": 4, "overall": {"now": {"mean": 0.5}}}'),
    (7, 2, '2026-01-02T00:00:00.000000+00:00', '{"n_in_curve": 5, "evidence": "a"}');
ALTER TABLE runs DROP COLUMN process;
PRAGMA user_version=2;
"""


def test_the_forecasts_of_an_older_file_are_found_by_size_and_evidence(tmp_path: Path, new_run) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as older:
        older.start_run(new_run("r", ["a"]))
    with sqlite3.connect(path) as raw:
        raw.executescript(SCHEMA_2)
    with Ledger(path) as newer:
        assert newer.forecast_up_to(9, "b") == {"n_in_curve": 5, "evidence": "a"}
        assert newer.forecast_up_to(9, "a") == newer.forecasts()[0]
        assert [past["n_in_curve"] for past in newer.forecast_levels()] == [4]
        assert newer.latest_forecast() == (newer.forecasts()[1], 2)
        assert newer.run("r").train_ids == ("a",)


SCHEMA_3 = """
DROP TABLE forecasts;
CREATE TABLE forecasts (
    id INTEGER NOT NULL PRIMARY KEY, revision INTEGER NOT NULL, made_at VARCHAR(32) NOT NULL,
    n_in_curve INTEGER GENERATED ALWAYS AS (json_extract(payload, '$.n_in_curve')) STORED,
    evidence TEXT GENERATED ALWAYS AS (coalesce(json_extract(payload, '$.evidence'), '')) STORED,
    levels TEXT GENERATED ALWAYS AS (json_extract(payload, '$.overall')) STORED,
    payload TEXT NOT NULL
);
CREATE INDEX ix_forecasts_n_in_curve ON forecasts (n_in_curve, evidence);
INSERT INTO forecasts (id, revision, made_at, payload) VALUES
    (3, 1, '2026-01-01T00:00:00.000000+00:00', '{"n_in_curve": 4, "overall": {"now": {"mean": 0.5}}}'),
    (7, 2, '2026-01-02T00:00:00.000000+00:00', '{"n_in_curve": 5, "recipe": "r", "overall": {"now": {"mean": 0.6}}}'),
    (8, 2, '2026-01-03T00:00:00.000000+00:00', '{"n_in_curve": 6, "recipe": null}');
PRAGMA user_version=3;
"""


def test_the_forecasts_of_an_older_file_are_all_kept_and_tell_their_recipe(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger(path).close()
    with sqlite3.connect(path) as raw:
        raw.executescript(SCHEMA_3)
    with Ledger(path) as newer:
        assert [past["n_in_curve"] for past in newer.forecasts()] == [4, 5, 6]
        assert [past["recipe"] for past in newer.forecast_levels()] == [None, "r"]
        assert newer.latest_forecast() == ({"n_in_curve": 6, "recipe": None}, 2)
    with sqlite3.connect(path) as raw:
        (table,) = raw.execute("SELECT tbl_name FROM sqlite_master WHERE name = 'ix_forecasts_n_in_curve'")
        assert table == ("forecasts",)
        assert raw.execute("SELECT id FROM forecasts").fetchall() == [(3,), (7,), (8,)]


def test_a_file_of_the_first_schema_learns_of_sampling_weights(tmp_path: Path, new_case) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as older:
        older.save_case(new_case())
    with sqlite3.connect(path) as raw:
        raw.executescript(SCHEMA_2)
        raw.execute("DROP TABLE sampling_weights")
        raw.execute("PRAGMA user_version=1")
    with Ledger(path) as newer:
        newer.note_sampling_weight("a", 2.0)
        assert newer.case("a") is not None and newer.sampling_weight("a") == 2.0


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


def test_writes_are_durable_and_references_are_kept(ledger: Ledger) -> None:
    with ledger._read() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
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
