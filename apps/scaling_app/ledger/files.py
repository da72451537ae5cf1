"""What was found in files and is remembered, so that the same file is not read again.

A look at two thousand labels then costs two thousand `stat` calls. What is missing here costs one more reading.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Select, Table, delete, func, select, true
from sqlalchemy.dialects.sqlite import insert

from scaling_app.ledger import tables
from scaling_app.ledger.records import LabelNote, PoolCase, ShapeCoverage
from scaling_app.ledger.store import Store
from scaling_app.storage import to_json


class FileBook(Store):
    """The part of the ledger that remembers files: labels, images, the curve's cases, the pool's shapes."""

    def label_notes(self, image_id: str | None = None) -> dict[str, LabelNote]:
        """Image id -> what its label held; of one image, or of all."""
        volumes: dict[str, dict[int, float]] = defaultdict(dict)
        named: dict[str, list[tuple[str, int]]] = defaultdict(list)
        names = tables.label_names

        def wanted(table: Table) -> Select[Any]:
            return select(table).where(true() if image_id is None else table.c.image_id == image_id)

        with self._read() as connection:
            for row in connection.execute(wanted(tables.label_volumes)):
                volumes[row.image_id][row.value] = row.ml
            for row in connection.execute(wanted(names).order_by(names.c.image_id, names.c.position)):
                named[row.image_id].append((row.name, row.value))
            rows = connection.execute(wanted(tables.label_notes)).all()
        return {
            row.image_id: LabelNote(
                volumes_ml=volumes.get(row.image_id, {}),
                named=tuple(named.get(row.image_id, ())),
                stamp=None if row.path is None else (row.path, row.changed_ns, row.bytes),
                label_hash=row.label_hash,
            )
            for row in rows
        }

    def usable_volumes(self, *, but: str) -> dict[int, list[float]]:
        """Label value -> its volumes in the labels of usable cases, ml; one image's left aside."""
        table, cases = tables.label_volumes, tables.cases
        wanted = (
            select(table.c.value, table.c.ml)
            .join(cases, cases.c.image_id == table.c.image_id)
            .where(table.c.image_id != but, table.c.image_id.not_in(tables.doubted))
        )
        volumes: dict[int, list[float]] = defaultdict(list)
        with self._read() as connection:
            for row in connection.execute(wanted):
                volumes[row.value].append(row.ml)
        return dict(volumes)

    def keep_label_notes(self, notes: Mapping[str, LabelNote]) -> None:
        """Writes notes, new or again, in one transaction."""
        if not notes:
            return
        volumes, names = tables.label_volumes, tables.label_names
        with self._write() as connection:
            connection.execute(delete(tables.label_notes).where(tables.label_notes.c.image_id.in_(notes)))
            for image_id, note in notes.items():
                path, changed_ns, size = note.stamp or (None, None, None)
                connection.execute(
                    tables.label_notes.insert().values(
                        image_id=image_id,
                        label_hash=note.label_hash,
                        path=path,
                        changed_ns=changed_ns,
                        bytes=size,
                    )
                )
                if note.volumes_ml:
                    rows = [
                        {"image_id": image_id, "value": v, "ml": float(ml)}
                        for v, ml in note.volumes_ml.items()
                    ]
                    connection.execute(volumes.insert(), rows)
                if note.named:
                    pairs = [
                        {"image_id": image_id, "position": i, "name": name, "value": value}
                        for i, (name, value) in enumerate(note.named)
                    ]
                    connection.execute(names.insert(), pairs)

    def forget_label_notes(self, images: Iterable[str]) -> None:
        """Removes the notes of these images."""
        with self._write() as connection:
            connection.execute(
                delete(tables.label_notes).where(tables.label_notes.c.image_id.in_(list(images)))
            )

    def checked_images(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Image id -> stamp of the file that was opened, and what was found in it (JSON values)."""
        with self._read() as connection:
            rows = connection.execute(select(tables.checked_images)).all()
        return {row.image_id: (row.stamp, json.loads(row.facts)) for row in rows}

    def count_checked_images(self) -> int:
        """How many images were opened so far."""
        with self._read() as connection:
            return connection.execute(select(func.count()).select_from(tables.checked_images)).scalar_one()

    def note_checked_images(self, found: Mapping[str, tuple[str, Mapping[str, Any]]]) -> None:
        """Remembers images that were opened, and what was found in them."""
        if not found:
            return
        statement = insert(tables.checked_images)
        newer = {name: statement.excluded[name] for name in ("stamp", "facts")}
        statement = statement.on_conflict_do_update(index_elements=["image_id"], set_=newer)
        with self._write() as connection:
            connection.execute(
                statement,
                [
                    {"image_id": i, "stamp": stamp, "facts": to_json(facts)}
                    for i, (stamp, facts) in found.items()
                ],
            )

    def curve_blocks(self) -> dict[int, list[str]]:
        """Curve size -> the images that its runs are made of."""
        table = tables.curve_blocks
        blocks: dict[int, list[str]] = defaultdict(list)
        with self._read() as connection:
            for row in connection.execute(select(table).order_by(table.c.curve_size, table.c.position)):
                blocks[row.curve_size].append(row.image_id)
        return dict(blocks)

    def set_curve_block(self, curve_size: int, images: Sequence[str]) -> None:
        """Fixes the images that a curve size's runs are made of."""
        table = tables.curve_blocks
        with self._write() as connection:
            connection.execute(delete(table).where(table.c.curve_size == curve_size))
            rows = [
                {"curve_size": curve_size, "position": i, "image_id": image} for i, image in enumerate(images)
            ]
            if rows:
                connection.execute(table.insert(), rows)

    def shape_coverage(self) -> ShapeCoverage | None:
        """How the shapes of unlabelled images compare with the labelled ones, as last computed; None before that."""
        cases = tables.coverage_cases
        with self._read() as connection:
            row = connection.execute(select(tables.coverage)).first()
            rows = connection.execute(select(cases).order_by(cases.c.position)).all()
        if row is None:
            return None
        looked_at = tuple(PoolCase(case.image_id, case.distance, case.outside) for case in rows)
        return ShapeCoverage(row.made_from, row.complete, row.model, row.n_labelled, looked_at)

    def set_shape_coverage(self, found: ShapeCoverage) -> None:
        """Keeps a comparison in place of the one before."""
        with self._write() as connection:
            connection.execute(delete(tables.coverage))
            connection.execute(delete(tables.coverage_cases))
            connection.execute(
                tables.coverage.insert().values(
                    id=1,
                    made_from=found.made_from,
                    complete=found.complete,
                    model=found.model,
                    n_labelled=found.n_labelled,
                )
            )
            rows = [
                {"position": i, "image_id": case.image, "distance": case.distance, "outside": case.outside}
                for i, case in enumerate(found.cases)
            ]
            if rows:
                connection.execute(tables.coverage_cases.insert(), rows)
