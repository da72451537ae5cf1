"""WHAT HAPPENED: cases, runs, observations, in one SQLite file (SQLAlchemy)."""

from scaling_app.ledger.ledger import Ledger
from scaling_app.ledger.records import (
    LASTING_DOUBTS,
    MOST_MINUTES,
    Case,
    Flag,
    LabelNote,
    LabelVersion,
    Observation,
    PoolCase,
    PoolCoverage,
    Run,
    Stamp,
    utc_now,
)
from scaling_app.ledger.store import LedgerError

__all__ = [
    "LASTING_DOUBTS",
    "MOST_MINUTES",
    "Case",
    "Flag",
    "LabelNote",
    "LabelVersion",
    "Ledger",
    "LedgerError",
    "Observation",
    "PoolCase",
    "PoolCoverage",
    "Run",
    "Stamp",
    "utc_now",
]
