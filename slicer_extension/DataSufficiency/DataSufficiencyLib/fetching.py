"""A case on its way: the next one or one to look at again; its image fetched, and opened in the scene."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .case_nodes import LoadError
from .http_messages import Failure
from .server_model import NextCase
from .wording import explain, say

if TYPE_CHECKING:
    from .session import Session

logger = logging.getLogger(__name__)


class Fetching:
    """Brings a session from `fetching` to `open`, or back to `ready` with a word why not."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def start(self, strategy: str) -> None:
        """Ask the server for the case that this strategy picks."""
        session = self._session
        assert session.client is not None
        session.notice = say("asking_next")
        session.client.next_case(
            strategy, session.same_case(self._on_next), session.same_case(self._on_failed)
        )
        session.changed.emit()

    def again(self, image_id: str) -> None:
        """Ask for a case that has a label: its file's name, its image, its label."""
        session = self._session
        assert session.client is not None
        client = session.client
        session.notice = say("loading", case=image_id)

        def on_name(file_name: str) -> None:
            case = NextCase(image_id, file_name or image_id + ".nii.gz", "", None)
            client.image(image_id, session.same_case(lambda image: on_image(case, image)), failed)

        def on_image(case: NextCase, image: bytes) -> None:
            arrived = session.same_case(lambda label: self._on_image(case, image, label))
            client.label(image_id, "final", arrived, failed)

        failed = session.same_case(self._on_failed)
        client.image_name(image_id, session.same_case(on_name), failed)
        session.changed.emit()

    def _on_next(self, case: NextCase | None) -> None:
        session = self._session
        if case is None:
            session.move("ready")
            session.notice = say("no_case_left")
            session.changed.emit()
            return
        session.notice = say("loading", case=case.image_id)
        assert session.client is not None
        session.client.image(
            case.image_id,
            session.same_case(lambda content: self._on_image(case, content)),
            session.same_case(self._on_failed),
        )
        session.changed.emit()

    def _on_image(self, case: NextCase, content: bytes, label: bytes | None = None) -> None:
        session = self._session
        assert session.info is not None
        try:
            session.nodes.open(case.image_id, case.file_name, content, session.info.labels)
            if label is not None:
                session.nodes.fill(label, session.nodes.label_file_name)
        except (LoadError, OSError, MemoryError) as error:
            logger.exception("Cannot load %s", case.image_id)
            session.nodes.close()
            session.move("ready")
            session.notice = say("cannot_load", case=case.image_id, detail=error)
            session.changed.emit()
            return
        session.opened(case.image_id, case.blind, again=label is not None)

    def _on_failed(self, failure: Failure) -> None:
        self._session.move("ready")
        self._session.notice = explain(failure)
        self._session.changed.emit()
