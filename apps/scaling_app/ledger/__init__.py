"""WHAT HAPPENED: cases, runs, observations, in one SQLite file (SQLAlchemy)."""

from scaling_app.ledger.ledger import Ledger
from scaling_app.ledger.records import (
    LASTING_DOUBTS,
    MOST_MINUTES,
    Case,
    Doubt,
    LabelNote,
    LabelVersion,
    Observation,
    PoolCase,
    Run,
    ShapeCoverage,
    Stamp,
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
    "Ledger",
    "LedgerError",
    "Observation",
    "PoolCase",
    "Run",
    "ShapeCoverage",
    "Stamp",
    "utc_now",
]
