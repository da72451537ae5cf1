"""The file under the ledger: opening, migrating, and short transactions that many processes may run.

Write-ahead logging lets readers work while one writer writes. A write takes the lock when it begins
(`BEGIN IMMEDIATE`) and waits for its turn, so two writers never meet half-way. Threads of one process queue for it, as
SQLite's own waiting is a sleep. What was committed is on the disk before the call returns. But nobody else waits for that:
the log is flushed when the lock is free again, once for all who have committed meanwhile (`SharedFlush`). So is what SQLite
would do in the middle of a commit, and everybody would wait for: bringing a long log into the file. Python's sqlite3
would begin transactions on its own and late; `isolation_level = None` leaves that to us.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, exc, select, text, update

from scaling_app.ledger import tables
from scaling_app.ledger.tables import APPLICATION_ID
from scaling_app.storage import SharedFlush

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger(__name__)

BUSY_SECONDS = 30.0
LONG_LOG_BYTES = 4 << 20
"""A log of this length is brought into the file, so that reading stays quick: SQLite's own measure."""

MAGIC = b"SQLite format 3\x00"
LEAST_HEAD_BYTES, LARGEST_PAGE = 100, 65_536


class LedgerError(ValueError):
    """The ledger file cannot be used, or was asked for something that it does not hold."""


