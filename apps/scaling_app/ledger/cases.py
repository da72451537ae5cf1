"""Cases, their labels through time, doubts, exposure to predictions, and assignments made once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, Table, and_, delete, func, or_, select, update
from sqlalchemy.dialects.sqlite import insert

from scaling_app.ledger import tables
from scaling_app.ledger.readings import keep_reading
from scaling_app.ledger.records import (
    LASTING_DOUBTS,
    MOST_MINUTES,
    Case,
    Doubt,
    LabelVersion,
    Reading,
    reader_of,
    utc_now,
)
from scaling_app.ledger.store import LedgerError, Store


class CaseBook(Store):
    """The part of the ledger that knows images and their labels."""

    def save_case(self, case: Case, *, independent: bool = False) -> None:
        """Writes a case, new or again.

        Another label hash starts a new version: the old one stays in the history, and observations made
        on it are no longer current. A doubt that was confirmed for this very label stays confirmed.
        `minutes=None` says nothing new: minutes sent earlier are kept. Where the annotator is known, it is that
        reader's newest reading.

        Args:
            independent: as in `Reading`.

        Raises:
            LedgerError: minutes or sampling weight negative or not finite, or minutes above `MOST_MINUTES`.
        """
        _check_amount("minutes", case.minutes, MOST_MINUTES)
        _check_amount("sampling_weight", case.sampling_weight)
        with self._write(moves_forecast=True) as connection:
            _save_label_version(connection, case)
            _upsert(
                connection,
                tables.cases,
                image_id=case.image_id,
                label_hash=case.label_hash,
                saved_at=case.saved_at,
                patient=case.patient,
                annotator=case.annotator,
                blind=bool(case.blind),
                assisted=bool(case.assisted),
                sampling_weight=None if case.sampling_weight is None else float(case.sampling_weight),
            )
            if case.minutes is not None:
                _upsert(connection, tables.minutes, image_id=case.image_id, minutes=float(case.minutes))
            _replace_doubts(connection, case.image_id, case.label_hash, case.doubts, case.saved_at)
            if reader := reader_of(case.annotator):
                read = Reading(case.image_id, reader, case.label_hash, case.saved_at, independent=independent)
                keep_reading(connection, read)

    def case(self, image_id: str) -> Case | None:
        """The case of that image, or None when it has no label."""
        found = self._cases(image_id)
        return found[0] if found else None

    def cases(self) -> list[Case]:
        """Every labelled case, in the order in which they were first labelled."""
        return self._cases(None)

    def usable_cases(self) -> list[Case]:
        """The cases without an open doubt: those that curves are made of."""
        return [case for case in self.cases() if not case.doubts]

    def count_usable(self, *, but: str) -> int:
        """How many cases are usable, one image's left aside."""
        table = tables.cases
        usable = (table.c.image_id != but) & table.c.image_id.not_in(tables.doubted)
        with self._read() as connection:
            found = connection.execute(select(func.count()).select_from(table).where(usable))
            return int(found.scalar_one())

    def set_doubts(self, image_id: str, label_hash: str, doubts: Sequence[Doubt]) -> bool:
        """Writes other doubts about a label; False, and nothing, when the case has another label by now.

        For a second look at a label, which may take long: whatever else was saved of the case meanwhile stays.
        """
        with self._write(moves_forecast=True) as connection:
            present = select(tables.cases.c.label_hash).where(tables.cases.c.image_id == image_id)
            if connection.execute(present).scalar() != label_hash:
                return False
            _replace_doubts(connection, image_id, label_hash, doubts, utc_now())
            return True

    def rename_patients(self, names: Mapping[str, str]) -> None:
        """Gives the cases of some patients to others: who has been two is one."""
        table = tables.cases
        with self._write(moves_forecast=True) as connection:
            for patient, name in names.items():
                mine = (table.c.patient == patient) & (table.c.patient != name)
                connection.execute(update(table).where(mine).values(patient=name))

    def remove_case(self, image_id: str) -> bool:
        """Forgets the present label of a case; its history stays. Says whether there was one."""
        with self._write(moves_forecast=True) as connection:
            _close_label_version(connection, image_id, utc_now())
            gone = connection.execute(delete(tables.cases).where(tables.cases.c.image_id == image_id))
            return gone.rowcount > 0

    def label_history(self, image_id: str) -> list[LabelVersion]:
        """Every label that image ever had, oldest first."""
        table = tables.labels
        with self._read() as connection:
            rows = connection.execute(select(table).where(table.c.image_id == image_id).order_by(table.c.id))
            return [
                LabelVersion(r.image_id, r.label_hash, r.saved_at, r.replaced_at, r.annotator, r.assisted)
                for r in rows
            ]

    def set_minutes(self, image_id: str, minutes: float) -> None:
        """Records active annotation time; it may come before the label does.

        Raises:
            LedgerError: negative, or above `MOST_MINUTES`.
        """
        _check_amount("minutes", minutes, MOST_MINUTES)
        with self._write(moves_forecast=True) as connection:
            _upsert(connection, tables.minutes, image_id=image_id, minutes=float(minutes))

    def confirm_label(self, image_id: str) -> int:
        """Closes the open doubts about that case, but for `LASTING_DOUBTS`; returns how many were closed."""
        table = tables.doubts
        with self._write(moves_forecast=True) as connection:
            open_doubts = (table.c.image_id == image_id) & table.c.confirmed_at.is_(None)
            open_doubts &= table.c.kind.not_in(LASTING_DOUBTS)
            return connection.execute(
                update(table).where(open_doubts).values(confirmed_at=utc_now())
            ).rowcount

    def note_exposure(
        self, image_id: str, client: str | None, at: datetime, *, label_by: str | None = None
    ) -> None:
        """A prediction for that image went to that viewer (None: an unknown one); the first time is kept.

        Whoever looks need not wait for the disk: a label that is saved later is not there without this (`kept_soon`).

        Args:
            label_by: it was no prediction but the label of that reader (empty: of an unknown one).
        """
        table = tables.exposures
        row = {"image_id": image_id, "client": client, "label_by": label_by}
        same = and_(*(table.c[name].is_not_distinct_from(value) for name, value in row.items()))
        with self._read() as connection:
            if connection.execute(select(table.c.id).where(same).limit(1)).first() is not None:
                return
        with self.kept_soon(), self._write() as connection:
            connection.execute(table.insert().values(at=at, **row))

    def was_exposed(self, image_id: str, client: str | None, before: datetime | None = None) -> bool:
        """Whether that viewer may have had a prediction of that image on screen, before that time where one is given.

        An unknown viewer, on either side, counts as the same one: doubt makes a label assisted.
        """
        table = tables.exposures
        condition = (table.c.image_id == image_id) & table.c.label_by.is_(None)
        if before is not None:
            condition &= table.c.at < before
        if client is not None:
            condition &= or_(table.c.client == client, table.c.client.is_(None))
        with self._read() as connection:
            return connection.execute(select(table.c.id).where(condition).limit(1)).first() is not None

    def assign_blind(self, image_id: str, blind: bool) -> bool:
        """Decides once and for ever whether a case is to be labelled blind; returns the decision in force."""
        table = tables.blind_assignments
        return bool(self._assign_once(table, image_id=image_id, blind=bool(blind)))

    def is_blind(self, image_id: str) -> bool | None:
        """The decision made for that case, or None."""
        table = tables.blind_assignments
        with self._read() as connection:
            return connection.execute(select(table.c.blind).where(table.c.image_id == image_id)).scalar()

    def set_blind(self, image_id: str, blind: bool) -> None:
        """What the viewer says of how a case is or was labelled; a prediction on screen overrules it.

        Before the label is saved this is an assignment, and the first one holds.
        """
        self.assign_blind(image_id, blind)
        table = tables.cases
        with self._write(moves_forecast=True) as connection:
            told = table.c.assisted.is_(False) if blind else False
            connection.execute(update(table).where(table.c.image_id == image_id).values(blind=told))

    def note_sampling_weight(self, image_id: str, weight: float) -> None:
        """An image was served, picked with a probability that was 1 / weight of that of a random pick.

        The last time counts; the weight joins the case when its label is saved.

        Raises:
            LedgerError: not above zero, or not finite.
        """
        if not (math.isfinite(weight) and weight > 0):
            raise LedgerError(f"a sampling weight must be a number above 0, got {weight!r}")
        with self._write() as connection:
            _upsert(connection, tables.sampling_weights, image_id=image_id, weight=float(weight))

    def sampling_weight(self, image_id: str) -> float | None:
        """The weight noted when that image was last served, or None."""
        table = tables.sampling_weights
        with self._read() as connection:
            return connection.execute(select(table.c.weight).where(table.c.image_id == image_id)).scalar()

    def assign_role(self, patient: str, role: str) -> str:
        """Gives a patient (or image) a role for ever, unless there is one; returns the role in force."""
        return str(self._assign_once(tables.roles, patient=patient, role=role))

    def role(self, patient: str) -> str | None:
        """The role of that patient (or image), or None."""
        table = tables.roles
        with self._read() as connection:
            return connection.execute(select(table.c.role).where(table.c.patient == patient)).scalar()

    def roles(self) -> dict[str, str]:
        """Every role given so far."""
        with self._read() as connection:
            return {row.patient: row.role for row in connection.execute(select(tables.roles))}

    def _assign_once(self, table: Table, **values: object) -> object:
        key, value = table.c[0], table.c[1]
        with self._write() as connection:
            connection.execute(insert(table).values(**values).on_conflict_do_nothing())
            return connection.execute(select(value).where(key == values[key.name])).scalar_one()

    def _cases(self, image_id: str | None) -> list[Case]:
        first_saved = (
            select(tables.labels.c.id)
            .where(tables.labels.c.image_id == tables.cases.c.image_id)
            .order_by(tables.labels.c.id)
            .limit(1)
            .scalar_subquery()
        )
        wanted = (
            select(tables.cases, tables.minutes.c.minutes)
            .outerjoin(tables.minutes, tables.minutes.c.image_id == tables.cases.c.image_id)
            .order_by(first_saved)
        )
        table = tables.doubts
        still_open = select(table).where(table.c.confirmed_at.is_(None)).order_by(table.c.id)
        if image_id is not None:
            wanted = wanted.where(tables.cases.c.image_id == image_id)
            still_open = still_open.where(table.c.image_id == image_id)
        doubts: dict[str, list[Doubt]] = {}
        with self._read() as connection:
            for row in connection.execute(still_open):
                doubts.setdefault(row.image_id, []).append(Doubt(row.kind, row.sentence))
            rows = connection.execute(wanted).mappings().all()
        return [Case(**row, doubts=tuple(doubts.get(row["image_id"], ()))) for row in rows]


