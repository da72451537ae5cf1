"""Who has read which case, how far two readers of a case agree, and in whose hands a case is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert

from scaling_app.ledger import tables
from scaling_app.ledger.records import Lease, Reading, ReadingScore, reader_of, utc_now
from scaling_app.ledger.store import Store


class ReadingBook(Store):
    """The part of the ledger that knows readers."""

    def save_reading(self, reading: Reading) -> None:
        """Writes a reader's label of a case that is not the case's own; what was asked stays asked."""
        with self._write(moves_forecast=True) as connection:
            keep_reading(connection, reading, whatever=True)

    def ask_reading(self, image_id: str, reader: str) -> None:
        """Notes that a reader was asked for a second reading; the first time counts."""
        table = tables.readings
        row = insert(table).values(image_id=image_id, reader=reader, asked_at=utc_now(), independent=False)
        with self._write() as connection:
            connection.execute(row.on_conflict_do_nothing())

    def readings(self, image_id: str | None = None) -> list[Reading]:
        """Every reading, asked or saved, of one image or of all; those of an image oldest first."""
        table = tables.readings
        wanted = select(table).order_by(table.c.image_id, table.c.saved_at, table.c.reader)
        if image_id is not None:
            wanted = wanted.where(table.c.image_id == image_id)
        with self._read() as connection:
            return [Reading(**row) for row in connection.execute(wanted).mappings()]

    def reading(self, image_id: str, reader: str) -> Reading | None:
        """What that reader was asked, or saved, of that image."""
        return next((found for found in self.readings(image_id) if found.reader == reader), None)

    def forget_reading(self, image_id: str, reader: str) -> None:
        """Forgets what that reader read, or was asked."""
        table = tables.readings
        with self._write(moves_forecast=True) as connection:
            connection.execute(
                delete(table).where((table.c.image_id == image_id) & (table.c.reader == reader))
            )

    def note_reading_minutes(self, image_id: str, reader: str, minutes: float) -> None:
        """Active annotation time of a reading that was asked for."""
        table = tables.readings
        mine = (table.c.image_id == image_id) & (table.c.reader == reader)
        with self._write() as connection:
            connection.execute(table.update().where(mine).values(minutes=minutes))

    def saw_label_of_others(self, image_id: str, reader: str, *, surely: bool = False) -> bool:
        """Whether somebody else's label of that image was sent to that reader.

        Args:
            surely: else whoever is unknown may have been that reader.
        """
        table = tables.exposures
        shown = select(table.c.client, table.c.label_by).where(
            (table.c.image_id == image_id) & table.c.label_by.is_not(None)
        )
        to = (reader,) if surely else ("", reader)
        with self._read() as connection:
            found = [(reader_of(row.client), reader_of(row.label_by)) for row in connection.execute(shown)]
        return any((client in to or not reader) and drawn_by != reader for client, drawn_by in found)

    def keep_reading_scores(self, image_id: str, found: Sequence[ReadingScore]) -> None:
        """Writes how far the readers of an image agree, in the place of what was known of it."""
        table = tables.agreements
        with self._write(moves_forecast=True) as connection:
            connection.execute(delete(table).where(table.c.image_id == image_id))
            if found:
                connection.execute(insert(table), [asdict(one) for one in found])

    def reading_scores(self) -> list[ReadingScore]:
        """How far the readers of each image agree."""
        table = tables.agreements
        ordered = select(table).order_by(table.c.image_id, table.c.reader, table.c.structure)
        with self._read() as connection:
            return [ReadingScore(**row) for row in connection.execute(ordered).mappings()]

    def keep_lease(self, lease: Lease) -> None:
        """Writes into whose hands a case was given, or that it was given back."""
        values = asdict(lease)
        row = insert(tables.leases).values(**values)
        with self._write() as connection:
            connection.execute(row.on_conflict_do_update(index_elements=["image_id"], set_=values))

    def leases(self) -> list[Lease]:
        """The last lease of every case."""
        with self._read() as connection:
            return [Lease(**row) for row in connection.execute(select(tables.leases)).mappings()]


def keep_reading(connection: Connection, reading: Reading, *, whatever: bool = False) -> None:
    """Writes what a reader saved; when it was asked, and minutes that came before, stay.

    Args:
        whatever: else an independent reading stays in the place of one that is not: who has looked at another's label
            and corrects their own has still read the case alone before.
    """
    table, values = tables.readings, asdict(reading)
    new = {key: values[key] for key in ("label_hash", "saved_at", "independent")}
    if reading.minutes is not None:
        new["minutes"] = reading.minutes
    row = insert(table).values(**values)
    better = None if whatever or reading.independent else table.c.independent.is_(False)
    connection.execute(
        row.on_conflict_do_update(index_elements=["image_id", "reader"], set_=new, where=better)
    )
