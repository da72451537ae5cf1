"""What is known of the unlabelled images' shapes: kept in the ledger by the `learning_curve` job.

The server reads it for the forecast's `coverage` and for the next case; nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling_app.ledger import Ledger

KEY = "coverage"
"""The ledger's setting."""


@dataclass(frozen=True)
class PoolCase:
    """An image that was looked at: its distance is 1 where it is as far off as labelled cases are."""

    image: str
    distance: float
    outside: bool


@dataclass(frozen=True)
class PoolCoverage:
    """The images looked at, the one that the labelled cases explain worst first.

    Attributes:
        made_from: identifies labels, images and model that it was made from.
        complete: False when the time was up before every image had been looked at.
        model: the run that published the model in use, on whose grid the images were compared, if any.
        n_labelled: labelled cases compared with.
        cases: the images.
    """

    made_from: str
    complete: bool
    model: str | None
    n_labelled: int
    cases: tuple[PoolCase, ...]

    def save(self, ledger: Ledger) -> None:
        """Keeps it in the ledger, in place of an older one."""
        ledger.set_setting(KEY, asdict(self))


def saved_coverage(ledger: Ledger) -> PoolCoverage | None:
    """What was computed last, or None."""
    facts: Mapping[str, Any] | None = ledger.setting(KEY)
    if facts is None:
        return None
    return PoolCoverage(**{**facts, "cases": tuple(PoolCase(**case) for case in facts["cases"])})


def distances_of(ledger: Ledger) -> dict[str, float]:
    """Image -> distance, for the images looked at."""
    known = saved_coverage(ledger)
    return {case.image: case.distance for case in known.cases} if known else {}


def coverage_facts(ledger: Ledger, unlabelled: Collection[str]) -> dict[str, Any] | None:
    """`coverage` of `GET /sufficiency/`, for the images that are still without a label.

    Returns:
        `pool`, how many of them were looked at, `outside`, how many of those lie outside, and these as
        `cases`; None when nothing is known of any.
    """
    known = saved_coverage(ledger)
    looked_at = [case for case in known.cases if case.image in unlabelled] if known else []
    if known is None or not looked_at:
        return None
    outside = [case for case in looked_at if case.outside]
    return {
        "outside": len(outside),
        "pool": len(looked_at),
        "n_labelled": known.n_labelled,
        "cases": [{"image": case.image, "distance": case.distance} for case in outside],
    }
