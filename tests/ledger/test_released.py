"""A ledger of every released schema opens, holds what it held, and has today's tables."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from scaling_app.ledger import Doubt, Ledger, LedgerError, tables
from scaling_app.ledger.copying import require_sound

RELEASED = Path(__file__).parent / "released"
SCHEMAS = range(1, tables.SCHEMA_VERSION + 1)


def released(schema: int, path: Path) -> Path:
    """The committed ledger of a schema, as a file."""
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript((RELEASED / f"schema-{schema}.sql").read_text(encoding="utf-8"))
        assert raw.execute("PRAGMA user_version").fetchone() == (schema,)
    return path


def columns(path: Path) -> dict[str, set[tuple]]:
    """Table or index -> its columns, with their types, as SQLite has them."""
    with closing(sqlite3.connect(path)) as raw:
        named = raw.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
        return {name: {row[1:] for row in raw.execute(f"PRAGMA table_xinfo({name})")} for (name,) in named}


def test_every_schema_has_its_ledger_and_today_s_was_written_with_today_s_tables(tmp_path: Path) -> None:
    files = {int(re.findall(r"\d+", file.stem)[0]) for file in RELEASED.glob("schema-*.sql")}
    assert files == set(SCHEMAS), "write the new schema's with tests/ledger/released/write.py"
    Ledger(tmp_path / "new.sqlite").close()
    newest = released(tables.SCHEMA_VERSION, tmp_path / "newest.sqlite")
    assert columns(newest) == columns(tmp_path / "new.sqlite"), "the tables changed: raise SCHEMA_VERSION"


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_released_ledger_opens_with_what_it_holds(tmp_path: Path, schema: int) -> None:
    path = released(schema, tmp_path / "ledger.sqlite")
    assert require_sound(path) == schema
    with Ledger(path, create=False) as ledger:
        cases = {case.image_id: case for case in ledger.cases()}
        assert [*cases] == ["a", "b", "c", "d"]
        assert cases["a"].label_hash == "hash-a2" and cases["a"].minutes == 7.5 and cases["a"].assisted
        assert [case.doubts for case in cases.values()] == [(), (), (Doubt("volume", "Too large."),), ()]
        assert [version.annotator for version in ledger.label_history("a")] == ["anna", "bert"]
        assert [seen.dice for seen in ledger.observations(current=False)] == [0.8]
        assert ledger.run("fold-1").train_ids == ("a", "b")
        assert ledger.setting("structures") == {"organ": 1}
        assert ledger.curve_blocks() == {5: ["a", "b"]}
        assert (ledger.is_blind("b"), ledger.role("p-b")) == (True, "validation")
        assert ledger.latest_forecast()[0]["evidence"] == "e"
        assert [level["n_in_curve"] for level in ledger.forecast_levels()] == [2]
    Ledger(tmp_path / "new.sqlite").close()
    assert columns(path) == columns(tmp_path / "new.sqlite")


def test_a_ledger_of_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = released(tables.SCHEMA_VERSION, tmp_path / "ledger.sqlite")
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA user_version={tables.SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"newer version.*update scaling-app"):
        Ledger(path)
    with pytest.raises(LedgerError, match="update scaling-app"):
        require_sound(path)
    assert path.read_bytes() == before