def _check_amount(name: str, value: float | None, most: float = math.inf) -> None:
    if value is not None and not (math.isfinite(value) and 0 <= value <= most):
        range_ = f"from 0 to {most:g}" if math.isfinite(most) else "of at least 0"
        raise LedgerError(f"{name} must be a number {range_}, got {value!r}")


def _upsert(connection: Connection, table: Table, **values: object) -> None:
    """Inserts a row, or updates the one with the same first column."""
    key = table.c[0].name
    others = {name: value for name, value in values.items() if name != key}
    statement = insert(table).values(**values).on_conflict_do_update(index_elements=[key], set_=others)
    connection.execute(statement)


def _close_label_version(connection: Connection, image_id: str, at: datetime) -> None:
    table = tables.labels
    present = (table.c.image_id == image_id) & table.c.replaced_at.is_(None)
    connection.execute(update(table).where(present).values(replaced_at=at))


def _save_label_version(connection: Connection, case: Case) -> None:
    present = select(tables.cases.c.label_hash).where(tables.cases.c.image_id == case.image_id)
    if connection.execute(present).scalar() == case.label_hash:
        return
    _close_label_version(connection, case.image_id, case.saved_at)
    connection.execute(
        tables.labels.insert().values(
            image_id=case.image_id,
            label_hash=case.label_hash,
            saved_at=case.saved_at,
            annotator=case.annotator,
            assisted=bool(case.assisted),
        )
    )


def _replace_doubts(
    connection: Connection, image_id: str, label_hash: str, doubts: Sequence[Doubt], at: datetime
) -> None:
    """The doubts given are the open ones now, except those confirmed for this very label."""
    table = tables.doubts
    mine = table.c.image_id == image_id
    connection.execute(delete(table).where(mine & table.c.confirmed_at.is_(None)))
    confirmed = select(table.c.kind, table.c.sentence).where(mine & (table.c.label_hash == label_hash))
    known = {(row.kind, row.sentence) for row in connection.execute(confirmed)}
    for doubt in doubts:
        if doubt.kind in LASTING_DOUBTS or (doubt.kind, doubt.sentence) not in known:
            connection.execute(
                table.insert().values(
                    image_id=image_id,
                    label_hash=label_hash,
                    kind=doubt.kind,
                    sentence=doubt.sentence,
                    raised_at=at,
                )
            )
