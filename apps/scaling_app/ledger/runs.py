"""Runs and what they were observed to do.

An observation is *current* while it still speaks of today's labels: the label it was tested against is the
present one and free of doubts, and so are nine in ten of the labels that its run was trained on (for fewer
than ten: all of them). A single corrected contour thus does not throw a long curve away.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Select, and_, case, func, select, update
from sqlalchemy.dialects.sqlite import insert

from scaling_app.ledger import tables
from scaling_app.ledger.processes import is_over, this_process
from scaling_app.ledger.records import RUN_STATES, Observation, Run, utc_now
from scaling_app.ledger.store import LedgerError, Store
from scaling_app.storage import finite

CHANGED_SHARE = 0.1
"""The share of a run's training labels that may have changed before what it showed is out of date."""

_FACTS = [column for column in tables.runs.c if column.name != "process"]
"""The columns of a `Run`."""


_SEEN = [
    func.nullif(tables.observations.c.label_hash, "")
    if field.name == "label_hash"
    else tables.observations.c[field.name]
    for field in fields(Observation)
]
"""The columns of an `Observation`, in its order: tens of thousands of rows are read at once."""


class RunBook(Store):
    """The part of the ledger that knows trainings and their scores."""

    def start_run(self, run: Run) -> None:
        """Writes a run with the labels, as they are now, of the cases it trains on.

        A run of the same name that did not end as `done` is started over. It counts as this process's run.

        Raises:
            LedgerError: a finished run has that name, or the parent run is unknown.
        """
        with self._write(moves_forecast=run.state == "done") as connection:
            known = _state_of(connection, run.run_id)
            if known == "done":
                raise LedgerError(f"run {run.run_id!r} is done already; give the new one another name")
            if run.parent_run is not None and _state_of(connection, run.parent_run) is None:
                raise LedgerError(f"run {run.run_id!r} names an unknown parent run {run.parent_run!r}")
            values = {column.name: getattr(run, column.name) for column in _FACTS}
            values["process"] = json.dumps(this_process())
            connection.execute(
                insert(tables.runs)
                .values(**values)
                .on_conflict_do_update(index_elements=["run_id"], set_=values)
            )
            _write_training_set(connection, run)

    def finish_run(
        self,
        run_id: str,
        observations: Iterable[Observation] = (),
        state: str = "done",
        model_file: str | None = None,
        message: str | None = None,
        *,
        steps: int | None = None,
        ended: str | None = None,
        minutes: float | None = None,
    ) -> None:
        """Ends a run and writes what it was observed to do, in one transaction: both or neither.

        Raises:
            LedgerError: unknown run, one that ended before, or an observation of another run.
        """
        if state not in RUN_STATES or state == "running":
            raise LedgerError(f"a run ends as done, failed or stopped, got {state!r}")
        with self._write(moves_forecast=True) as connection:
            _expect_state(connection, run_id, ("running",))
            facts: dict[str, object] = {"state": state, "model_file": model_file, "message": message}
            facts |= {"finished_at": utc_now(), "steps": steps, "ended": ended, "minutes": minutes}
            connection.execute(update(tables.runs).where(tables.runs.c.run_id == run_id).values(**facts))
            _write_observations(connection, run_id, observations)

    def add_observations(self, run_id: str, observations: Iterable[Observation]) -> None:
        """Adds to a finished run what it was observed to do later (test-then-train), all or nothing.

        The same case, structure and kind tested against the same label replaces the earlier score.

        Raises:
            LedgerError: unknown run, or an observation of another run.
        """
        with self._write(moves_forecast=True) as connection:
            _expect_state(connection, run_id, ("done", "running"))
            _write_observations(connection, run_id, observations)

    def rename_structure(self, old: str, new: str) -> int:
        """Gives a structure its proper name in every observation; returns how many there were.

        For placeholders (`structure_2`) that an annotator names later: the label value stays the same.
        """
        table = tables.observations
        with self._write(moves_forecast=True) as connection:
            between = tables.agreements
            connection.execute(update(between).where(between.c.structure == old).values(structure=new))
            renamed = update(table).where(table.c.structure == old).values(structure=new)
            return connection.execute(renamed).rowcount

    def close_unfinished_runs(
        self, message: str = "interrupted", *, elsewhere: bool = False, living: bool = False
    ) -> int:
        """Marks the runs that a dead process left `running` as stopped; returns how many there were.

        Args:
            elsewhere: also those of processes that cannot be seen from here, such as another machine's.
            living: also those of living ones.
        """
        table = tables.runs

        def left(connection: Connection) -> list[str]:
            running = _running(connection).items()
            return [run_id for run_id, process in running if living or is_over(process, elsewhere=elsewhere)]

        with self._read() as connection:  # often asked, with nothing to write
            if not left(connection):
                return 0
        ended = {"state": "stopped", "message": message, "finished_at": utc_now()}
        with self._write() as connection:
            closing = update(table).where(table.c.run_id.in_(left(connection)))
            return connection.execute(closing.values(**ended)).rowcount

    def _run_processes(self) -> list[dict[str, Any] | None]:
        """The processes of the runs that have not ended; None for one that is not known."""
        with self._read() as connection:
            return list(_running(connection).values())

    def run(self, run_id: str) -> Run | None:
        """That run, or None."""
        found = self._runs(tables.runs.c.run_id == run_id)
        return found[0] if found else None

    def runs(self, purpose: str | None = None) -> list[Run]:
        """The runs, oldest first; all, or those of one purpose."""
        return self._runs(None if purpose is None else tables.runs.c.purpose == purpose)

    def observations(
        self,
        *,
        current: bool = True,
        kind: str | None = None,
        run_id: str | None = None,
    ) -> list[Observation]:
        """What runs were observed to do, in the order of writing.

        Args:
            current: only what still speaks of today's labels (see the module); False: everything.
            kind, run_id: only those.
        """
        table = tables.observations
        wanted = select(*_SEEN).order_by(table.c.id)
        if kind is not None:
            wanted = wanted.where(table.c.kind == kind)
        if run_id is not None:
            wanted = wanted.where(table.c.run_id == run_id)
        if current:
            wanted = _only_current(wanted)
        with self._read() as connection:
            rows = connection.execute(wanted).all()
        return [Observation(*row) for row in rows]

    def scored(self) -> list[tuple[str, str, str, str, float | None, float | None, bool]]:
        """Run, image, structure, kind, Dice, NSD and `assisted` of each current observation, in the order of writing.

        For a forecast, which reads all of them each time.
        """
        seen = tables.observations.c
        wanted = select(
            seen.run_id, seen.image_id, seen.structure, seen.kind, seen.dice, seen.nsd, seen.assisted
        )
        with self._read() as connection:
            rows: list[Any] = [*connection.execute(_only_current(wanted.order_by(seen.id)))]
        return rows

    def _runs(self, condition: Any) -> list[Run]:
        wanted = select(*_FACTS).order_by(tables.runs.c.started_at, tables.runs.c.run_id)
        members = select(tables.run_cases).order_by(tables.run_cases.c.position)
        if condition is not None:
            wanted = wanted.where(condition)
            members = members.join(tables.runs).where(condition)
        train_ids: dict[str, list[str]] = {}
        with self._read() as connection:
            for row in connection.execute(members):
                train_ids.setdefault(row.run_id, []).append(row.image_id)
            rows = connection.execute(wanted).mappings().all()
        return [Run(**row, train_ids=train_ids.get(row["run_id"], ())) for row in rows]


