"""What is remembered of each present label: which file it was when it was read, and what it held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scaling_app.ledger import Doubt, LabelNote, Stamp
from scaling_app.studies.labels.contents import LabelContent

RECORDED_LATER = Doubt(
    "recorded_later",
    "The label is stored. The server could not note it in its ledger, and will as soon as it can; it need not be sent "
    "again.",
)


def note_of(
    facts: LabelContent, sent: Iterable[tuple[str, int]], doubts: Sequence[Doubt], stamp: Stamp | None
) -> LabelNote:
    """The note of a label; of an image taken for one, only the stamp: it may hold thousands of values."""
    if is_no_label_map(doubts):
        return LabelNote({}, (), stamp, facts.label_hash)
    return LabelNote(volumes_ml(facts), tuple(sent), stamp, facts.label_hash)


def volumes_ml(facts: LabelContent) -> dict[int, float]:
    """Volume per label value, ml, as it is noted."""
    return {value: float(f"{count * facts.grid.voxel_ml:.6g}") for value, count in facts.counts.items()}


def is_no_label_map(doubts: Sequence[Doubt]) -> bool:
    """Whether the doubts say that this is an image and no label."""
    return any(doubt.kind == "not_a_label_map" for doubt in doubts)
