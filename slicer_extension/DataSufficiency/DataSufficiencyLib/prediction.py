"""The prediction of the case at hand: asked for once, and never over a drawing."""

from __future__ import annotations

from scaling_app_client.messages import Failure

from .ports import NOT_LOADED, Editor
from .signal import Signal
from .states import SessionState, same_case
from .wording import explain, say

_FILE_NAME = "segmentation.nii.gz"


class CasePrediction:
    """Fills the segments of a session's case by the server's model; withheld for a blind case."""

    def __init__(self, state: SessionState, editor: Editor, changed: Signal) -> None:
        self._state, self._editor, self._changed = state, editor, changed

    @property
    def possible(self) -> bool:
        state = self._state
        at_hand = state.phase == "open" and state.case is not None and not state.case.blind
        return bool(at_hand and not state.filling and not state.drawn and state.info and state.info.models)

    def fill_in(self) -> None:
        """Ask for it."""
        state = self._state
        if not self.possible:
            return
        assert state.client is not None and state.case is not None and state.info is not None
        state.filling = True
        state.notice = say("asking_prediction")
        state.client.infer(
            state.info.models[0],
            state.case.image_id,
            same_case(state, self._on_prediction),
            same_case(state, self._on_failed),
        )
        self._changed.emit()

    def _on_prediction(self, content: bytes) -> None:
        state = self._state
        state.filling = False
        state.notice = None
        if state.phase == "open" and state.drawn:
            state.notice = say("prediction_too_late")
        elif state.phase == "open":
            try:
                self._editor.fill(content, _FILE_NAME)
            except NOT_LOADED as error:
                state.notice = say("prediction_unreadable", detail=error)
        self._changed.emit()

    def _on_failed(self, failure: Failure) -> None:
        self._state.filling = False
        self._state.notice = say("no_prediction") if failure.kind == "not_found" else explain(failure)
        self._changed.emit()
