"""Settings, forecasts and the state of the curve job: small JSON values beside the facts."""

from __future__ import annotations

import json
import time
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.sqlite import insert

from scaling_app.ledger import tables
from scaling_app.ledger.processes import is_over, this_process
from scaling_app.ledger.records import utc_now
from scaling_app.ledger.store import LedgerError, Store
from scaling_app.storage import to_json

KEPT_FORECASTS = 1000

LAST_BACKUP = "last_backup"
"""The setting in which a backup notes when it was made, and how many bytes it has."""

CURVE_RECIPE = "curve_recipe"
"""The setting in which a job notes with which recipe the curve is whole."""

FORECAST_SETTINGS = ("target", "minutes_per_point", CURVE_RECIPE)
"""The settings that a forecast reads; the others tell of files, images and trainings."""

IDLE: dict[str, Any] = {"state": "idle", "done": 0, "total": 0, "eta_seconds": None, "message": None}


class NoteBook(Store):
    """The part of the ledger that keeps settings, forecasts and the job's progress."""

    def set_setting(self, key: str, value: Any) -> None:
        """Keeps a JSON value under a name, e.g. `target`; the same value again changes nothing."""
        table = tables.settings
        row = {"key": key, "value": _to_json(value)}
        with self._write() as connection:
            known = connection.execute(select(table.c.value).where(table.c.key == key)).scalar()
            if known == row["value"]:
                return
            if key in FORECAST_SETTINGS:
                self._move_forecast(connection)
            connection.execute(
                insert(table).values(**row).on_conflict_do_update(index_elements=["key"], set_=row)
            )

    def setting(self, key: str, default: Any = None) -> Any:
        """The value kept under that name, or the default."""
        table = tables.settings
        with self._read() as connection:
            found = connection.execute(select(table.c.value).where(table.c.key == key)).scalar()
        return default if found is None else json.loads(found)

    def save_forecast(self, payload: dict[str, Any], revision: int | None = None) -> None:
        """Keeps a forecast and the revision it was made from (default: the present one).

        Of the forecasts made at one number of cases (`n_in_curve`) the newest stays, for good. Those without
        such a number make room once they are not among the `KEPT_FORECASTS` newest.
        """
        table = tables.forecasts
        with self._write() as connection:
            if revision is None:
                revision = connection.execute(select(tables.state.c.revision)).scalar_one()
            row = {"revision": revision, "made_at": utc_now(), "payload": _to_json(payload)}
            newest = connection.execute(table.insert().values(**row)).lastrowid
            size = payload.get("n_in_curve")
            if size is not None:
                outdated = (table.c.n_in_curve == size) & (table.c.id < newest)
            else:
                kept = select(table.c.id).order_by(table.c.id.desc()).limit(KEPT_FORECASTS)
                outdated = table.c.n_in_curve.is_(None) & table.c.id.not_in(kept)
            connection.execute(delete(table).where(outdated))

    def latest_forecast(self) -> tuple[dict[str, Any], int] | None:
        """The forecast made from the newest revision, with that revision; None before the first one."""
        table = tables.forecasts
        newest = select(table.c.id).order_by(table.c.revision.desc(), table.c.id.desc()).limit(1)
        with self._read() as connection:
            row = connection.execute(select(table).where(table.c.id == newest.scalar_subquery())).first()
        return None if row is None else (json.loads(row.payload), row.revision)

    def forecast_up_to(self, n_in_curve: int, evidence: str) -> dict[str, Any] | None:
        """The newest forecast of so many cases or fewer (but some) that was made from other evidence, or None.

        Args:
            n_in_curve: the number of cases; those of more do not count.
            evidence: what the payload says under `evidence`; one that says nothing was made from another.
        """
        table = tables.forecasts
        few = table.c.n_in_curve.between(1, n_in_curve)
        other = or_(table.c.evidence != evidence, table.c.evidence == "")
        newest = select(func.max(table.c.id)).where(few, other).scalar_subquery()
        with self._read() as connection:
            found = connection.execute(select(table.c.payload).where(table.c.id == newest)).scalar()
        return None if found is None else json.loads(found)

    def forecast_levels(self) -> list[dict[str, Any]]:
        """What the forecasts so far said of the overall level, oldest first; those without one are left out.

        Returns:
            `n_in_curve`, `recipe` (None where it says none) and `overall` of each, the latter with `now` and
            `forecast` alone; Dice.
        """
        table = tables.forecasts
        told = table.c.levels.is_not(None) & table.c.n_in_curve.is_not(None)
        wanted = select(table.c.n_in_curve, table.c.recipe, table.c.levels).where(told).order_by(table.c.id)
        with self._read() as connection:
            rows = connection.execute(wanted).all()
        return [
            {"n_in_curve": row.n_in_curve, "recipe": row.recipe, "overall": json.loads(row.levels)}
            for row in rows
        ]

    def forecasts(self) -> list[dict[str, Any]]:
        """The forecasts made so far, oldest first, as they were saved: every word of every one, so it is slow."""
        table = tables.forecasts
        with self._read() as connection:
            rows = connection.execute(select(table.c.payload).order_by(table.c.id)).all()
        return [json.loads(row.payload) for row in rows]

    def set_job(self, job: dict[str, Any]) -> None:
        """Says how far the curve job is.

        Args:
            job: `state` (idle or running), `done`, `total`, `eta_seconds`, `message`.
        """
        known = {key: job.get(key, value) for key, value in IDLE.items()}
        if known["state"] not in ("idle", "running"):
            raise LedgerError(f"a job is idle or running, got {known['state']!r}")
        note = _to_json({**known, **this_process(), "at": time.time()})
        with self._write() as connection:
            connection.execute(update(tables.state).values(job=note))

    def job(self) -> dict[str, Any]:
        """How far the curve job is; a job whose process has died is idle, and says so."""
        job, process = self._job_and_process()
        if job["state"] == "running" and is_over(process, elsewhere=False):
            return {**job, "state": "idle", "eta_seconds": None, "message": "The last job was interrupted."}
        return job

    def job_noted_at(self) -> float | None:
        """When that was noted last, in seconds since 1970; None before the first job, and where an older version did."""
        process = self._job_and_process()[1]
        return None if process is None else process.get("at")

    def close_unfinished_job(self, message: str, *, elsewhere: bool = False, living: bool = False) -> None:
        """Says that a job which a dead process left running is idle, and why.

        Args:
            elsewhere: also one whose process cannot be seen from here, such as another machine's.
            living: also that of a living one.
        """
        job, process = self._job_and_process()
        if job["state"] == "running" and (living or is_over(process, elsewhere=elsewhere)):
            self.set_job({**job, "state": "idle", "eta_seconds": None, "message": message})

    def _job_and_process(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        with self._read() as connection:
            note = connection.execute(select(tables.state.c.job)).scalar_one()
        if note is None:
            return dict(IDLE), None
        kept = json.loads(note)
        return {key: kept[key] for key in IDLE}, {key: kept[key] for key in kept.keys() - IDLE.keys()}


def _to_json(value: Any) -> str:
    try:
        return to_json(value)
    except TypeError as error:
        raise LedgerError(f"only JSON values can be kept in the ledger: {error}") from error
