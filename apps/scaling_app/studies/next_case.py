"""Which case to label next, and whether to label it blind.

`random` serves the images in an order fixed by a hash: as good as a random draw for the learning curve
(a curve over hand-picked or hardest-first cases is biased), and the same again after a restart. Some of
its cases are *blind*: no prediction is to be on screen before their label is saved, for a label drawn
over the model's own proposal flatters the model. Blind cases are spread evenly: in each stretch of about
four or five images in that order exactly one is.

`coverage` prefers the image whose shape the labelled cases explain worst. Serving only such images would
tell the curve of odd cases alone, so one pick in four is uniformly random, and the case keeps its weight
1 / (N q): q is the probability with which it was picked among the N images at hand (Farquhar, Gal and
Rainforth, "On Statistical Bias in Active Learning", ICLR 2021, https://arxiv.org/abs/2101.11665).

An image that no model of the task could use (damaged, or of another kind than the labelled ones) is passed over and
named; when no others are left it is served, with that sentence.

What is in somebody else's hands is not served (`studies.leases`); what one was handed within the hour comes again when
nothing else is left. With `second_readers`, some labelled cases are handed to another reader first, whatever the
rule (`studies.labels.readers`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, ClassVar

from scaling_app.studies.labels.images import fault_of_file, usual_image
from scaling_app.studies.labels.readers import SECOND_SENTENCE, second_reading_for
from scaling_app.studies.shape_coverage import distances_of
from scaling_app.studies.splits import random_order, uniform

if TYPE_CHECKING:
    from scaling_app.studies.studies import Studies

READER = "reader"
"""The key of a request under which the server says who asks."""

BLIND_SENTENCE = "Blind case: please draw this label without looking at a prediction first."
OPEN_SENTENCE = "A prediction may be shown for this case."

RANDOM_SHARE = 0.25
"""Of the picks of `coverage`: so that every image can come up, and no weight exceeds four."""

NOTHING_COMPUTED = "The shapes of these images have not been compared yet: served at random."
WORST_EXPLAINED = "Of the images looked at, the labelled cases explain this one worst."
PICKED_AT_RANDOM = "Picked at random, as one in four is, so that the curve stays honest."


def is_blind_at(rank: int, fraction: float, seed: int) -> bool:
    """Whether the image at that place of the random order is blind.

    Args:
        rank: place in the order, from 0.
        fraction: share of blind images, 0 to 0.5.
        seed: which image of each stretch it is.
    """
    if fraction <= 0:
        return False
    stretch = math.floor(rank * fraction)
    for candidate in (stretch - 1, stretch, stretch + 1):
        start, end = math.ceil(candidate / fraction), math.ceil((candidate + 1) / fraction)
        if candidate >= 0 and start <= rank < end:
            return rank == start + int(uniform(seed, "blind", candidate) * (end - start))
    return False


class NextCaseRule(ABC):
    """One way to choose the case that is labelled next.

    Attributes:
        description: what it does, in a sentence for people.
    """

    description: ClassVar[str]

    def __init__(self, studies: Studies) -> None:
        self.studies = studies

    @abstractmethod
    def __call__(self, request: Mapping[str, object]) -> dict[str, object]:
        """The next image as `id`, with `blind` and `message`; `{}` when nothing is left.

        Args:
            request: of the viewer; `reader`, whom the server knows to ask, and `client_id`.
        """


class RandomCase(NextCaseRule):
    """Uniformly random, reproducible, with blind cases."""

    description = "Random order; about one case in five is to be labelled without a prediction"

    def __call__(self, request: Mapping[str, object]) -> dict[str, object]:
        """The next image, `blind`, and a sentence for people; `{}` when nothing is left."""
        if second := _second_reading(self.studies, request):
            return second
        ordered = random_order(self.studies.datastore.list_images(), self.studies.conf.seed)
        reader = _reader(request)
        free, late = _free_and_late(self.studies, ordered, reader)
        picked = _first_usable(self.studies, (([image], _first) for image in chain(free, late)))
        return _serve(self.studies, ordered, picked, reader) if picked else {}


class CoverageCase(NextCaseRule):
    """The image that the labelled cases explain worst, three times in four; else a random one."""

    description = "The case that the labelled ones explain worst; one in four at random"

    def __call__(self, request: Mapping[str, object]) -> dict[str, object]:
        """The next image, `blind`, and why this one; `{}` when nothing is left.

        Among the same images at hand the answer is always the same.
        """
        if second := _second_reading(self.studies, request):
            return second
        seed, reader = self.studies.conf.seed, _reader(request)
        ordered = random_order(self.studies.datastore.list_images(), seed)
        distances = distances_of(self.studies.ledger)

        def pick(images: Sequence[str]) -> Pick:
            known = [image for image in images if image in distances]
            if not known:
                return Pick(images[0], 1.0, NOTHING_COMPUTED)
            worst = served = max(known, key=distances.__getitem__)
            if uniform(seed, "coverage", "at random", *images) < RANDOM_SHARE:
                served = images[int(uniform(seed, "coverage", "which", *images) * len(images))]
            weight = picked_weight(len(images), worst=served == worst)
            return Pick(served, weight, WORST_EXPLAINED if served == worst else PICKED_AT_RANDOM)

        free, late = _free_and_late(self.studies, ordered, reader)
        picked = _first_usable(self.studies, chain([(list(free), pick)], (([image], pick) for image in late)))
        return _serve(self.studies, ordered, picked, reader) if picked else {}


def picked_weight(n: int, *, worst: bool) -> float:
    """1 / (n q) of a pick of `coverage` among n images: about 4, and far below 1 for the worst explained."""
    return 1 / (RANDOM_SHARE + n * (1 - RANDOM_SHARE) * worst)


class FirstCase(NextCaseRule):
    """The first unlabelled image by name; never makes a case blind."""

    description = "The first unlabelled case by name"

    def __call__(self, request: Mapping[str, object]) -> dict[str, object]:
        """The next image; `blind` only where it had been decided before."""
        if second := _second_reading(self.studies, request):
            return second
        reader = _reader(request)
        free, late = _free_and_late(self.studies, sorted(self.studies.datastore.list_images()), reader)
        picked = _first_usable(self.studies, (([image], _first) for image in chain(free, late)))
        if picked is None:
            return {}
        self.studies.leases.take(picked.image, reader)
        blind = bool(self.studies.ledger.is_blind(picked.image))
        return {"id": picked.image, "blind": blind, "message": _message(blind, picked.why)}


RULES: dict[str, type[NextCaseRule]] = {"random": RandomCase, "first": FirstCase, "coverage": CoverageCase}
"""Every rule by its name; the first is the default."""


@dataclass(frozen=True)
class Pick:
    """An image, how much less likely than at random it was picked, and what is to be said of it."""

    image: str
    weight: float
    why: str = ""


Picker = Callable[[Sequence[str]], Pick]


def _reader(request: Mapping[str, object]) -> str:
    return str(request.get(READER, ""))


def _second_reading(studies: Studies, request: Mapping[str, object]) -> dict[str, object] | None:
    """The answer with a labelled case that this reader is to read, too; None when none is due."""
    reader, client = _reader(request), request.get("client_id")
    image = second_reading_for(studies, reader, str(client) if client else None)
    if image is None:
        return None
    with studies.ledger.at_once():
        studies.ledger.ask_reading(image, reader)
        studies.leases.take(image, reader)
    return {"id": image, "blind": True, "message": SECOND_SENTENCE}


def _serve(studies: Studies, ordered: Sequence[str], picked: Pick, reader: str) -> dict[str, object]:
    """The answer for a picked image; which images are blind is in the order."""
    drawn = is_blind_at(ordered.index(picked.image), studies.conf.blind_fraction, studies.conf.seed)
    with studies.ledger.at_once():
        studies.ledger.note_sampling_weight(picked.image, picked.weight)
        blind = studies.ledger.assign_blind(picked.image, drawn)
        studies.leases.take(picked.image, reader)
    return {"id": picked.image, "blind": blind, "message": _message(blind, picked.why)}


def _message(blind: bool, why: str) -> str:
    return f"{BLIND_SENTENCE if blind else OPEN_SENTENCE} {why}".strip()


def _first(images: Sequence[str]) -> Pick:
    return Pick(images[0], 1.0)


def _free_and_late(
    studies: Studies, ordered: Sequence[str], reader: str
) -> tuple[Iterator[str], Iterator[str]]:
    """The unlabelled images in nobody's hands, in order, and the reader's own, those handed out longest ago first.

    Nobody goes through thousands of them to serve one.
    """
    held = studies.leases.held()
    own = {image: lease.since for image, lease in held.items() if lease.reader == reader}
    taken = own.keys() | {image for image, lease in held.items() if not lease.ended}
    free = (image for image in ordered if image not in taken and not studies.has_label(image))
    late = (
        image for image in sorted(own, key=own.__getitem__)
        if image in ordered and not studies.has_label(image)
    )  # fmt: skip
    return free, late


def _first_usable(studies: Studies, groups: Iterable[tuple[Sequence[str], Picker]]) -> Pick | None:
    """The first pick whose image a model could use; images that none could are named, and served when all are such."""
    usual = usual_image(studies.ledger)
    faults: dict[str, str] = {}
    first: Pick | None = None
    for images, pick in groups:
        left = list(images)
        while left:
            picked = pick(left)
            path = studies.image_at_hand(picked.image)
            fault = studies.datastore.unfit(picked.image) if path is None else fault_of_file(path, usual)
            if fault is None:
                return replace(picked, why=f"{picked.why} {_passed_over(faults)}".strip())
            faults[picked.image] = fault.rstrip(".")
            left.remove(picked.image)
            first = first or picked
    if first is None:
        return None
    return replace(first, why=f"No model of this task can learn from this image: {faults[first.image]}.")


def _passed_over(faults: Mapping[str, str]) -> str:
    if not faults:
        return ""
    image, fault = next(iter(faults.items()))
    others = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    return f"Passed over, as no model of this task can use it: {image} ({fault}){others}."