class Store:
    """One SQLite file, opened or created, safe for many threads and processes.

    Args:
        path: the file; missing folders are made.
        create: whether a missing file is made, or is an error.

    Raises:
        LedgerError: the file is no ledger, is from a newer version, is missing, or cannot be written.
    """

    def __init__(self, path: str | Path, *, create: bool = True) -> None:
        self.path = Path(path)
        _check_place(self.path, create)
        require_head(self.path)
        self._flushes_itself = True
        self._engine = _make_engine(self.path, lambda: self._flushes_itself)
        self._own = threading.local()
        self._begin_process()
        self._open()

    def _begin_process(self) -> None:
        self._pid = os.getpid()
        self._turn = threading.Lock()
        self._log_file = Path(f"{os.path.realpath(self.path)}-wal")
        self._flush = SharedFlush(self._log_file)

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        return type(self), (self.path,)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the idle connections; the next call opens new ones."""
        self._engine.dispose()

    def revision(self) -> int:
        """A number that changes with every write that can change a forecast."""
        with self._read() as connection:
            return connection.execute(select(tables.state.c.revision)).scalar_one()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """All that this thread does with the ledger within is one transaction: durable when it ends, or undone by an error.

        All other writers wait meanwhile: read no files in it.

        Raises:
            LedgerError: it cannot be written; nothing of it has happened. Or the disk does not keep what it has taken; then it
                may have.

        Example:
            >>> from tempfile import mkdtemp
            >>> from scaling_app.ledger import Ledger
            >>> ledger = Ledger(mkdtemp() + "/ledger.sqlite")
            >>> with ledger.at_once():
            ...     ledger.set_setting("target", 0.9)
            ...     ledger.set_setting("minutes_per_point", 30)
        """
        with self._write():
            yield

    @contextmanager
    def kept_at_end(self) -> Iterator[None]:
        """What this thread writes within waits for the disk once, when it ends: locks that are taken within wait for none.

        Others see it before that.

        Raises:
            LedgerError: the disk does not keep it.
        """
        with self._owing(self._wait_for_disk):
            yield

    @contextmanager
    def kept_soon(self) -> Iterator[None]:
        """What this thread writes within is committed, and its flush begun, when it ends; nobody waits for the disk.

        A process that is killed loses none of it. A machine that fails before the flush does, but then nothing that was written
        later is there either. Within `kept_at_end` or `at_once` those wait for it.
        """
        with self._owing(self._flush_soon):
            yield

    @contextmanager
    def _owing(self, settle: Callable[[], None]) -> Iterator[None]:
        """Leaves the flush of what this thread writes within to its end; one that is within another leaves it to that."""
        if self._owes() is not None:
            yield
            return
        self._own.owed = False
        try:
            yield
        finally:
            owed, self._own.owed = self._own.owed, None
            if owed:
                settle()

    def _flush_soon(self) -> None:
        if not self._flushes_itself:
            self._flush.soon()

    def once_kept(self, call: Callable[[], None]) -> None:
        """Has it called when what this thread writes now is committed; never if that is undone. It writes nothing itself."""
        if getattr(self._own, "connection", None) is None:
            call()
        else:
            self._own.afterwards.append(call)

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        """One consistent view of the file."""
        with self._transaction(write=False) as connection:
            yield connection

    @contextmanager
    def _write(self, *, moves_forecast: bool = False) -> Iterator[Connection]:
        """One transaction with the write lock, all or nothing; durable when it ends."""
        with self._transaction(write=True) as connection:
            yield connection
            if moves_forecast:
                self._move_forecast(connection)

    @staticmethod
    def _move_forecast(connection: Connection) -> None:
        connection.execute(update(tables.state).values(revision=tables.state.c.revision + 1))

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Connection]:
        if self._pid != os.getpid():  # a fork must not share its parent's connections
            self._engine.dispose(close=False)
            self._begin_process()
        joined: Connection | None = getattr(self._own, "connection", None)
        try:
            if joined is not None:
                yield joined
            elif write:
                with self._writing() as connection:
                    yield connection
            else:
                with self._engine.connect() as connection, connection.begin():
                    yield connection
        except exc.StatementError as error:
            raise LedgerError(f"the ledger {self.path} refused: {error.orig}") from error

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction that this thread's further ones join, on the disk when it ends."""
        afterwards: list[Callable[[], None]] = []
        with self._turn, self._engine.connect().execution_options(ledger_write=True) as connection:
            before = _changes(connection)
            with connection.begin():
                self._own.connection, self._own.afterwards = connection, afterwards
                try:
                    yield connection
                finally:
                    self._own.connection = None
            for call in afterwards:
                call()
            changed = _changes(connection) != before
        if not changed:
            return
        if self._owes() is None:
            self._wait_for_disk()
        else:
            self._own.owed = True

    def _owes(self) -> bool | None:
        """Whether this thread has written what is not on the disk yet; None where it waits for that at once."""
        return getattr(self._own, "owed", None)

    def _wait_for_disk(self) -> None:
        if self._flushes_itself:  # SQLite has done it
            return
        try:
            self._flush()
        except OSError as error:
            raise LedgerError(f"the ledger {self.path} could not be flushed: {error.strerror}") from error
        self._shorten_log()

    def _shorten_log(self) -> None:
        """Brings a long log into the file, while others read and write; what is in either is kept."""
        with suppress(FileNotFoundError):
            if self._log_file.stat().st_size <= LONG_LOG_BYTES:
                return
            raw = self._engine.raw_connection()
            try:
                raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            except sqlite3.OperationalError as error:
                logger.warning("%s: the log could not be brought into the file: %s", self.path, error)
            finally:
                raw.close()

    def _open(self) -> None:
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._use_write_ahead_log()
                with self._write() as connection:
                    _bring_up_to_date(connection, self.path)
                self._wait_for_disk()  # new tables count as no change
                return
            except LedgerError as error:
                locked = isinstance(error.__cause__, exc.OperationalError) and "locked" in str(error)
                if not locked or time.monotonic() > deadline:
                    raise _opening_error(self.path, error) from error.__cause__
                time.sleep(0.02)

    def _use_write_ahead_log(self) -> None:
        """Switches the file over, once; a foreign file is recognised before anything in it is changed."""
        with self._read() as connection:
            _check_kind(connection, self.path)
        raw = self._engine.raw_connection()
        try:
            mode = raw.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            wrapped = exc.OperationalError("PRAGMA journal_mode=WAL", None, error)
            raise LedgerError(f"the ledger {self.path} refused: {error}") from wrapped
        finally:
            raw.close()
        self._flushes_itself = mode != "wal"
        self._engine.dispose()  # other connections are opened as that wants it
        if mode != "wal":
            logger.warning("%s: no write-ahead log here (journal mode %s); readers may wait", self.path, mode)


