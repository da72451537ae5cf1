"""The tables of the ledger file, and how an older file becomes a newer one.

`PRAGMA application_id` says that a SQLite file is a ledger, `PRAGMA user_version` which schema it has.
Times are ISO 8601 text in UTC with microseconds, so that text order is time order.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Connection,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    select,
    text,
)
from sqlalchemy.types import TypeDecorator

APPLICATION_ID = 0x5CA11A6E
SCHEMA_VERSION = 5


class UtcTime(TypeDecorator[datetime]):
    """An aware datetime, kept as `2026-01-31T12:00:00.000000+00:00`."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Writes UTC text.

        Raises:
            ValueError: the datetime has no timezone.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"times need a timezone, got {value!r}; use datetime.now(timezone.utc)")
        return value.astimezone(timezone.utc).isoformat(timespec="microseconds")

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """Reads it back, in UTC."""
        return None if value is None else datetime.fromisoformat(value)


metadata = MetaData()

state = Table(
    "state",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("job", Text),
)

cases = Table(
    "cases",
    metadata,
    Column("image_id", String, primary_key=True),
    Column("label_hash", String, nullable=False),
    Column("saved_at", UtcTime, nullable=False),
    Column("patient", String, nullable=False),
    Column("annotator", String),
    Column("blind", Boolean, nullable=False),
    Column("assisted", Boolean, nullable=False),
    Column("sampling_weight", Float),
)

minutes = Table(
    "minutes",
    metadata,
    Column("image_id", String, primary_key=True),
    Column("minutes", Float, CheckConstraint("minutes >= 0"), nullable=False),
)

labels = Table(
    "labels",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("image_id", String, nullable=False, index=True),
    Column("label_hash", String, nullable=False),
    Column("saved_at", UtcTime, nullable=False),
    Column("replaced_at", UtcTime),
    Column("annotator", String),
    Column("assisted", Boolean, nullable=False),
)

