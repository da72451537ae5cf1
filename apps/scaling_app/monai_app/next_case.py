"""Which case to label next, and whether to label it blind.

`random` serves the images in an order fixed by a hash: as good as a random draw for the learning curve
(a curve over hand-picked or hardest-first cases is biased), and the same again after a restart. Some of
its cases are *blind*: no prediction is to be on screen before their label is saved, for a label drawn
over the model's own proposal flatters the model. Blind cases are spread evenly: in each stretch of about
four or five images in that order exactly one is.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from monailabel.interfaces.tasks.strategy import Strategy

from scaling_app.monai_app.splits import uniform

if TYPE_CHECKING:
    from monailabel.interfaces.datastore import Datastore

    from scaling_app.monai_app.session import Session

RECENT_SECONDS = 3600.0
"""An image served this recently is offered again only when nothing else is left."""

BLIND_SENTENCE = "Blind case: please draw this label without looking at a prediction first."
OPEN_SENTENCE = "A prediction may be shown for this case."


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


class RandomCase(Strategy):
    """Uniformly random, reproducible, with blind cases."""

    def __init__(self, session: Session) -> None:
        super().__init__("Random order; about one case in five is to be labelled without a prediction")
        self.session = session

    def __call__(self, request: dict, datastore: Datastore) -> dict:
        """The next image, `blind`, and a sentence for people; `{}` when nothing is left."""
        seed = self.session.conf.seed
        ordered = sorted(datastore.list_images(), key=lambda i: (uniform(seed, "order", i), i))
        served = _first_not_recent(ordered, datastore)
        if served is None:
            return {}
        drawn = is_blind_at(ordered.index(served), self.session.conf.blind_fraction, seed)
        blind = self.session.ledger.assign_blind(served, drawn)
        return {"id": served, "blind": blind, "message": BLIND_SENTENCE if blind else OPEN_SENTENCE}


class FirstCase(Strategy):
    """The first unlabelled image by name; never makes a case blind."""

    def __init__(self, session: Session) -> None:
        super().__init__("The first unlabelled case by name")
        self.session = session

    def __call__(self, request: dict, datastore: Datastore) -> dict:
        """The next image; `blind` only where it had been decided before."""
        unlabelled = sorted(datastore.get_unlabeled_images())
        if not unlabelled:
            return {}
        blind = bool(self.session.ledger.is_blind(unlabelled[0]))
        return {"id": unlabelled[0], "blind": blind, "message": BLIND_SENTENCE if blind else OPEN_SENTENCE}


def _first_not_recent(ordered: list[str], datastore: Datastore) -> str | None:
    """The first unlabelled image not served lately; else the one served longest ago."""
    unlabelled = set(datastore.get_unlabeled_images())
    left = [image_id for image_id in ordered if image_id in unlabelled]
    served_at = {image_id: _served_at(datastore, image_id) for image_id in left}
    now = time.time()
    fresh = [i for i in left if now - served_at[i] > RECENT_SECONDS]
    return fresh[0] if fresh else min(left, key=served_at.__getitem__, default=None)


def _served_at(datastore: Datastore, image_id: str) -> float:
    """When MONAI Label last served the image, seconds since the epoch."""
    strategies = (datastore.get_image_info(image_id) or {}).get("strategy") or {}
    return max((float(served.get("ts", 0)) for served in strategies.values()), default=0.0)
