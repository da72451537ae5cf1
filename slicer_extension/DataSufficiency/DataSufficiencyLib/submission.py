"""A label on its way to the server: written to disk first, sent once, kept until it has arrived."""

from __future__ import annotations

import logging
from dataclasses import replace
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
    from .states import CaseAtHand

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
        self._case: CaseAtHand | None = None
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
        minutes = None if case.again else round(session.clock.minutes, 2)
        draft = Draft(
            session.client.address, case.image_id, session.nodes.label_file_name, [], minutes, case.blind
        )
        try:
            info = session.nodes.export(found, str(self._drafts.prepare(draft)), answers)
            draft = replace(draft, label_info=info)
            self._drafts.keep(draft)
        except (ExportError, OSError, MemoryError) as error:
            logger.exception("Cannot export the label of %s", case.image_id)
            session.notice = say("cannot_export", case=case.image_id, detail=error)
            session.changed.emit()
            return
        self._send(draft, at_hand=True)

    def resend(self, draft: Draft) -> None:
        """Send a label that was kept."""
        session = self._session
        if self.busy or not session.connected or session.state in ("sending", "fetching"):
            return
        shown = session.case is not None and session.case.image_id == draft.image_id
        self._send(draft, at_hand=shown and session.state == "open" and not session.edited)

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
        if saved_at is None or before is None or before[0] != session.case.image_id or before == self._seen:
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

    def _send(self, draft: Draft, at_hand: bool) -> None:
        """Send the label, unless it arrived already; then the minutes. At hand: the open case waits for it."""
        session, client = self._session, self._session.client
        assert client is not None
        try:
            content = b"" if draft.label_sent else self._drafts.content(draft)
        except (OSError, MemoryError) as error:
            logger.exception("Cannot read the kept label of %s", draft.image_id)
            session.notice = say("cannot_read_kept", case=draft.image_id, detail=error)
            session.changed.emit()
            return
        self._client = client  # stays with this label, whatever the session connects to meanwhile
        self._case = session.case if at_hand else None
        self._on_its_way = draft.key
        session.notice = say("sending", case=draft.image_id)
        if at_hand:
            session.edited = False
            session.move("sending")
        if draft.label_sent:
            self._send_minutes(draft, None)
        else:
            client.save_label(
                draft.image_id,
                draft.file_name,
                content,
                {"label_info": draft.label_info},
                lambda answer: self._on_saved(draft, answer),
                lambda failure: self._on_failed(draft, failure),
            )
        session.changed.emit()

    def _on_saved(self, draft: Draft, answer: SavedLabel) -> None:
        self._send_minutes(self._mark(draft, label_sent=True), answer.checks)

    def _mark(self, draft: Draft, **changes: Any) -> Draft:
        """Write down what has become of a draft; a full disk must not hold up a label that has arrived."""
        try:
            return self._drafts.mark(draft, **changes)
        except OSError:
            logger.exception("Cannot note what became of the label of %s", draft.image_id)
            return replace(draft, **changes)

    def _send_minutes(self, draft: Draft, checks: tuple[str, ...] | None) -> None:
        """Send minutes and blindness; a label that was drawn before and corrected now has neither to tell."""
        assert self._client is not None
        if draft.minutes is None and draft.blind is None:
            self._on_all_sent(draft, checks)
            return
        self._client.note_case(
            draft.image_id,
            draft.minutes,
            draft.blind,
            lambda _answer: self._on_all_sent(draft, checks),
            lambda failure: self._on_minutes_failed(draft, checks, failure),
        )

    def _on_all_sent(self, draft: Draft, checks: tuple[str, ...] | None) -> None:
        self._drafts.forget(draft)
        self._arrived()
        words = "sent_unchecked" if checks is None else "sent_with_checks" if checks else "sent"
        self._session.notice = say(words, case=draft.image_id, lines=checks or ())
        self._session.changed.emit()

    def _on_minutes_failed(self, draft: Draft, checks: tuple[str, ...] | None, failure: Failure) -> None:
        logger.warning("The minutes of %s did not arrive: %s", draft.image_id, failure)
        if failure.lasting:
            # The label is there and the server will never take the minutes: nothing to offer again.
            self._drafts.forget(draft)
        self._arrived()
        self._session.notice = say("sent_without_minutes", case=draft.image_id, lines=checks or ())
        self._session.changed.emit()

    def _arrived(self) -> None:
        self._on_its_way = None
        self._after_sending("sent")
        if self._seen is not None:
            self.watch_elsewhere()  # the label that the server has is ours by now
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
            self._mark(draft, case_gone=True)
        why = say("case_deleted", case=draft.image_id) if gone else explain(failure)
        session = self._session
        if failure.kind == "rejected" and self._case is not None and session.case is self._case:
            session.edited = True  # to be corrected: sent again as it is, it would be turned away again
        self._after_sending("open")
        notice = say("kept", case=draft.image_id, lines=(why.text,), detail=failure)
        session.notice = replace(notice, passing=failure.offline)
        if failure.offline:
            session.forecast.note_failure(failure)
        session.changed.emit()

    def _after_sending(self, state: str) -> None:
        """Leave `sending`: back to the case if it is still on the screen, else on to the one that came instead."""
        session, case = self._session, self._case
        self._case = None
        if session.state != "sending":
            return
        if session.nodes.alive and session.case is case:
            session.move("open" if session.edited else state)  # drawn on while the label was on its way
        else:
            session.move("ready")
            session.take_up()