doubts = Table(
    "doubts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("image_id", ForeignKey("cases.image_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("label_hash", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("raised_at", UtcTime, nullable=False),
    Column("confirmed_at", UtcTime),
)

doubted = select(doubts.c.image_id).where(doubts.c.confirmed_at.is_(None))
"""The images of the cases with an open doubt."""

runs = Table(
    "runs",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("purpose", String, nullable=False),
    Column("strategy", String, nullable=False),
    Column("network", String, nullable=False),
    Column("n", Integer, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("fold", Integer),
    Column("settings_hash", String, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    Column("model_file", String),
    Column("parent_run", ForeignKey("runs.run_id")),
    Column("state", String, nullable=False),
    Column("message", Text),
    Column("process", Text),
    Column("steps", Integer),
    Column("ended", String),
    Column("max_minutes", Float),
    Column("minutes", Float),
)

run_cases = Table(
    "run_cases",
    metadata,
    Column("run_id", ForeignKey("runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("image_id", String, nullable=False),
    Column("label_hash", String),
)

observations = Table(
    "observations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("runs.run_id", ondelete="CASCADE"), nullable=False),
    Column("image_id", String, nullable=False, index=True),
    Column("label_hash", String, nullable=False),
    Column("structure", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("dice", Float),
    Column("nsd", Float),
    Column("nsd_tolerance_mm", Float),
    Column("hd95_mm", Float),
    Column("bce", Float),
    Column("missed", Boolean, nullable=False),
    Column("hallucinated", Boolean, nullable=False),
    Column("assisted", Boolean, nullable=False),
    UniqueConstraint("run_id", "image_id", "label_hash", "structure", "kind"),
)

exposures = Table(
    "exposures",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("image_id", String, nullable=False),
    Column("client", String),
    Column("at", UtcTime, nullable=False),
    Column("label_by", String),
    Index("ix_exposures_image_at", "image_id", "at"),
)

readings = Table(
    "readings",
    metadata,
    Column("image_id", String, primary_key=True),
    Column("reader", String, primary_key=True),
    Column("asked_at", UtcTime),
    Column("label_hash", String),
    Column("saved_at", UtcTime),
    Column("independent", Boolean, nullable=False),
    Column("minutes", Float, CheckConstraint("minutes >= 0")),
)

agreements = Table(
    "agreements",
    metadata,
    Column("image_id", String, primary_key=True),
    Column("reader", String, primary_key=True),
    Column("structure", String, primary_key=True),
    Column("label_hash", String, nullable=False),
    Column("against_reader", String, nullable=False),
    Column("against_hash", String, nullable=False),
    Column("dice", Float),
    Column("nsd", Float),
    Column("nsd_tolerance_mm", Float, nullable=False),
    Column("one_only", Boolean, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("image_id", String, primary_key=True),
    Column("reader", String, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("ended", Boolean, nullable=False),
)

blind_assignments = Table(
    "blind_assignments",
    metadata,
    Column("image_id", String, primary_key=True),
    Column("blind", Boolean, nullable=False),
)

sampling_weights = Table(
    "sampling_weights",
    metadata,
    Column("image_id", String, primary_key=True),
    Column("weight", Float, CheckConstraint("weight > 0"), nullable=False),
)

roles = Table(
    "roles",
    metadata,
    Column("patient", String, primary_key=True),
    Column("role", String, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", Text, nullable=False),
)

LEVELS = """CASE WHEN json_type(payload, '$.overall.now.mean') IN ('real', 'integer') THEN json_object(
'now', json_extract(payload, '$.overall.now'), 'forecast', json_extract(payload, '$.overall.forecast')) END"""

forecasts = Table(
    "forecasts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("made_at", UtcTime, nullable=False),
    # SQLite takes these out of the payload when it is written: nobody has to read them all to find one
    Column("n_in_curve", Integer, Computed("json_extract(payload, '$.n_in_curve')", persisted=True)),
    Column("evidence", Text, Computed("coalesce(json_extract(payload, '$.evidence'), '')", persisted=True)),
    Column("levels", Text, Computed(LEVELS, persisted=True)),
    Column("recipe", Text, Computed("json_extract(payload, '$.recipe')", persisted=True)),
    Column("payload", Text, nullable=False),  # last: what stands behind a long text is slow to reach
    Index("ix_forecasts_n_in_curve", "n_in_curve", "evidence"),
)

label_notes = Table(
    "label_notes",
    metadata,
    Column("image_id", String, primary_key=True),
    Column("label_hash", String, nullable=False),
    Column("path", String),
    Column("changed_ns", Integer),
    Column("bytes", Integer),
)

label_volumes = Table(
    "label_volumes",
    metadata,
    Column("image_id", ForeignKey("label_notes.image_id", ondelete="CASCADE"), primary_key=True),
    Column("value", Integer, primary_key=True),
    Column("ml", Float, nullable=False),
)

label_names = Table(
    "label_names",
    metadata,
    Column("image_id", ForeignKey("label_notes.image_id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", String, nullable=False),
    Column("value", Integer, nullable=False),
)

checked_images = Table(
    "checked_images",
    metadata,
    Column("image_id", String, primary_key=True),
    Column("stamp", String, nullable=False),
    Column("facts", Text, nullable=False),
)

curve_blocks = Table(
    "curve_blocks",
    metadata,
    Column("curve_size", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("image_id", String, nullable=False),
)

coverage = Table(
    "coverage",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("made_from", String, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("model", String),
    Column("n_labelled", Integer, nullable=False),
)

coverage_cases = Table(
    "coverage_cases",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("image_id", String, nullable=False),
    Column("distance", Float, nullable=False),
    Column("outside", Boolean, nullable=False),
)


def _one_word_for_each(connection: Connection) -> None:
    """To schema 2: doubts are doubts, sizes of the curve are curve sizes."""
    for statement in (
        "ALTER TABLE flags RENAME TO doubts",
        "ALTER TABLE doubts RENAME COLUMN resolved_at TO confirmed_at",
        "DROP INDEX ix_flags_image_id",
        "CREATE INDEX ix_doubts_image_id ON doubts (image_id)",
        "ALTER TABLE curve_blocks RENAME COLUMN checkpoint TO curve_size",
    ):
        connection.execute(text(statement))


def _readers(connection: Connection) -> None:
    """To schema 3: who read which case, how far readers agree, and in whose hands a case is."""
    connection.execute(text("ALTER TABLE exposures ADD COLUMN label_by VARCHAR"))
    for table in (readings, agreements, leases):
        table.create(connection)


def _lengths(connection: Connection) -> None:
    """To schema 4: how long a training was, and why it ended."""
    for column in ("steps INTEGER", "ended VARCHAR"):
        connection.execute(text(f"ALTER TABLE runs ADD COLUMN {column}"))


def _minutes(connection: Connection) -> None:
    """To schema 5: how many minutes a training had, and how many it needed."""
    for column in ("max_minutes FLOAT", "minutes FLOAT"):
        connection.execute(text(f"ALTER TABLE runs ADD COLUMN {column}"))


MIGRATIONS: dict[int, Callable[[Connection], None]] = {
    1: _one_word_for_each,
    2: _readers,
    3: _lengths,
    4: _minutes,
}
"""`MIGRATIONS[v]` takes a file from schema `v` to `v + 1`; each runs inside the opening transaction."""
