"""What is wrong with the images of labelled cases: of one alone, or beside the others.

Every such image is opened once, when a training begins, and what was found is remembered with the file's stamp.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import torch
from monai.data import MetaTensor

from scaling_app.imaging.image_channels import channels_of
from scaling_app.imaging.untrusted import ImageError
from scaling_app.ledger import Doubt, Ledger
from scaling_app.studies.labels.contents import image_grid
from scaling_app.studies.studies import Studies
from scaling_app.trials.fingerprint import file_stamp
from scaling_app.trials.image_facts import ImageFacts, Usual, blank_words

logger = logging.getLogger(__name__)

UNREADABLE_IMAGE, ODD_IMAGE, NOT_FINITE = "unreadable_image", "odd_image", "not_finite"
IMAGE_DOUBTS = (UNREADABLE_IMAGE, ODD_IMAGE, NOT_FINITE)
"""The kinds of doubt that are about the image and not about its label."""

_DO = "save it like the others and put it in its place, or take it out of the folder"


class ImageBook:
    """Doubts the images that no training could use beside the others, and drops the doubt when they are replaced.

    Args:
        held_against: what is wrong with the label of an image beside that image, asked once an image that could not be
            read can be.
    """

    def __init__(self, studies: Studies, held_against: Callable[[str], list[Doubt]]) -> None:
        self.studies = studies
        self._held_against = held_against

    def verify(self) -> None:
        """Looks at the image of every case whose label is not doubted, and writes the doubts into the ledger.

        What most images of labelled cases are like is right; where as many are like another, that of the case
        labelled first.
        """
        ledger = self.studies.ledger
        known, found = _known(ledger), {}
        faults: dict[str, Doubt] = {}
        cases = []
        for case in sorted(ledger.cases(), key=lambda case: (case.saved_at, case.image_id)):
            others = tuple(doubt for doubt in case.doubts if doubt.kind not in IMAGE_DOUBTS)
            path = self.studies.image_path(case.image_id)
            if path is None or (others and len(others) == len(case.doubts)):
                continue
            cases.append((case, others))
            try:
                found[case.image_id] = _look_at(case.image_id, path, known)
            except ValueError as error:
                logger.warning("%s", error)
                faults[case.image_id] = unreadable_image(path, error)
        faults |= _odd_ones({image_id: facts for image_id, (_, facts) in found.items()})
        for case, others in cases:
            if any(doubt.kind == UNREADABLE_IMAGE for doubt in case.doubts) and case.image_id in found:
                others = (*others, *self._held_against(case.image_id))
            doubts = (*others, faults[case.image_id]) if case.image_id in faults else others
            if doubts != case.doubts:
                ledger.set_doubts(case.image_id, case.label_hash, doubts)
        _keep(ledger, known | found)


def usual_image(ledger: Ledger) -> Usual | None:
    """What the images of the usable cases are like, as far as they have been looked at; None before that."""
    return _usual(ledger, ledger.revision(), ledger.count_checked_images())


@lru_cache(maxsize=4)  # asked for at every next case; with hundreds of labels it takes its time
def _usual(ledger: Ledger, revision: int, checked: int) -> Usual | None:
    known = _known(ledger)
    cases = sorted(ledger.usable_cases(), key=lambda case: (case.saved_at, case.image_id))
    return Usual.among([known[case.image_id][1] for case in cases if case.image_id in known])


def fault_of_file(path: Path, usual: Usual | None) -> str | None:
    """Why no model of this task could use the image, as far as its header tells; None if nothing speaks against it."""
    try:
        facts = _of_header(path, file_stamp(path))
    except ImageError as error:
        return str(error)
    return usual.difference(facts) if usual is not None else None


@lru_cache(maxsize=100_000)
def _of_header(path: Path, stamp: tuple[int, int]) -> ImageFacts:
    channels = channels_of(path)
    grid = image_grid(path)
    voxels = torch.zeros(1).expand(channels, *grid.shape)  # takes no memory
    return ImageFacts.of_header(MetaTensor(voxels, affine=torch.from_numpy(grid.affine)))


def unreadable_image(image: Path, error: ValueError) -> Doubt:
    """The doubt about an image that cannot be read."""
    reason = str(error).replace(str(image), image.name)
    return Doubt(UNREADABLE_IMAGE, f"The image cannot be read; put a good copy in its place: {reason}")


def _look_at(
    image_id: str, path: Path, known: Mapping[str, tuple[str, ImageFacts]]
) -> tuple[str, ImageFacts]:
    from scaling_app.imaging.geometry import read_image

    stamp = "-".join(map(str, file_stamp(path)))
    if image_id in known and known[image_id][0] == stamp:
        return known[image_id]
    return stamp, ImageFacts.of(read_image(path))


def _odd_ones(images: Mapping[str, ImageFacts]) -> dict[str, Doubt]:
    """The images of one value, those unlike most, and those alone in holding values that are no numbers."""
    odd = {
        image_id: Doubt(ODD_IMAGE, _sentence(f"{blank_words(facts.blank)}; put a good copy in its place"))
        for image_id, facts in images.items()
        if facts.blank is not None
    }
    seen = {image_id: facts for image_id, facts in images.items() if image_id not in odd}
    usual = Usual.among(list(seen.values()))
    holed = [image_id for image_id, facts in seen.items() if facts.not_finite]
    for image_id, facts in seen.items():
        if usual is not None and (difference := usual.difference(facts)) is not None:
            odd[image_id] = Doubt(ODD_IMAGE, _sentence(f"{difference}; {_DO}"))
        elif facts.not_finite and 2 * len(holed) <= len(seen):
            odd[image_id] = Doubt(
                NOT_FINITE,
                f"The image holds {facts.not_finite} values that are no numbers (NaN or infinite), which most others do "
                "not; they are read as 0. Export it anew, or confirm the label if 0 is right there.",
            )
    return odd


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _known(ledger: Ledger) -> dict[str, tuple[str, ImageFacts]]:
    return {
        image_id: (
            stamp,
            ImageFacts(**{**facts, "shape": tuple(facts["shape"]), "spacing": tuple(facts["spacing"])}),
        )
        for image_id, (stamp, facts) in ledger.checked_images().items()
    }


def _keep(ledger: Ledger, found: Mapping[str, tuple[str, ImageFacts]]) -> None:
    known = ledger.checked_images()
    rows = {image_id: (stamp, asdict(facts)) for image_id, (stamp, facts) in found.items()}
    ledger.note_checked_images({i: row for i, row in rows.items() if i not in known or known[i][0] != row[0]})
