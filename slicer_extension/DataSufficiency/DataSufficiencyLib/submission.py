"""A label on its way to the server: written to disk first, sent once, kept until it has arrived."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .drafts import Draft, DraftStore
from .http_messages import Failure
from .label_export import ExportError
from .segment_review import Answers
from .server_model import SavedLabel
from .wording import explain, say

if TYPE_CHECKING:
    from .client import Client
    from .session import Session

logger = logging.getLogger(__name__)


class Submission:
    """Sends labels for a session.

    Args:
        session: Whose state is moved along.
        drafts: Where a label lies until the server has it.
    """

    def __init__(self, session: Session, drafts: DraftStore) -> None:
        self._session = session
        self._drafts = drafts
        self._client: Client | None = None
        self._on_its_way: str | None = None
        self._seen: tuple[str, Any] | None = None

    @property
    def busy(self) -> bool:
        return self._on_its_way is not None

    def waiting(self) -> list[Draft]:
        """Labels that have not arrived, the one on its way left out; of this server alone while connected."""
        session = self._session
        server = session.client.address if session.client is not None and session.connected else None
        return [draft for draft in self._drafts.all(server) if draft.key != self._on_its_way]

    def submit(self, answers: Answers) -> None:
        """Export and send the case at hand, unless something has to be asked first."""
        session = self._session
        if self.busy or session.case is None or session.client is None or not session.nodes.alive:
            return
        found = session.nodes.review(answers)
        session.questions = found.questions
        if not found.labels:
            session.notice = say("nothing_drawn", case=session.case.image_id)
        if found.questions or not found.labels:
            session.changed.emit()
            return
        case = session.case
        minutes = round(session.clock.minutes, 2)
        draft = Draft(
            session.client.address, case.image_id, session.nodes.label_file_name, [], minutes, case.blind
        )
        try:
            info = session.nodes.export(found, str(self._drafts.prepare(draft)), answers)
            draft = Draft(draft.server, draft.image_id, draft.file_name, info, minutes, case.blind)
            self._drafts.keep(draft)
        except (ExportError, OSError) as error:
            logger.exception("Cannot export the label of %s", case.image_id)
            session.notice = say("cannot_export", case=case.image_id, detail=error)
            session.changed.emit()
            return
        session.edited = False
        session.move("sending")
        self._send(draft)

    def resend(self, draft: Draft) -> None:
        """Send a label that was kept."""
        session = self._session
        if self.busy or not session.connected or session.state in ("sending", "fetching"):
            return
        at_hand = session.case is not None and session.case.image_id == draft.image_id
        if at_hand and session.state == "open" and not session.edited:
            session.move("sending")
        self._send(draft)

    def discard(self, draft: Draft) -> None:
        """Forget a label that was kept: the user said so."""
        if draft.key != self._on_its_way:
            self._drafts.forget(draft)
            self._session.changed.emit()

    def watch_elsewhere(self) -> None:
        """Another module has opened the case at hand: note which label of it the server has."""
        session = self._session
        self._seen = None
        if session.case is not None and session.client is not None:
            case = session.case.image_id

            def note(saved_at: Any) -> None:
                self._seen = (case, saved_at)

            session.client.label_time(case, session.same_case(note), lambda _failure: None)

    def submitted_elsewhere(self) -> None:
        """Another module tried to send the label of the case at hand; it does not say whether it arrived."""
        session = self._session
        if session.case is not None and session.client is not None and session.state in ("open", "sent"):
            session.client.label_time(
                session.case.image_id, session.same_case(self._saved_elsewhere), session.forecast.note_trouble
            )

    def _saved_elsewhere(self, saved_at: Any) -> None:
        """The server has a label: if it is a new one, only the minutes are left to send."""
        session = self._session
        assert session.case is not None and session.client is not None
        before, self._seen = self._seen, (session.case.image_id, saved_at)
        if saved_at is None or before is None or before == self._seen:
            return
        case, minutes = session.case, round(session.clock.minutes, 2)
        session.edited = False
        if session.state == "open":
            session.move("sending")
            session.move("sent")
        session.client.note_case(
            case.image_id, minutes, case.blind, lambda _answer: None, session.forecast.note_trouble
        )
        session.forecast.ask()
        session.changed.emit()

    def _send(self, draft: Draft) -> None:
        """Send the label, unless it arrived already; then the minutes."""
        session, client = self._session, self._session.client
        assert client is not None
        self._client = client  # stays with this label, whatever the session connects to meanwhile
        self._on_its_way = draft.key
        session.notice = say("sending", case=draft.image_id)
        if draft.label_sent:
            self._send_minutes(draft, ())
        else:
            client.save_label(
                draft.image_id,
                draft.file_name,
                self._drafts.content(draft),
                {"label_info": draft.label_info},
                lambda answer: self._on_saved(draft, answer),
                lambda failure: self._on_failed(draft, failure),
            )
        session.changed.emit()

    def _on_saved(self, draft: Draft, answer: SavedLabel) -> None:
        self._send_minutes(self._drafts.mark(draft, label_sent=True), answer.checks)

    def _send_minutes(self, draft: Draft, checks: tuple[str, ...]) -> None:
        assert self._client is not None
        self._client.note_case(
            draft.image_id,
            draft.minutes,
            draft.blind,
            lambda _answer: self._on_all_sent(draft, checks),
            lambda failure: self._on_minutes_failed(draft, checks, failure),
        )

    def _on_all_sent(self, draft: Draft, checks: tuple[str, ...]) -> None:
        self._drafts.forget(draft)
        self._arrived(draft)
        self._session.notice = say(
            "sent_with_checks" if checks else "sent", case=draft.image_id, lines=checks
        )
        self._session.changed.emit()

    def _on_minutes_failed(self, draft: Draft, checks: tuple[str, ...], failure: Failure) -> None:
        logger.warning("The minutes of %s did not arrive: %s", draft.image_id, failure)
        if not failure.offline:
            # The label is there and the server will never take the minutes: nothing to offer again.
            self._drafts.forget(draft)
        self._arrived(draft)
        self._session.notice = say("sent_without_minutes", case=draft.image_id, lines=checks)
        self._session.changed.emit()

    def _arrived(self, draft: Draft) -> None:
        self._on_its_way = None
        self._after_sending(draft, "sent")
        self._session.forecast.ask()
        self._session.look_again()

    def _on_failed(self, draft: Draft, failure: Failure) -> None:
        """Keep the label; where the server broke, find out whether it still has the case."""
        logger.warning("The label of %s did not arrive: %s", draft.image_id, failure)
        assert self._client is not None
        if failure.kind in ("server_error", "not_found"):
            self._client.case_ids(
                lambda ids: self._kept(draft, failure, gone=draft.image_id not in ids),
                lambda _second: self._kept(draft, failure, gone=False),
            )
        else:
            self._kept(draft, failure, gone=False)

    def _kept(self, draft: Draft, failure: Failure, gone: bool) -> None:
        self._on_its_way = None
        if gone:
            self._drafts.mark(draft, case_gone=True)
        why = say("case_deleted", case=draft.image_id) if gone else explain(failure)
        self._after_sending(draft, "open")
        session = self._session
        session.notice = say("kept", case=draft.image_id, lines=(why.text,), detail=failure)
        if failure.offline:
            session.forecast.note_failure(failure)
        session.changed.emit()

    def _after_sending(self, draft: Draft, state: str) -> None:
        """Leave `sending`: back to the case if it is still on the screen."""
        session = self._session
        if session.state != "sending":
            return
        still_there = (
            session.nodes.alive and session.case is not None and session.case.image_id == draft.image_id
        )
        if session.edited:
            state = "open"  # drawn on while the label was on its way
        session.move(state if still_there else "ready")
