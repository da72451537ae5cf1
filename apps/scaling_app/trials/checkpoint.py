"""Which run a checkpoint is of, and what it holds; one that is damaged or another's is no reason not to train."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scaling_app.trials.model import read_safely

logger = logging.getLogger(__name__)


def identity_of(parts: Sequence[object]) -> str:
    """The digest of all that makes a run this one and no other."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def kept_in(file: Path | None) -> dict[str, Any] | None:
    """What a checkpoint holds, of whatever run; None where there is none, or none that can be read."""
    if file is None or not file.is_file():
        return None
    try:
        return read_safely(file)
    except ValueError as error:
        logger.warning("starting afresh: %s", error)
        return None


def kept_of(file: Path | None, identity: str, before: str | None) -> dict[str, Any] | None:
    """What a checkpoint holds of one run; any other is left for a fresh start.

    Args:
        identity: of that run.
        before: of the run that it follows, whose checkpoint is no surprise.
    """
    content = kept_in(file)
    if content is None or (kept := content.get("identity")) == identity:
        return content
    if before is None or kept != before:
        logger.warning("starting afresh: the checkpoint belongs to another run")
    return None
