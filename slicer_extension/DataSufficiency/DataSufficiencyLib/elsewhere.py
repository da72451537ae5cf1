"""Labels that another module sends: noticed by the time at which the server saved the last one."""

from __future__ import annotations

import logging

from scaling_app_client.messages import Failure

from .activity import ActiveClock
from .ports import Editor
from .signal import Signal
from .states import SessionState, same_case
from .wording import say

logger = logging.getLogger(__name__)


class SubmittedElsewhere:
    """Notices that a label of the case at hand has arrived which another module has sent.

    Args:
        changed: Told when there is a notice about it.

    Signals:
        arrived: Carries the minutes until it was sent, and whether somebody has changed the drawing since.
    """

    def __init__(self, state: SessionState, editor: Editor, clock: ActiveClock, changed: Signal) -> None:
        self._state, self._clock, self._changed, self.arrived = state, clock, changed, Signal()
        self._seen: tuple[str, object] | None = None
        self._edits, self._missed = 0, False
        editor.edited.connect(self._on_edited)
        editor.renamed.connect(self._on_edited)

    def watch(self) -> None:
        """Another module has opened the case at hand: note which label of it the server has."""
        self._seen = None
        if self._of_this_server:
            self._look()

    def renew(self) -> None:
        """The label that the server has is ours by now."""
        if self._seen is not None and self._of_this_server:
            self.watch()

    def submitted(self) -> None:
        """Another module tried to send the label of the case at hand; it does not say whether it arrived."""
        state = self._state
        if state.case is not None and state.client is not None and state.phase in ("open", "sent"):
            minutes, edits = round(self._clock.minutes, 2), self._edits
            saved = same_case(state, lambda saved_at: self._saved(saved_at, minutes, edits))
            state.client.label_time(state.case.image_id, saved, same_case(state, self._not_told))

    @property
    def _of_this_server(self) -> bool:
        """Whether the case at hand is the server's: another one learns no names of its patients."""
        case, client = self._state.case, self._state.client
        return case is not None and client is not None and case.server == client.key

    def _look(self) -> None:
        """Ask which label the server has of the case at hand."""
        state = self._state
        assert state.case is not None and state.client is not None
        case, self._missed = state.case.image_id, False

        def note(saved_at: object) -> None:
            self._seen = (case, saved_at)

        def miss(failure: Failure) -> None:
            self._missed = True
            logger.warning("The server did not say which label it has of %s: %s", case, failure)

        state.client.label_time(case, same_case(state, note), same_case(state, miss))

    def _on_edited(self) -> None:
        """Somebody draws; where the server did not say which label it has, ask again before the next one is sent."""
        self._edits += 1
        if self._missed and self._of_this_server:
            self._look()

    def _saved(self, saved_at: object, minutes: float, edits: int) -> None:
        """The server has a label; is it a new one? `edits`: so many there were when it was sent."""
        assert self._state.case is not None
        case, before = self._state.case.image_id, self._seen
        self._seen = (case, saved_at)
        if before is None and self._missed and saved_at is not None:
            self._say_unknown(case)
        if saved_at is None or before is None or before[0] != case or before == self._seen:
            return
        self.arrived.emit(minutes, edits != self._edits)

    def _not_told(self, failure: Failure) -> None:
        """Whether the label arrived stays unknown: what is drawn counts as not submitted."""
        assert self._state.case is not None
        case = self._state.case.image_id
        logger.warning("The server did not say whether the label of %s arrived: %s", case, failure)
        if self._missed or (self._seen is not None and self._seen[0] == case):
            self._say_unknown(case)

    def _say_unknown(self, case: str) -> None:
        self._missed = False
        self._state.notice = say("sent_elsewhere_unknown", case=case)
        self._changed.emit()
