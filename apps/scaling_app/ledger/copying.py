"""A ledger's file as a copy: made while others write it, and judged when it comes from elsewhere."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from scaling_app.ledger import tables
from scaling_app.ledger.store import BUSY_SECONDS, LedgerError, require_head


def copy_ledger(source: Path, goal: Path) -> int:
    """Copies a ledger as it is at one moment, by SQLite's online backup; writers go on meanwhile.

    Args:
        goal: a new file; whole once this returns, without a write-ahead log beside it.

    Returns:
        Its schema. It is not migrated: the version that wrote it can read it again.

    Raises:
        LedgerError: there is none, or none that is known here.
    """
    if not source.is_file():
        raise LedgerError(f"there is no ledger at {source}")
    require_head(source)
    address = f"{source.resolve().as_uri()}?mode=rw"
    try:
        with (
            closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)) as held,
            closing(sqlite3.connect(goal)) as copy,
        ):
            held.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
            return _schema(copy, source)
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"the ledger {source} cannot be copied: {error}") from error


def require_sound(path: Path) -> int:
    """Refuses a ledger from elsewhere that is damaged, or holds more than tables; returns its schema.

    Raises:
        LedgerError: one line.
    """
    address = f"{path.resolve().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True)) as copy:
            copy.execute("PRAGMA cell_size_check=ON")
            schema = _schema(copy, path)
            strange = copy.execute(
                "SELECT name FROM sqlite_master WHERE type NOT IN ('table', 'index') OR sql LIKE 'CREATE VIRTUAL%'"
            ).fetchone()
            if strange is not None:
                raise LedgerError(f"{path.name} holds {strange[0]!r}, which no ledger has")
            found = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if found != "ok":
                raise LedgerError(f"{path.name} is damaged: {found}")
            return schema
    except (sqlite3.DatabaseError, TypeError) as error:
        raise LedgerError(f"{path.name} is no ledger, or a damaged one: {error}") from error


def _schema(connection: sqlite3.Connection, path: Path) -> int:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != tables.APPLICATION_ID:
        raise LedgerError(f"{path} is no ledger; name another file")
    schema = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if not 1 <= schema <= tables.SCHEMA_VERSION:
        raise LedgerError(
            f"{path.name} is a ledger of schema {schema}, and this version knows {tables.SCHEMA_VERSION}; update scaling-app"
        )
    return schema
