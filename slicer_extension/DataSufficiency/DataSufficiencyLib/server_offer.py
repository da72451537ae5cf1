"""What the server offers by now: a first label makes structures, a first training makes a model."""

from __future__ import annotations

from scaling_app_client.answers import ServerInfo

from .ports import Editor
from .signal import Signal
from .states import SessionState, same_server


class ServerOffer:
    """Keeps a session's `info` up to date, and the open case in step with its structures.

    Args:
        changed: Told when something came.
    """

    def __init__(self, state: SessionState, editor: Editor, changed: Signal) -> None:
        self._state, self._editor, self._changed = state, editor, changed

    def look_again(self) -> None:
        """Ask the server anew."""
        state = self._state
        if state.client is not None and state.connected:
            state.client.info(same_server(state, self.learn), lambda _failure: None)

    def learn(self, info: ServerInfo) -> None:
        """What the server offers; structures that it has got meanwhile hold for the open case, too."""
        self._state.info = info
        if self._state.phase in ("open", "sent"):
            self.keep_structures()
        self._changed.emit()

    def keep_structures(self) -> None:
        """The server's structures of now are those of the open case; segments that were deleted stay so."""
        info = self._state.info
        if info is not None and self._editor.alive and self._editor.labels != info.labels:
            self._editor.use_labels(info.labels)
            self._state.questions = ()  # they were about the former structures
