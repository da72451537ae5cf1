"""The automatic segmentation of the case at hand: asked for once, and never over a drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .case_nodes import LoadError
from .http_messages import Failure
from .wording import explain, say

if TYPE_CHECKING:
    from .session import Session


class AutomaticSegmentation:
    """Fills the segments of a session's case by the server's model; withheld for a blind case.

    Attributes:
        filling: The answer is on its way.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.filling = False

    @property
    def possible(self) -> bool:
        session = self._session
        at_hand = session.state == "open" and session.case is not None and not session.case.blind
        return bool(
            at_hand and not self.filling and not session.drawn and session.info and session.info.models
        )

    def fill_in(self) -> None:
        """Ask for it."""
        session = self._session
        if not self.possible:
            return
        assert session.client is not None and session.case is not None and session.info is not None
        self.filling = True
        session.notice = say("asking_automatic")
        session.client.infer(
            session.info.models[0],
            session.case.image_id,
            session.same_case(self._on_automatic),
            session.same_case(self._on_failed),
        )
        session.changed.emit()

    def _on_automatic(self, content: bytes) -> None:
        session = self._session
        self.filling = False
        session.notice = None
        if session.state == "open" and session.drawn:
            session.notice = say("automatic_too_late")
        elif session.state == "open":
            try:
                session.nodes.fill(content)
            except (LoadError, OSError) as error:
                session.notice = say("cannot_load", case="", detail=error)
        session.changed.emit()

    def _on_failed(self, failure: Failure) -> None:
        self.filling = False
        self._session.notice = say("no_automatic") if failure.kind == "not_found" else explain(failure)
        self._session.changed.emit()
