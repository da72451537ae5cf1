"""WHAT HAPPENED: cases, runs, observations, in one SQLite file (SQLAlchemy)."""
