"""Taking up the case on the screen, and leaving it."""

from __future__ import annotations

from dataclasses import replace

from .activity import ActiveClock
from .ports import Editor
from .states import SessionState, move
from .wording import say


def take_up(state: SessionState, editor: Editor) -> None:
    """Go on with the case in the editor, if it is of this server: two may name two patients alike."""
    case = state.case
    if case is None or state.client is None or state.info is None or not editor.alive:
        return
    if case.server not in ("", state.client.key):
        state.notice = say("other_server", case=case.image_id)
        return
    state.case = replace(case, server=state.client.key)
    editor.use_labels(state.info.labels)
    move(state, "open")


def leave_case(state: SessionState, clock: ActiveClock) -> None:
    """Forget the case at hand; whatever was asked about it will find nobody."""
    state.case_turn += 1
    state.case = None
    state.edited = state.drawn = state.filling = False
    state.questions = ()
    state.waiting_rule = None
    clock.stop()