def _check_place(path: Path, create: bool) -> None:
    if path.is_dir():
        raise LedgerError(f"{path} is a folder; name a file for the ledger, e.g. {path / 'ledger.sqlite'}")
    if not path.exists() and not create:
        raise LedgerError(f"there is no ledger at {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(f"cannot make the folder {path.parent} for the ledger: {error.strerror}") from error
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise LedgerError(
            f"cannot write {path}; choose another place for the ledger or change its permissions"
        )


def require_head(path: Path) -> None:
    """Refuses what SQLite would take for a new, empty file: one that is cut within its first page, or empty beside its log.

    It would delete such a log, too. A cut further on it sees itself.

    Raises:
        LedgerError: it is no whole ledger.
    """
    logged = _size(path.with_name(f"{path.name}-wal"))  # asked first: it is begun when the file has its page
    size = _size(path)
    if size >= LEAST_HEAD_BYTES:
        with path.open("rb") as file:
            head = file.read(LEAST_HEAD_BYTES)
        page = int.from_bytes(head[16:18], "big")
        if logged or not head.startswith(MAGIC) or size >= (page if page > 1 else LARGEST_PAGE):
            return
    elif size == 0 and not logged:
        return
    if not path.exists():
        raise LedgerError(
            f"there is no {path}, but its log {path.name}-wal is there, which holds what was noted last: restore a copy, or "
            "move the log away to begin anew"
        )
    raise LedgerError(
        f"{path} is no whole ledger ({size} bytes are left of it); name another file or restore a copy"
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _make_engine(path: Path, flushes_itself: Callable[[], bool]) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        pool_size=4,
        max_overflow=-1,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys=ON")
        if flushes_itself():
            connection.execute("PRAGMA synchronous=FULL")
            return
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA journal_size_limit=0")  # a log that begins anew is short

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("ledger_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _changes(connection: Connection) -> int:
    """The rows that this connection has ever changed."""
    driver: Any = connection.connection.driver_connection
    return int(driver.total_changes)


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.execute(text(f"PRAGMA {name}")).scalar_one())


def _check_kind(connection: Connection, path: Path) -> int:
    """The file's schema version, 0 when it is new and empty."""
    has_tables = connection.execute(text("SELECT count(*) FROM sqlite_master")).scalar_one() > 0
    if not has_tables:
        return 0
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise LedgerError(f"{path} is a SQLite database but no ledger; name another file")
    version = _pragma(connection, "user_version")
    if version > tables.SCHEMA_VERSION:
        raise LedgerError(
            f"{path} was written by a newer version (schema {version}; this one knows "
            f"{tables.SCHEMA_VERSION}); update scaling-app"
        )
    return version


def _bring_up_to_date(connection: Connection, path: Path) -> None:
    version = _check_kind(connection, path)
    if version == tables.SCHEMA_VERSION:
        return
    if version == 0:
        tables.metadata.create_all(connection, checkfirst=False)  # none is there: it is version 0
        connection.execute(tables.state.insert().values(id=1, revision=0))
        connection.execute(text(f"PRAGMA application_id={APPLICATION_ID}"))
    for older in range(version or tables.SCHEMA_VERSION, tables.SCHEMA_VERSION):
        logger.info("%s: from schema %d to %d", path, older, older + 1)
        tables.MIGRATIONS[older](connection)
    connection.execute(text(f"PRAGMA user_version={tables.SCHEMA_VERSION}"))


def _opening_error(path: Path, error: LedgerError) -> LedgerError:
    cause = error.__cause__
    if isinstance(cause, exc.DBAPIError) and isinstance(cause.orig, sqlite3.DatabaseError):
        if "not a database" in str(cause.orig) or "malformed" in str(cause.orig):
            return LedgerError(f"{path} is no ledger ({cause.orig}); name another file or restore a copy")
        return LedgerError(f"cannot open the ledger {path}: {cause.orig}")
    return error
