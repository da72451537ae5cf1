"""The server is told that somebody is still at a case, or leaves it: till then nobody else is handed it."""

from __future__ import annotations

import logging
import time
from typing import Callable

from scaling_app_client.messages import Failure

from .activity import ActiveClock
from .states import SessionState

logger = logging.getLogger(__name__)


class CaseLease:
    """Keeps the case at hand for whoever draws it.

    Args:
        clock: Says whether somebody is there; a case left open in the evening goes to others.
        now: Seconds that never run backwards.
    """

    EVERY_S = 600.0

    def __init__(
        self, state: SessionState, clock: ActiveClock, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._state, self._clock, self._now = state, clock, now
        self._case = ""
        self._told_at = self._minutes = 0.0

    def look(self) -> None:
        """Something has changed: tell the server now and then, as long as somebody works."""
        state = self._state
        case = state.case.image_id if state.case is not None and state.phase == "open" else ""
        minutes = self._clock.minutes
        if case != self._case or minutes < self._minutes:
            self._case, self._told_at, self._minutes = case, self._now(), minutes
        if not case or minutes == self._minutes or self._now() - self._told_at < self.EVERY_S:
            return
        self._told_at, self._minutes = self._now(), minutes
        self._tell(case, ended=False)

    def give_back(self) -> None:
        """The case at hand is left without a label."""
        state = self._state
        if state.case is not None and state.phase == "open" and not state.case.again:
            self._tell(state.case.image_id, ended=True)

    def _tell(self, case: str, ended: bool) -> None:
        if self._state.client is not None and self._state.connected:
            self._state.client.keep_lease(case, ended, lambda _answer: None, _not_taken)


def _not_taken(failure: Failure) -> None:
    """An older server has no leases that end; they end by themselves."""
    logger.info("The lease was not taken: %s", failure)
