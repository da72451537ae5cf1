"""Settings, forecasts and the state of the curve job: small JSON values beside the facts."""

from __future__ import annotations

import json
import math
import os
import socket
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from scaling_app.ledger import tables
from scaling_app.ledger.records import utc_now
from scaling_app.ledger.store import LedgerError, Store

KEPT_FORECASTS = 1000

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

        Of the forecasts made at one number of cases (`n_in_curve`) the newest stays.
        """
        table = tables.forecasts
        with self._write() as connection:
            if revision is None:
                revision = connection.execute(select(tables.state.c.revision)).scalar_one()
            row = {"revision": revision, "made_at": utc_now(), "payload": _to_json(payload)}
            newest = connection.execute(table.insert().values(**row)).inserted_primary_key[0]
            outdated = table.c.id <= newest - KEPT_FORECASTS
            if payload.get("n_in_curve") is not None:
                size = func.json_extract(table.c.payload, "$.n_in_curve")
                outdated |= (table.c.id < newest) & (size == payload["n_in_curve"])
            connection.execute(delete(table).where(outdated))

    def latest_forecast(self) -> tuple[dict[str, Any], int] | None:
        """The forecast made from the newest revision, with that revision; None before the first one."""
        table = tables.forecasts
        newest = select(table).order_by(table.c.revision.desc(), table.c.id.desc()).limit(1)
        with self._read() as connection:
            row = connection.execute(newest).first()
        return None if row is None else (json.loads(row.payload), row.revision)

    def forecasts(self) -> list[dict[str, Any]]:
        """The forecasts made so far, oldest first: what was promised, to hold against what came."""
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
        note = _to_json({**known, "host": socket.gethostname(), "pid": os.getpid()})
        with self._write() as connection:
            connection.execute(update(tables.state).values(job=note))

    def job(self) -> dict[str, Any]:
        """How far the curve job is; a job whose process has died is idle, and says so."""
        with self._read() as connection:
            note = connection.execute(select(tables.state.c.job)).scalar_one()
        if note is None:
            return dict(IDLE)
        job = json.loads(note)
        alive = _may_be_alive(job.pop("host"), job.pop("pid"))
        if job["state"] == "running" and not alive:
            return {**job, "state": "idle", "eta_seconds": None, "message": "The last job was interrupted."}
        return job


def _to_json(value: Any) -> str:
    try:
        return json.dumps(_finite(value), allow_nan=False, ensure_ascii=False)
    except TypeError as error:
        raise LedgerError(f"only JSON values can be kept in the ledger: {error}") from error


def _finite(value: Any) -> Any:
    """The same value with None for every NaN and infinity."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _may_be_alive(host: str, pid: int) -> bool:
    if host != socket.gethostname() or os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
