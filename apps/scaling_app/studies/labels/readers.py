"""Readers of the same case: who is asked for a second reading, and where each reader's label lies.

The case's own label is the newest one that somebody saved; trainings and tests rest on it. A second reading that was
asked for lies beside it and never takes its place: scores measured against the first label would no longer count, and
a mean of two labels is one that nobody drew. Where another person does replace a label, the one before is kept as its
reader's. So `labels/reader-<hash of the name>` holds what else was read.

A reading is *independent* when this server has sent its reader neither a prediction of the case nor another's label.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from scaling_app.ledger import Doubt, Reading, reader_of, utc_now
from scaling_app.studies.labels.checks import LabelError
from scaling_app.studies.labels.sent import parse_minutes
from scaling_app.studies.splits import random_order
from scaling_app.studies.studies import FINAL, ORIGINAL, Studies

TAG = "reader-"
"""Tags of labels that begin so are the server's own."""

COMPARABLE = "volume"
"""The kind of doubt that says how the readers differ, and not that one of them has gone astray."""

SECOND_SENTENCE = "Second reading: somebody else has drawn this case. Please draw it from nothing; it shows how far two readers agree."


def tag_of(reader: str) -> str:
    """The tag under which a reader's label lies that is not the case's own."""
    return TAG + hashlib.sha256(reader.encode()).hexdigest()[:12]


def by_image(readings: Iterable[Reading]) -> dict[str, list[Reading]]:
    """The saved readings of each image, oldest first."""
    found: dict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        if reading.label_hash is not None:
            found[reading.image_id].append(reading)
    return found


def is_independent(studies: Studies, image_id: str, reader: str, *, assisted: bool) -> bool:
    """Whether that reader saw neither a prediction nor somebody else's label, as far as this server knows."""
    return bool(reader) and not assisted and not studies.ledger.saw_label_of_others(image_id, reader)


def lies_beside(studies: Studies, image_id: str, reader: str) -> bool:
    """Whether what that reader sends now is the second reading that was asked for, and no correction of the first."""
    reading = studies.ledger.reading(image_id, reader) if reader else None
    if reading is None or reading.asked_at is None or not studies.has_label(image_id):
        return False
    case = studies.ledger.case(image_id)
    drawn_by = "" if case is None else reader_of(case.annotator)
    return drawn_by != reader and not studies.ledger.saw_label_of_others(image_id, reader, surely=True)


def is_being_read(studies: Studies, image_id: str, reader: str) -> bool:
    """Whether that reader was asked for a second reading and has not sent it: nothing is to be shown till then."""
    reading = studies.ledger.reading(image_id, reader) if reader else None
    return reading is not None and reading.asked_at is not None and reading.label_hash is None


def keep_replaced(studies: Studies, image_id: str, reader: str) -> None:
    """Before a reader's label takes the place of the case's own: keeps that one under its reader's tag.

    Not where the same reader only corrects it, unless it was drawn alone and the new one may not be.

    Raises:
        OSError: it could not be kept; nothing has changed.
    """
    case, label = studies.ledger.case(image_id), studies.stored_label(image_id)
    drawn_by = "" if case is None else reader_of(case.annotator)
    if not drawn_by or label is None:
        return
    if drawn_by == reader and not studies.ledger.saw_label_of_others(image_id, reader):
        return
    reading = studies.ledger.reading(image_id, drawn_by)
    if reading is not None and case is not None and reading.label_hash != case.label_hash:
        return  # what that reader drew alone lies there already
    info = studies.datastore.get_label_info(image_id, FINAL)
    studies.save_label(image_id, label, tag_of(drawn_by), info)


def store_beside(
    studies: Studies,
    image_id: str,
    path: Path,
    label_hash: str,
    params: Mapping[str, object],
    reader: str,
    doubts: Sequence[Doubt],
    *,
    assisted: bool,
) -> str:
    """Takes a second reading, which leaves the case's own label where it is and ends its reader's lease; returns the label's id.

    Raises:
        LabelError: something about it is doubted but how much it holds; nothing was stored.
        OSError: it could not be stored; the reading before is in place.
    """
    if unfit := next((doubt for doubt in doubts if doubt.kind != COMPARABLE), None):
        raise LabelError(f"A second reading has to be compared with the first. {unfit.sentence}")
    label_id = studies.save_label(image_id, path, tag_of(reader), params)
    alone = is_independent(studies, image_id, reader, assisted=assisted)
    minutes = parse_minutes(params.get("minutes"))
    with studies.ledger.at_once():
        studies.ledger.save_reading(
            Reading(image_id, reader, label_hash, utc_now(), independent=alone, minutes=minutes)
        )
        studies.leases.end(image_id, reader)
    return label_id


def reader_with(studies: Studies, image_id: str, tag: str) -> str | None:
    """Whose label of that image lies under a tag; None for nobody's known."""
    return next((one.reader for one in studies.ledger.readings(image_id) if tag_of(one.reader) == tag), None)


def second_reading_for(studies: Studies, reader: str, client: str | None) -> str | None:
    """The labelled case that this reader is to read now; None when no second reading is due, or none by this reader.

    Due are as many cases as `second_readers` says of those that are labelled. They are taken in the session's random
    order from those that another known person drew alone.

    Args:
        reader: who asks.
        client: what that reader's predictions went to.
    """
    share, ledger = studies.conf.second_readers, studies.ledger
    if not reader or share <= 0:
        return None
    cases = {case.image_id: case for case in ledger.usable_cases()}
    readings = ledger.readings()
    saved, held = by_image(readings), studies.leases.held()
    twice = {image for image, found in saved.items() if sum(one.independent for one in found) > 1}
    asked = {reading.image_id for reading in readings if reading.asked_at and reading.label_hash is None}
    waiting = {image for image in asked & held.keys() if not held[image].ended}
    if len((twice | waiting) & cases.keys()) >= math.floor(share * len(cases) + 1e-9):
        return None
    mine = {image for image, found in saved.items() if any(one.reader == reader for one in found)}
    mine |= {image for image, lease in held.items() if lease.reader == reader}
    for image in random_order(cases.keys() - twice - waiting - mine, studies.conf.seed):
        first = next((one for one in saved.get(image, ()) if one.label_hash == cases[image].label_hash), None)
        if first is None or not first.independent or not studies.has_label(image, FINAL):
            continue
        seen = ledger.was_exposed(image, client) or studies.has_label(image, ORIGINAL)
        if not seen and not ledger.saw_label_of_others(image, reader):
            return image
    return None
