"""The server is told that somebody is still at a case, or leaves it: till then nobody else is handed it."""

from __future__ import annotations

import logging
import time
from typing import Callable

from scaling_app_client.messages import Failure

from .activity import ActiveClock
from .signal import Signal
from .states import SessionState, same_case
from .wording import say

logger = logging.getLogger(__name__)


class CaseLease:
    """Keeps the case at hand for whoever draws it.

    Args:
        clock: Says whether somebody is there; a case left open in the evening goes to others.
        changed: Told when the case has gone to others.
        now: Seconds that never run backwards.
    """

    EVERY_S = 600.0

    def __init__(
        self,
        state: SessionState,
        clock: ActiveClock,
        changed: Signal,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state, self._clock, self._changed, self._now = state, clock, changed, now
        self._case = self._labelled = self._lost = ""
        self._told_at = self._minutes = 0.0

    def look(self) -> None:
        """Somebody is there, or something has changed: tell the server now and then, as long as somebody works."""
        state = self._state
        if state.case is not None and state.phase in ("sending", "sent"):
            self._labelled = state.case.image_id  # whose label has arrived is in nobody's hands any more
        case = state.case.image_id if state.case is not None and state.phase == "open" else ""
        minutes = self._clock.minutes
        if case != self._case or minutes < self._minutes:
            self._case, self._told_at, self._minutes, self._lost = case, self._now(), minutes, ""
        if (
            not case
            or case == self._lost
            or minutes == self._minutes
            or self._now() - self._told_at < self.EVERY_S
        ):
            return
        self._told_at, self._minutes = self._now(), minutes
        self._tell(case, False, same_case(state, self._heard))

    def give_back(self) -> None:
        """The case at hand is left without a label."""
        state = self._state
        if state.case is not None and state.phase == "open" and not state.case.again:
            self._tell(state.case.image_id, True, lambda _answer: None)

    def _tell(self, case: str, ended: bool, heard: Callable[[object], None]) -> None:
        if self._state.client is not None and self._state.connected:
            self._state.client.keep_lease(case, ended, heard, _not_taken)

    def _heard(self, held: object) -> None:
        """Say it once when a case that has no label yet is not ours any more."""
        case = self._state.case
        if held is False and case is not None and not case.again and case.image_id != self._labelled:
            self._lost = case.image_id
            self._state.notice = say("not_kept_for_you", case=case.image_id)
            self._changed.emit()


def _not_taken(failure: Failure) -> None:
    """An older server has no leases that end; they end by themselves."""
    logger.info("The lease was not taken: %s", failure)
