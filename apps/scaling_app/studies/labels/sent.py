"""What a viewer sends along with a label."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from scaling_app.ledger import MOST_MINUTES
from scaling_app.studies.labels import checks
from scaling_app.studies.labels.contents import LabelContent


def client_of(params: Mapping[str, object]) -> str | None:
    """The viewer's name for itself, or None."""
    return str(params["client_id"]) if params.get("client_id") else None


def parse_minutes(raw: object) -> float | None:
    """Active annotation minutes as a client sent them.

    Raises:
        ValueError: no number from 0 to `MOST_MINUTES`.
    """
    if raw is None or raw == "":
        return None
    try:
        minutes = float(str(raw))
    except ValueError:
        minutes = math.nan
    if not 0 <= minutes <= MOST_MINUTES:
        raise ValueError(f"minutes must be a number from 0 to {MOST_MINUTES:g}, got {raw!r}")
    return minutes


def names_of(params: Mapping[str, object], facts: LabelContent) -> Sequence[tuple[str, int]]:
    """The names of values that the client sent, else those in the file."""
    return checks.parse_label_info(params.get("label_info")) or list(facts.names)
