"""What is remembered of each present label: which file it was when it was read, and what it held.

A look at two thousand labels then costs two thousand `stat` calls. A note that is missing or another label's (two
processes wrote at once, an older version kept none) costs one more reading of that label, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scaling_app.imaging.geometry import ImageError
from scaling_app.ledger import Case, Flag, Ledger
from scaling_app.monai_app.label_facts import LabelFacts
from scaling_app.trials.fingerprint import file_stamp

_SETTING = "label_notes"

RECORDED_LATER = Flag(
    "recorded_later",
    "The label is stored. The server could not note it in its ledger, and will as soon as it can; it need not be sent "
    "again.",
)

Stamp = tuple[str, int, int]
"""Path, time of change in ns, and size in bytes of a file; another stamp may be another content."""


def stamp_of(path: Path) -> Stamp | None:
    """The file's stamp; None when there is no such file."""
    try:
        return str(path), *file_stamp(path)
    except ImageError:
        return None


@dataclass(frozen=True)
class LabelNote:
    """What a label held.

    Attributes:
        volumes_ml: volume per label value, ml; empty for what cannot be read or is no label map.
        named: names that came with the label, and their values.
        stamp: the file's when it was read; None when nobody knows.
        label_hash: which label it was; None in notes of older versions.
    """

    volumes_ml: Mapping[int, float]
    named: tuple[tuple[str, int], ...]
    stamp: Stamp | None
    label_hash: str | None

    def may_be_of(self, case: Case) -> bool:
        """Whether it tells of the case's present label, as far as it says of which it tells."""
        return self.label_hash in (None, case.label_hash)


def note_of(
    facts: LabelFacts, sent: Iterable[tuple[str, int]], flags: Sequence[Flag], stamp: Stamp | None
) -> LabelNote:
    """The note of a label; of an image taken for one, only the stamp: it may hold thousands of values."""
    if is_no_label_map(flags):
        return LabelNote({}, (), stamp, facts.label_hash)
    return LabelNote(volumes_ml(facts), tuple(sent), stamp, facts.label_hash)


def volumes_ml(facts: LabelFacts) -> dict[int, float]:
    """Volume per label value, ml, as it is noted."""
    return {value: float(f"{count * facts.grid.voxel_ml:.6g}") for value, count in facts.counts.items()}


def is_no_label_map(flags: Sequence[Flag]) -> bool:
    """Whether the doubts say that this is an image and no label."""
    return any(flag.kind == "not_a_label_map" for flag in flags)


class LabelNotes:
    """The notes in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def all(self) -> dict[str, LabelNote]:
        """Image id -> note."""
        return {
            image_id: LabelNote(
                {int(value): ml for value, ml in note["ml"].items()},
                tuple((name, value) for name, value in note["named"]),
                tuple(note["stamp"]) if note["stamp"] else None,
                note.get("hash"),
            )
            for image_id, note in self._stored().items()
        }

    def keep(self, notes: Mapping[str, LabelNote]) -> None:
        """Writes notes, new or again."""
        if notes:
            rows = {
                image_id: {
                    "ml": dict(note.volumes_ml),
                    "named": note.named,
                    "stamp": note.stamp,
                    "hash": note.label_hash,
                }
                for image_id, note in notes.items()
            }
            self._ledger.set_setting(_SETTING, {**self._stored(), **rows})

    def forget(self, images: Iterable[str]) -> None:
        """Removes the notes of these images."""
        gone = set(images)
        stored = self._stored()
        self._ledger.set_setting(_SETTING, {i: note for i, note in stored.items() if i not in gone})

    def _stored(self) -> dict[str, dict]:
        return dict(self._ledger.setting(_SETTING, {}))
