"""Writes a small ledger of today's schema beside this file, as SQL: run once when a schema is new, then committed for good.

python tests/ledger/released/write.py
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

from scaling_app.ledger import Case, Doubt, Lease, Ledger, Observation, ReadingScore, Run, tables

HERE = Path(__file__).parent
AT = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


def fill(ledger: Ledger) -> None:
    """Something in every book: labels old and new, doubts open and confirmed, runs done, readers, settings, a forecast."""
    for image in ("a", "b", "c", "d"):
        doubts = (Doubt("volume", "Too large."),) if image in "cd" else ()
        ledger.save_case(
            Case(image, f"hash-{image}", AT, patient=f"p-{image}", annotator="anna", doubts=doubts)
        )
    ledger.save_case(Case("a", "hash-a2", AT, patient="p-a", annotator="bert", assisted=True, minutes=7.5))
    ledger.confirm_label("d")
    ledger.assign_blind("b", True)
    ledger.assign_role("p-b", "validation")
    ledger.note_exposure("a", "viewer", AT)
    ledger.keep_lease(Lease("c", "bert", AT))
    ledger.keep_reading_scores(
        "a", [ReadingScore("a", "bert", "organ", "hash-a2", "anna", "hash-a", 0.9, 0.95, 2.0)]
    )
    run = Run("fold-1", "fold", "none", "resunet", ["a", "b"], 2, 0, 0, "settings", AT, max_minutes=60)
    ledger.start_run(run)
    seen = Observation(run_id="fold-1", image_id="b", structure="organ", kind="fold", dice=0.8)
    ledger.finish_run("fold-1", [seen], steps=1250, ended="time")
    ledger.set_setting("structures", {"organ": 1})
    ledger.set_curve_block(5, ["a", "b"])
    ledger.save_forecast(
        {"n_in_curve": 2, "evidence": "e", "overall": {"now": {"mean": 0.8}, "forecast": []}}
    )


def main() -> None:
    """Writes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        with Ledger(path) as ledger:
            fill(ledger)
        with closing(sqlite3.connect(path)) as raw:
            raw.execute("UPDATE runs SET process = NULL, finished_at = started_at")
            raw.commit()
            goal = HERE / f"schema-{tables.SCHEMA_VERSION}.sql"
            head = [
                f"PRAGMA {name}={raw.execute(f'PRAGMA {name}').fetchone()[0]};"
                for name in ("application_id", "user_version")
            ]
            # generated columns cannot be written, and are made again
            lines = [line for line in raw.iterdump() if not line.startswith('INSERT INTO "forecasts"')]
            row = raw.execute("SELECT id, revision, made_at, payload FROM forecasts").fetchone()
            values = ", ".join(raw.execute("SELECT quote(?)", (value,)).fetchone()[0] for value in row)
            lines.insert(-1, f"INSERT INTO forecasts (id, revision, made_at, payload) VALUES ({values});")
            goal.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    print(goal)


if __name__ == "__main__":
    main()
