"""The case at hand: the next one, one to look at again, one that was there already; and asking to submit it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .activity import ActiveClock
from .case_at_hand import leave_case, take_up
from .fetching import Fetching
from .label_questions import Answers
from .lease import CaseLease
from .ports import Editor
from .server_offer import ServerOffer
from .signal import Signal
from .states import CaseAtHand, SessionState, move
from .submission import Submission
from .wording import say


class Cases:
    """What a person does with one case after another.

    Args:
        clock: Counts the active minutes.
        lease: Told when a case is left.
        changed: Told when something a panel shows may have changed.
    """

    def __init__(
        self,
        state: SessionState,
        editor: Editor,
        clock: ActiveClock,
        fetching: Fetching,
        submission: Submission,
        offer: ServerOffer,
        lease: CaseLease,
        changed: Signal,
    ) -> None:
        self._state, self._editor, self._clock, self._changed = state, editor, clock, changed
        self._lease = lease
        self._fetching, self._submission, self._offer = fetching, submission, offer
        editor.edited.connect(lambda: self._on_edited(drawn=True))
        editor.renamed.connect(lambda: self._on_edited(drawn=False))
        editor.looked.connect(clock.touch)
        editor.gone.connect(self._on_gone)

    def next_case(self, rule: str, drop_unsent: bool = False) -> None:
        """Fetch the next case. With edits that were not submitted, only after `drop_unsent` was said."""
        state = self._state
        if state.phase not in ("ready", "open", "sent") or state.client is None:
            return
        if state.edited and not drop_unsent:
            state.waiting_rule = rule
            self._changed.emit()
            return
        self._make_room()
        self._fetching.start(rule)

    def reopen(self, image_id: str) -> None:
        """Fetch a case that has a label, and its label, to look at them again."""
        if self._state.can_reopen and self._state.client is not None:
            self._make_room()
            self._fetching.again(image_id)

    def stay(self) -> None:
        """Do not go on to the next case after all."""
        self._state.waiting_rule = None
        self._changed.emit()

    def adopt(self, case: CaseAtHand, image: Any, segmentation: Any, minutes: float = 0.0) -> None:
        """Take over a case that is in the editor already; what is drawn on it counts as not submitted."""
        state = self._state
        if state.phase == "fetching":
            return
        leave_case(state, self._clock)
        self._editor.adopt(image, segmentation, {})
        state.case = case
        state.edited = state.drawn = self._editor.drawn_on
        self._clock.restart(minutes)
        if state.connected and state.phase != "sending":  # else when the label on its way has come to an end
            move(state, "ready")
            take_up(state, self._editor)
        self._changed.emit()

    @property
    def from_elsewhere(self) -> bool:
        """Whether the case on the screen was opened from another server, or another address of this one."""
        return self._state.phase == "ready" and self._state.case is not None and self._editor.alive

    def is_from_here(self) -> None:
        """The user says that the case on the screen belongs to this server."""
        state = self._state
        if self.from_elsewhere and state.case is not None:
            state.notice = None
            state.case = replace(state.case, server="")
            take_up(state, self._editor)
            self._changed.emit()

    def submit(self, answers: Answers | None = None) -> None:
        """Send the label of the case at hand, once; with questions open, ask them first."""
        if self._state.can_submit:
            self._state.waiting_rule = None
            self._offer.keep_structures()
            self._submission.submit(answers or Answers())

    def take_back(self) -> None:
        """Do not submit yet: go back to the segmentation."""
        self._state.questions = ()
        self._changed.emit()

    def _make_room(self) -> None:
        case = self._state.case
        if case is not None and case.image_id not in {one.image_id for one in self._submission.waiting()}:
            self._lease.give_back()
        self._editor.close()
        leave_case(self._state, self._clock)
        move(self._state, "fetching")

    def _on_edited(self, drawn: bool) -> None:
        """The label would be another one now; `drawn`: in its voxels."""
        state = self._state
        self._clock.touch()
        before = (state.edited, state.drawn)
        state.edited, state.drawn = True, state.drawn or drawn
        if state.phase == "sent":
            move(state, "open")
        if before != (state.edited, state.drawn):
            self._changed.emit()

    def _on_gone(self, why: str) -> None:
        """The scene was closed or a node deleted. A label on its way is not touched by that."""
        state = self._state
        case, unsent = state.case, state.edited and state.phase in ("open", "ready", "disconnected")
        if case is None and state.phase != "fetching":
            return
        leave_case(state, self._clock)
        if state.phase in ("open", "sent", "fetching"):
            move(state, "ready")
        if case is None:
            state.notice = say("fetching_stopped")
        elif state.phase != "sending":
            state.notice = say("case_gone_" + why if unsent else "case_left", case=case.image_id)
        self._changed.emit()