def _state_of(connection: Connection, run_id: str) -> str | None:
    return connection.execute(select(tables.runs.c.state).where(tables.runs.c.run_id == run_id)).scalar()


def _running(connection: Connection) -> dict[str, dict[str, Any] | None]:
    table = tables.runs
    rows = connection.execute(select(table.c.run_id, table.c.process).where(table.c.state == "running"))
    return {row.run_id: json.loads(row.process) if row.process else None for row in rows}


def _expect_state(connection: Connection, run_id: str, allowed: Sequence[str]) -> None:
    state = _state_of(connection, run_id)
    if state is None:
        raise LedgerError(f"there is no run {run_id!r}; start it first")
    if state not in allowed:
        raise LedgerError(f"run {run_id!r} is {state}; expected {' or '.join(allowed)}")


def _write_training_set(connection: Connection, run: Run) -> None:
    table = tables.run_cases
    connection.execute(table.delete().where(table.c.run_id == run.run_id))
    hashes = _present_hashes(connection)
    rows = [
        {"run_id": run.run_id, "position": k, "image_id": image_id, "label_hash": hashes.get(image_id)}
        for k, image_id in enumerate(run.train_ids)
    ]
    if rows:
        connection.execute(table.insert(), rows)


def _present_hashes(connection: Connection) -> dict[str, str]:
    rows = connection.execute(select(tables.cases.c.image_id, tables.cases.c.label_hash))
    return {row.image_id: row.label_hash for row in rows}


def _write_observations(connection: Connection, run_id: str, observations: Iterable[Observation]) -> None:
    hashes = _present_hashes(connection)
    rows = [_row(seen, run_id, hashes) for seen in observations]
    if rows:
        connection.execute(tables.observations.insert().prefix_with("OR REPLACE"), rows)


def _row(seen: Observation, run_id: str, hashes: Mapping[str, str]) -> dict[str, object]:
    if seen.run_id != run_id:
        raise LedgerError(f"an observation of run {seen.run_id!r} was given to run {run_id!r}")
    return {
        "run_id": run_id,
        "image_id": seen.image_id,
        "label_hash": seen.label_hash or hashes.get(seen.image_id, ""),
        "structure": seen.structure,
        "kind": seen.kind,
        "dice": finite(seen.dice),
        "nsd": finite(seen.nsd),
        "nsd_tolerance_mm": finite(seen.nsd_tolerance_mm),
        "hd95_mm": finite(seen.hd95_mm),
        "bce": finite(seen.bce),
        "missed": bool(seen.missed),
        "hallucinated": bool(seen.hallucinated),
        "assisted": bool(seen.assisted),
    }


def _only_current(wanted: Select[Any]) -> Select[Any]:
    seen, members, present = tables.observations, tables.run_cases, tables.cases
    unchanged = and_(
        present.c.label_hash.is_not_distinct_from(members.c.label_hash),
        members.c.image_id.not_in(tables.doubted),
    )
    stale_runs = (
        select(members.c.run_id)
        .outerjoin(present, present.c.image_id == members.c.image_id)
        .group_by(members.c.run_id)
        .having(func.sum(case((unchanged, 0), else_=1)) > CHANGED_SHARE * func.count())
    )
    tested = present.alias("tested")
    return (
        wanted.outerjoin(tested, tested.c.image_id == seen.c.image_id)
        .where(func.coalesce(tested.c.label_hash, "") == seen.c.label_hash)
        .where(seen.c.image_id.not_in(tables.doubted))
        .where(seen.c.run_id.not_in(stale_runs))
    )
