"""A label on its way to the server: written to disk first, sent once, kept until it has arrived."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from scaling_app_client.answers import SavedLabel
from scaling_app_client.calls import Client
from scaling_app_client.drafts import Draft, DraftStore
from scaling_app_client.messages import Failure

from .activity import ActiveClock
from .case_at_hand import take_up
from .elsewhere import SubmittedElsewhere
from .forecast_watch import ForecastWatch
from .label_questions import Answers
from .ports import Editor, ExportError
from .server_offer import ServerOffer
from .signal import Signal
from .states import CaseAtHand, SessionState, move
from .wording import explain, say

logger = logging.getLogger(__name__)


class Submission:
    """Sends labels for a session.

    Args:
        clock: Has the active minutes that follow a label.
        drafts: Where a label lies until the server has it.
        elsewhere: Told when the server's label is ours; tells when one of another module's has arrived.
    """

    def __init__(
        self,
        state: SessionState,
        editor: Editor,
        clock: ActiveClock,
        drafts: DraftStore,
        forecast: ForecastWatch,
        offer: ServerOffer,
        elsewhere: SubmittedElsewhere,
        changed: Signal,
    ) -> None:
        self._state, self._editor, self._clock, self._drafts = state, editor, clock, drafts
        self._forecast, self._offer, self._elsewhere = forecast, offer, elsewhere
        self._changed = changed
        self._client: Client | None = None
        self._on_its_way: str | None = None
        self._case: CaseAtHand | None = None
        elsewhere.arrived.connect(self._on_arrived_elsewhere)

    @property
    def busy(self) -> bool:
        return self._on_its_way is not None

    def waiting(self) -> list[Draft]:
        """Labels that have not arrived, the one on its way left out; of this server alone while connected."""
        state = self._state
        server = state.client.address if state.client is not None and state.connected else None
        return [draft for draft in self._drafts.all(server) if draft.key != self._on_its_way]

    def submit(self, answers: Answers) -> None:
        """Export and send the case at hand, unless something has to be asked first."""
        state = self._state
        if self.busy or state.case is None or state.client is None or not self._editor.alive:
            return
        found = self._editor.review(answers)
        state.questions = found.questions
        if not found.labels:
            state.notice = say("nothing_drawn", case=state.case.image_id)
        if found.questions or not found.labels:
            self._changed.emit()
            return
        case = state.case
        minutes = None if case.again else round(self._clock.minutes, 2)
        draft = Draft(
            state.client.address, case.image_id, self._editor.label_file_name, [], minutes, case.blind
        )
        try:
            info = self._editor.export(found, str(self._drafts.prepare(draft)), answers)
            draft = self._drafts.keep(replace(draft, label_info=info))
        except (ExportError, OSError, MemoryError) as error:
            logger.exception("Cannot export the label of %s", case.image_id)
            state.notice = say("cannot_export", case=case.image_id, detail=error)
            self._changed.emit()
            return
        self._send(draft, at_hand=True)

    def resend(self, draft: Draft) -> None:
        """Send a label that was kept."""
        state = self._state
        if self.busy or not state.connected or state.phase in ("sending", "fetching"):
            return
        shown = state.case is not None and state.case.image_id == draft.image_id
        self._send(draft, at_hand=shown and state.phase == "open" and not state.edited)

    def discard(self, draft: Draft) -> None:
        """Forget a label that was kept: the user said so."""
        if draft.key != self._on_its_way:
            self._drafts.forget(draft)
            self._changed.emit()

    def _on_arrived_elsewhere(self, minutes: float, changed_since: bool) -> None:
        """Another module's label of the case at hand has arrived: minutes and blindness are left to send."""
        state = self._state
        assert state.case is not None and state.client is not None
        case, name = state.case, self._editor.label_file_name
        told = None if case.again else minutes
        draft = Draft(state.client.address, case.image_id, name, [], told, case.blind, label_sent=True)
        if draft.key == self._on_its_way:
            return  # ours came after it
        draft = self._keep_without_label(draft)
        if not self.busy:
            self._send(draft, at_hand=True)
        state.edited = changed_since
        self._changed.emit()

    def _keep_without_label(self, draft: Draft) -> Draft:
        """Keep what is to be told of a label that has arrived; a full disk must not hold it up."""
        try:
            self._drafts.prepare(draft).write_bytes(b"")
            return self._drafts.keep(draft)
        except OSError:
            logger.exception("Cannot keep the minutes of %s", draft.image_id)
            return draft

    def _send(self, draft: Draft, at_hand: bool) -> None:
        """Send the label, unless it arrived already; then the minutes. At hand: the open case waits for it."""
        state, client = self._state, self._state.client
        assert client is not None
        try:
            content = b"" if draft.label_sent else self._drafts.content(draft)
        except (OSError, MemoryError) as error:
            logger.exception("Cannot read the kept label of %s", draft.image_id)
            state.notice = say("cannot_read_kept", case=draft.image_id, detail=error)
            self._changed.emit()
            return
        self._client = client  # stays with this label, whatever the session connects to meanwhile
        self._case = state.case if at_hand else None
        self._on_its_way = draft.key
        state.notice = say("sending", case=draft.image_id)
        if at_hand:
            state.edited = False
            move(state, "sending")
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
        self._changed.emit()

    def _on_saved(self, draft: Draft, answer: SavedLabel) -> None:
        self._send_minutes(self._mark(draft, label_sent=True), answer.doubts)

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
        words = "sent_unchecked" if checks is None else "sent_with_doubts" if checks else "sent"
        self._state.notice = say(words, case=draft.image_id, lines=checks or ())
        self._changed.emit()

    def _on_minutes_failed(self, draft: Draft, checks: tuple[str, ...] | None, failure: Failure) -> None:
        logger.warning("The minutes of %s did not arrive: %s", draft.image_id, failure)
        if failure.lasting:
            # The label is there and the server will never take the minutes: nothing to offer again.
            self._drafts.forget(draft)
        self._arrived()
        self._state.notice = say("sent_without_minutes", case=draft.image_id, lines=checks or ())
        self._changed.emit()

    def _arrived(self) -> None:
        self._on_its_way = None
        self._after_sending("sent")
        self._elsewhere.renew()
        self._forecast.ask()
        self._offer.look_again()

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
        state = self._state
        if failure.kind == "rejected" and self._case is not None and state.case is self._case:
            state.edited = True  # to be corrected: sent again as it is, it would be turned away again
        self._after_sending("open")
        notice = say("kept", case=draft.image_id, lines=(why.text,), detail=failure)
        state.notice = replace(notice, passing=failure.offline)
        self._changed.emit()

    def _after_sending(self, phase: str) -> None:
        """Leave `sending`: back to the case if it is still on the screen, else on to the one that came instead."""
        state, case = self._state, self._case
        self._case = None
        if state.phase != "sending":
            return
        if self._editor.alive and state.case is case:
            move(state, "open" if state.edited else phase)  # drawn on while the label was on its way
        else:
            move(state, "ready")
            take_up(state, self._editor)
