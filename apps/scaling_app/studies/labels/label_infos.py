"""What the index of a studies folder said of its labels, from the ledger, for when the index had to be made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaling_app.studies.studies import Studies


def infos_of_labels(studies: Studies) -> dict[str, dict[str, object]]:
    """The names, readers and minutes that the ledger holds of the labels that are there."""
    notes = studies.ledger.label_notes()
    infos: dict[str, dict[str, object]] = {}
    for case in studies.ledger.cases():
        note = notes.get(case.image_id)
        if not studies.has_label(case.image_id) or note is None or note.label_hash != case.label_hash:
            continue
        info: dict[str, object] = {"label_info": [{"name": name, "idx": value} for name, value in note.named]}
        if case.annotator:
            info["client_id"] = case.annotator
        if case.minutes is not None:
            info["minutes"] = case.minutes
        infos[case.image_id] = info
    return infos
