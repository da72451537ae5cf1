"""Labels that another module sends: noticed by the time at which the server saved the last one."""

from __future__ import annotations

import logging

from scaling_app_client.messages import Failure

from .activity import ActiveClock
from .forecast_watch import ForecastWatch
from .signal import Signal
from .states import SessionState, move, same_case

logger = logging.getLogger(__name__)


class SubmittedElsewhere:
    """Sends the minutes after a label of the case at hand that another module has sent."""

    def __init__(
        self, state: SessionState, clock: ActiveClock, forecast: ForecastWatch, changed: Signal
    ) -> None:
        self._state, self._clock, self._forecast, self._changed = state, clock, forecast, changed
        self._seen: tuple[str, object] | None = None

    def watch(self) -> None:
        """Another module has opened the case at hand: note which label of it the server has."""
        state = self._state
        self._seen = None
        if state.case is not None and state.client is not None:
            case = state.case.image_id

            def note(saved_at: object) -> None:
                self._seen = (case, saved_at)

            state.client.label_time(case, same_case(state, note), lambda _failure: None)

    def renew(self) -> None:
        """The label that the server has is ours by now."""
        if self._seen is not None:
            self.watch()

    def submitted(self) -> None:
        """Another module tried to send the label of the case at hand; it does not say whether it arrived."""
        state = self._state
        if state.case is not None and state.client is not None and state.phase in ("open", "sent"):
            state.client.label_time(state.case.image_id, same_case(state, self._saved), _not_taken)

    def _saved(self, saved_at: object) -> None:
        """The server has a label: if it is a new one, only the minutes are left to send."""
        state = self._state
        assert state.case is not None and state.client is not None
        case, before = state.case, self._seen
        self._seen = (case.image_id, saved_at)
        if saved_at is None or before is None or before[0] != case.image_id or before == self._seen:
            return
        state.edited = False
        if state.phase == "open":
            move(state, "sending")
            move(state, "sent")
        state.client.note_case(
            case.image_id,
            round(self._clock.minutes, 2),
            case.blind,
            lambda _answer: None,
            _not_taken,
        )
        self._forecast.ask()
        self._changed.emit()


def _not_taken(failure: Failure) -> None:
    """A call on the side failed; noted, and that is all."""
    logger.warning("The server did not take it: %s", failure)
