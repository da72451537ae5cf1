"""What is known of the unlabelled images' shapes: kept in the ledger by the `learning_curve` job.

The server reads it for the forecast's `coverage` and for the next case; nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling_app.ledger import Ledger


def distances_of(ledger: Ledger) -> dict[str, float]:
    """Image -> distance, for the images looked at."""
    known = ledger.shape_coverage()
    return {case.image: case.distance for case in known.cases} if known else {}


def coverage_facts(ledger: Ledger, unlabelled: Collection[str]) -> dict[str, Any] | None:
    """`coverage` of `GET /sufficiency/`, for the images that are still without a label.

    Returns:
        `pool`, how many of them were looked at, `outside`, how many of those lie outside, and these as
        `cases`; None when nothing is known of any.
    """
    known = ledger.shape_coverage()
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
