"""WHAT HAPPENED: cases, runs, observations, in one SQLite file (SQLAlchemy)."""

from scaling_app.ledger.ledger import Ledger
from scaling_app.ledger.records import (
    LASTING_DOUBTS,
    MOST_MINUTES,
    Case,
    Doubt,
    LabelNote,
    LabelVersion,
    Lease,
    Observation,
    PoolCase,
    Reading,
    ReadingScore,
    Run,
    ShapeCoverage,
    Stamp,
    reader_of,
    utc_now,
)
from scaling_app.ledger.store import LedgerError

__all__ = [
    "LASTING_DOUBTS",
    "MOST_MINUTES",
    "Case",
    "Doubt",
    "LabelNote",
    "LabelVersion",
    "Lease",
    "Ledger",
    "LedgerError",
    "Observation",
    "PoolCase",
    "Reading",
    "ReadingScore",
    "Run",
    "ShapeCoverage",
    "Stamp",
    "reader_of",
    "utc_now",
]
