"""The questions before a label is sent, one row each, and the answers as they stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from .label_questions import Answers, Question
from .notice_label import as_it_is, breakable
from .signal import Signal
from .wording import label_question


class QuestionRows:
    """Rows in a grid layout: each question, and below it what to answer it with.

    Signals:
        changed: An answer was given or taken back.
    """

    def __init__(self, grid: Any) -> None:
        self.changed = Signal()
        self._grid = grid
        self._rows: list[tuple[Question, Any, Any]] = []
        self._structures: list[str] = []
        self._given = Answers()

    def ask(self, questions: Sequence[Question], structures: Sequence[str]) -> None:
        """Show these questions; answers to questions asked before for the same label stay."""
        if [row[0] for row in self._rows] == list(questions):
            return
        self._given = self.answers() if questions else Answers()
        self._clear()
        self._structures = list(structures)
        for number, question in enumerate(questions):
            words = qt.QLabel(breakable(label_question(question.kind, question.name, question.voxels)))
            words.setTextFormat(qt.Qt.PlainText)
            words.setWordWrap(True)
            control = self._choice(question) if question.kind == "unknown" else self._confirmation(question)
            self._grid.addWidget(words, 2 * number, 0)
            self._grid.addWidget(control, 2 * number + 1, 0)
            self._rows.append((question, words, control))
        self.changed.emit()

    @property
    def complete(self) -> bool:
        """Whether every question has an answer."""
        return all(
            control.currentIndex > 0 if question.kind == "unknown" else control.checked
            for question, _words, control in self._rows
        )

    def answers(self) -> Answers:
        """What was answered so far, earlier rounds included."""
        assigned = dict(self._given.assigned)
        absent = set(self._given.absent)
        overlap, structures = self._given.accepted_overlap, self._given.accepted_structures
        preview = self._given.accepted_preview
        for question, _words, control in self._rows:
            if question.kind == "unknown" and control.currentIndex > 0:
                chosen = control.currentIndex - 1
                assigned[question.subject] = (
                    self._structures[chosen] if chosen < len(self._structures) else None
                )
            elif question.kind == "absent" and control.checked:
                absent.add(question.subject)
            elif question.kind == "overlap" and control.checked:
                overlap = True
            elif question.kind == "structures" and control.checked:
                structures = True
            elif question.kind == "preview" and control.checked:
                preview = True
        return Answers(assigned, frozenset(absent), overlap, structures, preview)

    def _choice(self, question: Question) -> Any:
        box = qt.QComboBox()
        box.setSizeAdjustPolicy(qt.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(8)
        box.addItem(_("choose..."))
        for name in self._structures:
            box.addItem(_("it is {name}").format(name=as_it_is(name)))
        box.addItem(_("leave it out"))
        if question.guess in self._structures:
            box.setCurrentIndex(1 + self._structures.index(question.guess))
        box.currentIndexChanged.connect(lambda _index: self.changed.emit())
        return box

    def _confirmation(self, question: Question) -> Any:
        texts = {
            "absent": _("it is truly not in this image"),
            "overlap": _("that is right"),
            "structures": _("these are the structures"),
            "preview": _("send it without that result"),
        }
        box = qt.QCheckBox(texts[question.kind])
        box.toggled.connect(lambda _checked: self.changed.emit())
        return box

    def _clear(self) -> None:
        for _question, words, control in self._rows:
            for widget in (words, control):
                self._grid.removeWidget(widget)
                widget.setParent(None)
                widget.deleteLater()
        self._rows = []
