"""The panel's third part: what the next case is worth. One sentence, a table, a plot, and how sure it is."""

from __future__ import annotations

import time
from typing import Any, Callable

from slicer.i18n import tr as _

from scaling_app_client.payload import Doubt, Payload

from .forecast_words import doubts_text, prior_text, state_text, table_rows
from .glance_words import advice_sentence
from .notice_label import as_it_is, show_text
from .plot_section import PlotSection
from .reasons import why_no_reopen
from .session import Session
from .table_view import fill_table, prepare_table


class WorthSection:
    """Shows the session's newest forecast for the structure that is chosen."""

    def __init__(self, ui: Any, session: Session) -> None:
        self._ui, self.plot = ui, PlotSection(ui)
        self._state, self._forecast = session.state, session.forecast
        self._structures: list[str] = [""]
        self._shown: tuple[Payload | None, str] | None = None
        self._target_shown: float | None = None
        headers = (
            _("More\ncases"),
            _("Dice,\nin points\n(80 %)"),
            _("Gain,\nin points\n(80 %)"),
            _("Your\ntime"),
        )
        prepare_table(ui.worthTable, headers, fitted=(0, 3))
        ui.worthTable.horizontalHeader().setToolTip(
            _("In brackets: the range that holds with 80 % probability")
        )
        ui.structureBox.addItem(_("all together"))
        ui.structureBox.currentIndexChanged.connect(lambda _index: self.refresh())
        ui.targetButton.clicked.connect(self._set_target)
        ui.clearTargetButton.clicked.connect(lambda _checked=False: self._forecast.set_target(None))
        ui.measureButton.clicked.connect(lambda _checked=False: self._forecast.update())
        self._doubts: list[str] = []
        self._confirmed_at: tuple[object, object] | None = None
        ui.doubtBox.currentIndexChanged.connect(lambda _index: self._show_doubt_buttons())
        ui.reopenButton.clicked.connect(lambda _checked=False: self._for_doubt(session.cases.reopen))
        ui.confirmButton.clicked.connect(lambda _checked=False: self._for_doubt(self._confirm))

    @property
    def structure(self) -> str:
        """The structure that is shown; empty for all together."""
        index = self._ui.structureBox.currentIndex
        return self._structures[index] if 0 <= index < len(self._structures) else ""

    def refresh(self) -> None:
        ui, state = self._ui, self._state
        answer = state.sufficiency
        for widget in (ui.structureBox, ui.targetSpin, ui.targetButton, ui.measureButton):
            widget.setEnabled(state.connected)
        ui.measureButton.setEnabled(state.connected and not (answer is not None and answer.job.running))
        ui.clearTargetButton.setEnabled(state.connected and answer is not None and answer.target is not None)
        show_text(ui.reopenReason, why_no_reopen(state) if answer is not None and answer.doubts else "")
        self._show_doubt_buttons()
        self._show_structures(answer)
        self.show_age()
        shown = (answer, self.structure)
        if self._shown is not None and shown[0] is self._shown[0] and shown[1] == self._shown[1]:
            return
        self._shown = shown
        self._show(answer)

    def show_age(self) -> None:
        """How old the forecast is, as it stands now."""
        forecast = self._state.forecast
        if forecast.latest is None:
            show_text(self._ui.stateLabel, "")
            return
        now = time.monotonic()
        offline = None if forecast.offline_since is None else (now - forecast.offline_since) / 60
        age = now - (forecast.received_at or now)
        show_text(self._ui.stateLabel, state_text(forecast.latest, age, offline))

    def scene_changed(self) -> None:
        """The scene was closed or loaded: write the nodes anew, into those of a scene that brought its own."""
        self.plot.scene_changed()
        self._shown = None
        self.refresh()

    def _show(self, answer: Payload | None) -> None:
        ui = self._ui
        show_text(ui.reasonLabel, advice_sentence(answer))
        curve = answer.curve(self.structure) if answer else None
        target = answer.target if answer else None
        rows = table_rows(curve, target if not self.structure else None)
        cells = [(row.cases, row.dice, row.gain, row.minutes) for row in rows]
        fill_table(ui.worthTable, cells, [row.tip for row in rows])
        show_text(ui.priorLabel, prior_text(curve))
        show_text(self._ui.doubtsLabel, doubts_text(answer.doubts, answer.files) if answer else "")
        self._show_doubts(answer.doubts if answer else ())
        dice = target.dice if target else None
        if dice is not None and dice != self._target_shown:
            ui.targetSpin.setValue(round(100 * dice))
        elif dice is None and self._target_shown is not None:
            ui.targetSpin.setValue(0)
        self._target_shown = dice
        if answer is None:
            self.plot.hide()
        else:
            self.plot.show(curve, answer.points(self.structure), target, self.structure)

    def _show_doubts(self, doubts: tuple[Doubt, ...]) -> None:
        """A list to choose from the label to look at again or to confirm."""
        ui = self._ui
        ui.doubtRow.setVisible(bool(doubts))
        names = list(dict.fromkeys(doubt.image for doubt in doubts))
        if names != self._doubts:
            chosen, first = self._doubt, -1 if self._doubts else 0
            self._doubts = names
            ui.doubtBox.clear()
            ui.doubtBox.addItems([as_it_is(name) for name in names])
            # the chosen one is gone: a second click must not mean another one
            ui.doubtBox.setCurrentIndex(names.index(chosen) if chosen in names else first)
            self._show_doubt_buttons()

    @property
    def _doubt(self) -> str:
        """The case whose label in doubt is chosen; empty for none."""
        index = self._ui.doubtBox.currentIndex
        return self._doubts[index] if 0 <= index < len(self._doubts) else ""

    def _show_doubt_buttons(self) -> None:
        """Grey without a choice; after a label was confirmed, until a forecast or a refusal has come."""
        state = self._state
        told = self._confirmed_at
        waits = told is not None and told[0] is state.sufficiency and told[1] is state.notice
        self._ui.reopenButton.setEnabled(state.can_reopen and bool(self._doubt))
        self._ui.confirmButton.setEnabled(state.connected and bool(self._doubt) and not waits)

    def _confirm(self, image_id: str) -> None:
        self._confirmed_at = (self._state.sufficiency, self._state.notice)
        self._show_doubt_buttons()
        self._forecast.confirm_label(image_id)

    def _for_doubt(self, action: Callable[[str], None]) -> None:
        if self._doubt:
            action(self._doubt)

    def _show_structures(self, answer: Payload | None) -> None:
        names = ["", *(curve.name for curve in answer.structures if curve.name)] if answer else [""]
        if names == self._structures:
            return
        chosen = self.structure
        box = self._ui.structureBox
        box.blockSignals(True)
        box.clear()
        box.addItems([as_it_is(name) or _("all together") for name in names])
        self._structures = names
        box.setCurrentIndex(names.index(chosen) if chosen in names else 0)
        box.blockSignals(False)

    def _set_target(self, _checked: bool = False) -> None:
        points = self._ui.targetSpin.value  # the least of them reads "none"
        self._forecast.set_target(points / 100.0 if points else None)
