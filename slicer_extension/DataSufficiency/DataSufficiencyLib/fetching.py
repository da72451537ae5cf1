"""A case on its way: the next one or one to look at again; its image fetched, and opened in the editor."""

from __future__ import annotations

import logging

from scaling_app_client.answers import NextCase, NoCase
from scaling_app_client.messages import Failure

from .activity import ActiveClock
from .ports import NOT_LOADED, Editor
from .server_words import of_the_case
from .signal import Signal
from .states import CaseAtHand, SessionState, move, same_case
from .wording import Notice, explain, say

logger = logging.getLogger(__name__)


class Fetching:
    """Brings a session from `fetching` to `open`, or back to `ready` with a word why not."""

    def __init__(self, state: SessionState, editor: Editor, clock: ActiveClock, changed: Signal) -> None:
        self._state, self._editor, self._clock, self._changed = state, editor, clock, changed

    def start(self, rule: str) -> None:
        """Ask the server for the case that this rule picks."""
        state = self._state
        assert state.client is not None
        state.notice = say("asking_next")
        state.client.next_case(rule, same_case(state, self._on_next), same_case(state, self._on_failed))
        self._changed.emit()

    def again(self, image_id: str) -> None:
        """Ask for a case that has a label: its file's name, its image, its label."""
        state = self._state
        assert state.client is not None
        client = state.client
        state.notice = say("loading", case=image_id)

        def on_name(file_name: str) -> None:
            case = NextCase(image_id, file_name or image_id + ".nii.gz", None)
            client.image(image_id, same_case(state, lambda image: on_image(case, image)), failed)

        def on_image(case: NextCase, image: bytes) -> None:
            arrived = same_case(state, lambda label: self._on_image(case, image, label))
            client.label(image_id, arrived, failed)

        failed = same_case(state, self._on_failed)
        client.image_name(image_id, same_case(state, on_name), failed)
        self._changed.emit()

    def _on_next(self, case: NextCase | NoCase) -> None:
        state = self._state
        if isinstance(case, NoCase):
            nothing = state.info is not None and state.info.total == 0
            ours = say("no_image") if nothing else say("no_case_left")
            self._end(Notice(case.message) if case.message else ours)
            return
        state.notice = say("loading", case=case.image_id)
        assert state.client is not None
        state.client.image(
            case.image_id,
            same_case(state, lambda content: self._on_image(case, content)),
            same_case(state, self._on_failed),
        )
        self._changed.emit()

    def _on_image(self, case: NextCase, content: bytes, label: bytes | None = None) -> None:
        state, editor = self._state, self._editor
        assert state.info is not None and state.client is not None
        try:
            editor.open(case.image_id, case.file_name, content, state.info.labels)
            if label is not None:
                editor.fill(label, editor.label_file_name)
        except NOT_LOADED as error:
            logger.exception("Cannot load %s", case.image_id)
            editor.close()
            self._end(say("cannot_load", case=case.image_id, detail=error))
            return
        again = label is not None
        state.case = CaseAtHand(case.image_id, case.blind, state.client.key, again)
        state.drawn = again
        words = of_the_case(case.message)
        state.notice = Notice(words) if words else None
        self._clock.restart()
        move(state, "open")
        self._changed.emit()

    def _on_failed(self, failure: Failure) -> None:
        self._end(explain(failure))

    def _end(self, why: Notice) -> None:
        """No case came."""
        move(self._state, "ready")
        self._state.notice = why
        self._changed.emit()
