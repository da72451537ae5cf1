"""Which run a checkpoint is of, and what it holds; one that is damaged or another's is no reason not to train."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from scaling_app.log.trouble import Trouble
from scaling_app.storage import NO_ROOM
from scaling_app.trials.model import read_safely, write_whole

logger = logging.getLogger(__name__)

Taken = TypeVar("Taken")


def identity_of(parts: Sequence[object]) -> str:
    """The digest of all that makes a run this one and no other."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


class Keeper:
    """Keeps a checkpoint up to date. Where it cannot be written the older one stays, and the training goes on.

    Attributes:
        kept: seconds of the training that the file holds.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.kept = 0.0
        self._trouble = Trouble(logger)

    def keep(self, content: Mapping[str, Any]) -> None:
        """Writes it, or says once why that cannot be; the next time it is tried again."""
        try:
            write_whole(content, self._file)
        except (OSError, RuntimeError) as error:
            self._trouble.tell(
                "the checkpoint of a training cannot be written in %s: %s. The training goes on, and tries it again and "
                "again. If it were killed now, its last %.1f minutes would be lost%s",
                self._file.parent,
                _reason(error),
                (content["seconds"] - self.kept) / 60,
                "; free some room there" if isinstance(error, OSError) and error.errno in NO_ROOM else "",
            )
            return
        if self._trouble.over():
            logger.info("checkpoints can be written again in %s", self._file.parent)
        self.kept = content["seconds"]


def _reason(error: OSError | RuntimeError) -> str:
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return f"the disk is full ({error.strerror})"
    return (isinstance(error, OSError) and error.strerror) or f"{type(error).__name__}: {error}"


def kept_in(file: Path | None) -> dict[str, Any] | None:
    """What a checkpoint holds, of whatever run; None where there is none, or none that can be read."""
    if file is None or not file.is_file():
        return None
    try:
        return read_safely(file)
    except ValueError as error:
        logger.warning("starting afresh: %s", error)
        return None


def taken_up(take: Callable[[], Taken]) -> Taken | None:
    """What came of taking a checkpoint up; None where it lacks something, or is of another shape, and a line in the log."""
    try:
        return take()
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # what a damaged state raises is not bounded
        logger.warning("starting afresh: the checkpoint is damaged (%s: %s)", type(error).__name__, error)
        return None


def place_in(content: Mapping[str, Any], steps: int) -> tuple[int, int | None, float]:
    """The step at which a checkpoint stands, how many patches a step may hold, and the seconds so far.

    Raises:
        ValueError, TypeError, KeyError: it tells of no place in a training of so many steps.
    """
    step, held, seconds = int(content["step"]), content["held"], float(content["seconds"])
    if (
        not 0 <= step <= steps
        or not (held is None or (isinstance(held, int) and held >= 1))
        or not 0 <= seconds < math.inf
    ):
        raise ValueError(f"step {step} of {steps}, {held} patches, {seconds} s")
    return step, held, seconds


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
