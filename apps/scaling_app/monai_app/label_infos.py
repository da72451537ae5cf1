"""What the index of a studies folder said of its labels, from the ledger, when the index had to be made anew."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from scaling_app.monai_app.studies_folder import StudiesFolder

if TYPE_CHECKING:
    from scaling_app.studies.studies import Studies

logger = logging.getLogger(__name__)


def restore_label_infos(studies: Studies) -> None:
    """Gives the labels of a new index the names, annotators and minutes that the ledger holds of them."""
    from scaling_app.studies.studies import FINAL

    store = studies.datastore
    if not isinstance(store, StudiesFolder) or not store.was_rebuilt:
        return
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
    if infos:
        store.update_label_infos(FINAL, infos)
        logger.info("The index of the studies was made anew; %d labels are known from the ledger", len(infos))
