"""The panel's second part: the next case, the Segment Editor on it, and its way to the server."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from scaling_app_client.drafts import Draft

from .forecast_words import minutes_text
from .notice_label import as_it_is, as_markup, show_notice, show_text
from .question_rows import QuestionRows
from .reasons import why_no_prediction, why_no_submit
from .server_words import in_the_panels_language, rule_name
from .session import Session
from .wording import blind_sentence


class CaseSection:
    """Buttons and messages around one case. What may be pressed follows from the session's state alone."""

    def __init__(self, ui: Any, session: Session) -> None:
        self._ui, self._session, self._state = ui, session, session.state
        self._questions = QuestionRows(ui.questionHolder.layout())
        self._questions.changed.connect(lambda: ui.sendButton.setEnabled(self._questions.complete))
        self._rules: list[str] = []
        self._unsent: list[Draft] = []
        ui.ruleBox.currentIndexChanged.connect(lambda _index: self._show_rule())
        ui.nextButton.clicked.connect(lambda _checked=False: session.cases.next_case(self._rule))
        ui.submitButton.clicked.connect(self._submit)
        ui.predictionButton.clicked.connect(lambda _checked=False: session.prediction.fill_in())
        ui.sendButton.clicked.connect(lambda _checked=False: session.cases.submit(self._questions.answers()))
        ui.backButton.clicked.connect(lambda _checked=False: session.cases.take_back())
        ui.submitFirstButton.clicked.connect(self._submit_first)
        ui.dropButton.clicked.connect(self._drop)
        ui.stayButton.clicked.connect(lambda _checked=False: session.cases.stay())
        ui.resendButton.clicked.connect(self._resend)
        ui.discardButton.clicked.connect(self._discard)
        ui.unsentBox.currentIndexChanged.connect(lambda _index: self._show_place())

    def refresh(self) -> None:
        ui, session, state = self._ui, self._session, self._state
        self._show_rules()
        self._show_rule()
        self._show_case()
        self._show_questions()
        self._show_unsent()
        show_notice(ui.caseStatus, state.notice)
        ui.nextButton.setEnabled(state.phase in ("ready", "open", "sent"))
        ui.waitingFrame.setVisible(state.waiting_rule is not None)
        can_submit = state.can_submit or session.cases.from_elsewhere
        ui.submitButton.setEnabled(can_submit and not session.submission.busy and not state.questions)
        why_not = why_no_submit(state, session.cases.from_elsewhere, session.submission.busy)
        ui.submitButton.setToolTip(why_not or _("Send this label to the server"))
        show_text(ui.submitReason, why_not)

    def show_time(self) -> None:
        """The active minutes, as they stand now."""
        clock = self._session.clock
        text = _("{minutes} active").format(minutes=minutes_text(clock.minutes)) if clock.running else ""
        if clock.running and clock.idle:
            text = _("{minutes} active, paused").format(minutes=minutes_text(clock.minutes))
        self._ui.timeLabel.setText(text)

    @property
    def _rule(self) -> str:
        index = self._ui.ruleBox.currentIndex
        return self._rules[index] if 0 <= index < len(self._rules) else ""

    def _show_rules(self) -> None:
        info = self._state.info
        names = list(info.rules) if info else []
        self._ui.ruleBox.setEnabled(bool(names))
        if names == self._rules:
            return
        self._rules = names
        self._ui.ruleBox.clear()
        for index, name in enumerate(names):
            self._ui.ruleBox.addItem(as_it_is(rule_name(name)))
            self._ui.ruleBox.setItemData(index, as_markup(self._what(name)), 3)  # Qt::ToolTipRole

    def _what(self, name: str) -> str:
        """What a rule for the next case does, in a sentence."""
        return in_the_panels_language(self._state.info.rules[name]) if self._state.info else ""

    def _show_rule(self) -> None:
        """Only while there is no case to draw: it is of use when one is chosen."""
        choosing = self._state.phase in ("ready", "sent")
        show_text(self._ui.nextRuleWhat, self._what(self._rule) if choosing and self._rule else "")

    def _show_case(self) -> None:
        ui, case = self._ui, self._state.case
        show_text(ui.caseLabel, case.image_id if case else _("No case is loaded"))
        ui.blindFrame.setVisible(bool(case and case.blind))
        if case is not None and case.blind:
            ui.blindLabel.setText(blind_sentence())
        ui.predictionButton.setVisible(not (case and case.blind))
        ui.predictionButton.setEnabled(self._session.prediction.possible)
        why_not = why_no_prediction(self._state)
        tip = why_not or _("Ask the server's model for a first segmentation of this case")
        ui.predictionButton.setToolTip(tip)
        show_text(ui.predictionReason, "" if case and case.blind else why_not)
        words = _("{case} has changes that were not submitted.")
        show_text(ui.waitingLabel, words.format(case=case.image_id) if case else "")
        self.show_time()

    def _show_questions(self) -> None:
        state = self._state
        self._questions.ask(state.questions, list(state.info.labels) if state.info else [])
        self._ui.questionFrame.setVisible(bool(state.questions))
        self._ui.sendButton.setEnabled(self._questions.complete)

    def _show_unsent(self) -> None:
        ui, session, state = self._ui, self._session, self._state
        self._unsent = session.submission.waiting()
        ui.unsentFrame.setVisible(bool(self._unsent))
        many = len({draft.server for draft in self._unsent}) > 1
        names = [as_it_is(f"{d.image_id} ({d.server})" if many else d.image_id) for d in self._unsent]
        if [ui.unsentBox.itemText(i) for i in range(ui.unsentBox.count)] != names:
            ui.unsentBox.clear()
            ui.unsentBox.addItems(names)
        show_text(ui.unsentLabel, self._unsent_words())
        free = not session.submission.busy and state.phase not in ("sending", "fetching")
        ui.resendButton.setEnabled(state.connected and free)
        ui.discardButton.setEnabled(free)
        self._show_place()

    def _unsent_words(self) -> str:
        """How many labels wait here, of which only the minutes do, and what it takes to send them."""
        labels = sum(not draft.label_sent for draft in self._unsent)
        rest = [draft.image_id for draft in self._unsent if draft.label_sent]
        gone = [draft.image_id for draft in self._unsent if draft.case_gone]
        words = [_("Not sent yet, kept on this computer: {count}.").format(count=labels)] if labels else []
        if rest:
            told = _("The label has arrived, only the minutes have not: {cases}.")
            words.append(told.format(cases=", ".join(rest)))
        if gone:
            words.append(_("No longer on the server: {cases}.").format(cases=", ".join(gone)))
        if self._unsent and not self._state.connected:
            servers = ", ".join(dict.fromkeys(draft.server for draft in self._unsent))
            words.append(_("Connect to {server} to send.").format(server=servers))
        return " ".join(words)

    def _show_place(self) -> None:
        """Where the chosen label lies, as the list's tooltip."""
        index = self._ui.unsentBox.currentIndex
        if 0 <= index < len(self._unsent):
            place = self._session.drafts.file_of(self._unsent[index]).parent
            self._ui.unsentBox.setToolTip(_("Kept in {folder}").format(folder=place))

    def _submit(self, _checked: bool = False) -> None:
        session, state = self._session, self._state
        if session.cases.from_elsewhere and state.case is not None and state.client is not None:
            question = _(
                "{case} was opened from another server, or under another address of this one. If two servers "
                "name two patients alike, its label would be stored with the wrong patient. Does it belong to "
                "{server}?"
            )
            words = question.format(case=state.case.image_id, server=state.client.address)
            if not slicer.util.confirmYesNoDisplay(as_markup(words)):
                return
            session.cases.is_from_here()
        session.cases.submit()

    def _submit_first(self, _checked: bool = False) -> None:
        self._session.cases.stay()
        self._submit()

    def _drop(self, _checked: bool = False) -> None:
        self._session.cases.next_case(self._state.waiting_rule or self._rule, drop_unsent=True)

    def _resend(self, _checked: bool = False) -> None:
        index = self._ui.unsentBox.currentIndex
        if 0 <= index < len(self._unsent):
            self._session.submission.resend(self._unsent[index])

    def _discard(self, _checked: bool = False) -> None:
        index = self._ui.unsentBox.currentIndex
        if not 0 <= index < len(self._unsent):
            return
        draft = self._unsent[index]
        question = _("Delete the unsent label of {case} from this computer? It cannot be brought back.")
        if draft.label_sent:
            question = _(
                "Delete the minutes of {case} from this computer? They cannot be brought back. The label itself is "
                "on the server and stays there."
            )
        if slicer.util.confirmYesNoDisplay(as_markup(question.format(case=draft.image_id))):
            self._session.submission.discard(draft)
