"""The panel's lower parts: strategies, training and coverage."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from scaling_app_client.answers import AUTO_STEPS

from .forecast_words import (
    UNKNOWN,
    coverage_text,
    decimal,
    effect_tip,
    gain_text,
    kappa_number,
    strategy_name,
    strategy_summary,
    trainer_name,
    training_text,
    what_text,
)
from .notice_label import as_it_is, show_notice, show_text
from .reasons import why_no_training
from .server_words import in_the_panels_language
from .session import Session
from .states import SessionState
from .table_view import fill_table, prepare_table

_OUTSIDE_SHOWN = 5


class StrategiesSection:
    """What each way of training makes of the cases that there are."""

    def __init__(self, ui: Any, state: SessionState) -> None:
        self._ui, self._state = ui, state
        self._shown: Any = self
        prepare_table(
            ui.strategyTable,
            (_("Strategy"), _("Worth,\nin cases\n(80 %)"), _("Gain,\nin points\n(80 %)")),
        )
        ui.strategyTable.horizontalHeader().setToolTip(
            _(
                "How many cases one case is worth, and the difference in Dice, both against the session's own strategy "
                "on the same cases. In brackets: the range that holds with 80 % probability"
            )
        )

    def refresh(self) -> None:
        answer = self._state.sufficiency
        if answer is self._shown:
            return
        self._shown = answer
        effects = answer.strategies if answer else ()
        n = answer.n_in_curve or answer.n_labelled if answer else None
        show_text(self._ui.strategySummary, strategy_summary(effects, n))
        show_text(self._ui.strategyWhat, what_text(effects))
        rows = [
            (strategy_name(e.name, e.title), kappa_number(e), gain_text(e.dice_difference)) for e in effects
        ]
        fill_table(self._ui.strategyTable, rows, [effect_tip(effect, n) for effect in effects])


class TrainingSection:
    """Start, stop, how far, and how the last one ended."""

    def __init__(self, ui: Any, session: Session) -> None:
        self._ui, self._state, self._training = ui, session.state, session.training
        self._trainers: list[str] = []
        self._strategies: list[str] = []
        self._steps: int | str | None = None
        ui.stepsSpin.setSpecialValueText(UNKNOWN)
        ui.trainerBox.currentIndexChanged.connect(lambda _index: self._trainer_chosen())
        ui.trainingStrategyBox.currentIndexChanged.connect(lambda _index: self._show_what())
        ui.stepsSpin.valueChanged.connect(lambda _steps: self._show_effect())
        ui.stepsSpin.editingFinished.connect(self._set_steps)
        ui.trainButton.clicked.connect(self._start)
        ui.stopButton.clicked.connect(lambda _checked=False: self._training.stop())

    def refresh(self) -> None:
        ui, training = self._ui, self._state.training
        self._show_trainers()
        free = self._state.connected and not training.running and not training.changing
        ui.trainButton.setEnabled(free and bool(self._trainers))
        ui.stopButton.setEnabled(training.running and not training.changing)
        ui.trainerBox.setEnabled(free)
        ui.trainingStrategyBox.setEnabled(free and bool(self._strategies))
        self._show_steps(free)
        ui.trainingProgress.setVisible(training.running)
        # A range of nothing makes the bar say "busy".
        ui.trainingProgress.setRange(0, 0 if training.progress is None else 100)
        if training.progress is not None:
            ui.trainingProgress.setValue(round(100 * training.progress))
        self._show_effect()
        show_notice(ui.trainingStatus, training.notice)
        show_text(ui.trainingReason, why_no_training(self._state))

    def _show_trainers(self) -> None:
        info = self._state.info
        names = list(info.trainers) if info else []
        if names != self._trainers:
            self._trainers = names
            self._ui.trainerBox.clear()
            self._ui.trainerBox.addItems([as_it_is(trainer_name(name)) for name in names])
            self._show_strategies()

    def _trainer_chosen(self) -> None:
        self._show_strategies()
        self._show_effect()

    def _show_effect(self) -> None:
        """What the button beside it starts: how long, and what for."""
        info, index, latest = self._state.info, self._ui.trainerBox.currentIndex, self._state.sufficiency
        text = ""
        if info is not None and 0 <= index < len(self._trainers):
            name, steps = self._trainers[index], self._ui.stepsSpin.value or None
            text = training_text(name, info.plans.get(name), steps, latest.n_labelled if latest else None)
        show_text(self._ui.trainingEffect, "" if self._state.training.running else text)

    def _show_strategies(self) -> None:
        """The strategies of the chosen trainer, the server's own first choice on top."""
        info, index = self._state.info, self._ui.trainerBox.currentIndex
        known = info is not None and 0 <= index < len(self._trainers)
        names = list(info.trainers.get(self._trainers[index], ())) if info is not None and known else []
        if names != self._strategies:
            self._strategies = names
            self._ui.trainingStrategyBox.clear()
            self._ui.trainingStrategyBox.addItems([as_it_is(self._offered(name)[0]) for name in names])
            self._show_what()

    def _offered(self, name: str) -> tuple[str, str]:
        """What a strategy is called, and what it does."""
        words = self._state.info.offered.get(name) if self._state.info is not None else None
        return (words.title or name, in_the_panels_language(words.what)) if words else (name, "")

    def _show_what(self) -> None:
        index = self._ui.trainingStrategyBox.currentIndex
        known = 0 <= index < len(self._strategies)
        show_text(self._ui.trainingStrategyWhat, self._offered(self._strategies[index])[1] if known else "")

    def _show_steps(self, free: bool) -> None:
        """The server's steps, but not over what is being typed; a dash where it does not say.

        The field's least value, 0, stands for `auto`, which is how most servers start.
        """
        steps, spin = self._state.info.steps if self._state.info else None, self._ui.stepsSpin
        spin.setEnabled(free and steps is not None)
        if steps == self._steps:
            return
        self._steps = steps
        spin.setSpecialValueText(UNKNOWN if steps is None else _("auto"))
        spin.setValue(steps if isinstance(steps, int) else 0)

    @property
    def _wanted_steps(self) -> int | str:
        return int(self._ui.stepsSpin.value) or AUTO_STEPS

    def _set_steps(self) -> None:
        if self._steps is not None and self._wanted_steps != self._steps:
            self._training.set_steps(self._wanted_steps)

    def _start(self, _checked: bool = False) -> None:
        index = self._ui.trainerBox.currentIndex
        if 0 <= index < len(self._trainers):
            chosen = self._ui.trainingStrategyBox.currentIndex
            strategy = self._strategies[chosen] if 0 <= chosen < len(self._strategies) else ""
            self._set_steps()  # where a click on a button leaves the focus in the field
            steps = None if self._steps is None else self._wanted_steps
            self._training.start(self._trainers[index], strategy, steps)


class CoverageSection:
    """Unlabelled cases that are unlike those labelled so far."""

    def __init__(self, ui: Any, state: SessionState) -> None:
        self._ui, self._state = ui, state
        self._shown: Any = self
        prepare_table(ui.coverageTable, (_("Case"), _("Distance")))
        ui.coverageTable.horizontalHeader().setToolTip(
            _("How far its shape lies outside the labelled ones, as a multiple of what is usual among them")
        )

    def refresh(self) -> None:
        answer = self._state.sufficiency
        if answer is self._shown:
            return
        self._shown = answer
        coverage = answer.coverage if answer else None
        show_text(self._ui.coverageLabel, coverage_text(coverage))
        cases = coverage.cases[:_OUTSIDE_SHOWN] if coverage else ()
        rows = [
            (
                case.image,
                "" if case.distance is None else _("{times} times").format(times=decimal(case.distance)),
            )
            for case in cases
        ]
        fill_table(self._ui.coverageTable, rows)
