"""Trainings whose process died, and those that outlived the server that began them."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection

from scaling_app.ledger import Ledger

logger = logging.getLogger(__name__)


class SurvivorError(Exception):
    """A training lives on that an earlier server began; the sentence is for people."""


def close_interrupted_runs(
    ledger: Ledger, message: str, *, elsewhere: bool = False, wait_seconds: float = 0.0
) -> None:
    """Marks the runs and the job whose process has died as stopped; those of living ones go on.

    Args:
        elsewhere: also those of processes that this machine cannot see.
        wait_seconds: how long to wait for the end of processes that are being ended.
    """
    deadline = time.monotonic() + wait_seconds
    while ledger.trainers() and time.monotonic() < deadline:
        time.sleep(0.05)
    if ledger.close_unfinished_runs(message, elsewhere=elsewhere):
        logger.info("Runs left unfinished were marked as stopped")
    ledger.close_unfinished_job(message, elsewhere=elsewhere)


def require_no_survivor(ledger: Ledger, own: Collection[int]) -> None:
    """Refuses a training beside one that outlived the server that began it: both would write the same files.

    Args:
        own: the processes of this server's trainings.

    Raises:
        SurvivorError: there is one.
    """
    if survivors := ledger.trainers() - set(own):
        which = ", ".join(map(str, sorted(survivors)))
        raise SurvivorError(
            f"A training that an earlier server began is still running (process {which}). Its result will "
            "be taken up; wait for its end, or end that process."
        )
