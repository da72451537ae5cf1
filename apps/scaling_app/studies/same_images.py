"""One image under two names: named as a doubt, and its patients count as one in every split.

Looked for before anything is trained, among labelled and unlabelled images: a strategy may look at either. What the
images hold is remembered in the ledger, so that each is read once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from scaling_app.imaging.same_content import same_images
from scaling_app.ledger import Doubt
from scaling_app.studies.studies import Studies
from scaling_app.trials.twins import united

logger = logging.getLogger(__name__)

SAME_IMAGE = "same_image"
"""Kind of doubt: it leaves all but the first labelled case of an image out, until somebody confirms the label."""

CONTENTS = "contents"
"""The ledger's setting: what the images hold."""


def keep_together(studies: Studies) -> None:
    """Finds images that are the same, makes their patients one, and raises or withdraws doubts."""
    ids = sorted(studies.datastore.list_images())
    files = {i: path for i in ids if (path := studies.image_at_hand(i)) is not None}
    known = {i: parts for i, parts in studies.ledger.setting(CONTENTS, {}).items() if i in files}
    groups = same_images(files, known)
    studies.ledger.set_setting(CONTENTS, known)
    _unite(studies, groups)
    _doubt(studies, groups, files)


def _unite(studies: Studies, groups: Sequence[tuple[str, ...]]) -> None:
    apart = [patients for names in groups if len(patients := {studies.patient(i) for i in names}) > 1]
    if apart:
        logger.warning(
            "The same image is there under several names: %s", "; ".join(map(" and ".join, groups))
        )
        studies.unite_patients(united(apart))


def _doubt(studies: Studies, groups: Sequence[tuple[str, ...]], files: Mapping[str, Path]) -> None:
    cases = studies.ledger.cases()  # in the order in which they were first labelled
    first = {
        names: next((case.image_id for case in cases if case.image_id in names), None) for names in groups
    }
    twin_of = {i: first[names] for names in groups for i in names if i != first[names]}
    for case in cases:
        doubts = tuple(doubt for doubt in case.doubts if doubt.kind != SAME_IMAGE)
        if (other := twin_of.get(case.image_id)) is not None:
            sentence = (
                f"{files[case.image_id].name} is the same image as {files[other].name}, which has a label already. Remove "
                "one of them, or confirm this label to use both; they are never on two sides of a test."
            )
            doubts = (*doubts, Doubt(SAME_IMAGE, sentence))
        if doubts != case.doubts:
            studies.ledger.set_doubts(case.image_id, case.label_hash, doubts)
