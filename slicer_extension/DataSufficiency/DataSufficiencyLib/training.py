"""Training on the server: starting, stopping, following it, and its last error in words."""

from __future__ import annotations

import logging
import re
from typing import Any, Callable

from scaling_app_client.answers import ServerInfo, TrainingTask
from scaling_app_client.messages import Failure

from .forecast_watch import ForecastWatch
from .forecast_words import MEASURING
from .ports import Timer, Timers
from .server_offer import ServerOffer
from .signal import Signal
from .states import SessionState, TrainingState, same_server
from .wording import Notice, explain, say

logger = logging.getLogger(__name__)

#: Endings of a training that have a sentence of their own in `wording`.
_KNOWN_ERRORS = (
    (re.compile(r"out of memory", re.I), "training_out_of_memory"),
    (re.compile(r"no space left", re.I), "training_disk_full"),
    (
        re.compile(r"no label|no case has a label|not enough|too few|at least .* label", re.I),
        "training_too_few",
    ),
)
_ERROR_LINE = re.compile(r"^\s*(?:[\w.]*\.)?\w*(?:Error|Exception|Interrupt)\b:?\s*(.*)$")


class TrainingWatch:
    """Follows the training queue of a session's server, as long as somebody watches."""

    EVERY_S = 4.0

    def __init__(
        self,
        state: SessionState,
        timers: Timers,
        forecast: ForecastWatch,
        offer: ServerOffer,
        changed: Signal,
    ) -> None:
        self._state, self._timers, self._forecast = state, timers, forecast
        self._offer, self._changed = offer, changed
        self._timer: Timer | None = None
        self._turn = 0

    def start(self, trainer: str, strategy: str = "", steps: int | str | None = None) -> None:
        client, training = self._state.client, self._state.training
        if client is None or not self._state.connected or training.running or training.changing:
            return
        self._change(say("training_starting"))
        options = {name: value for name, value in (("strategy", strategy), ("steps", steps)) if value}
        client.start_training(trainer, options, self._newest(self._on_task), self._newest(self._failed))
        self._changed.emit()

    def stop(self) -> None:
        client, training = self._state.client, self._state.training
        if client is None or not training.running or training.changing:
            return
        self._change(say("training_stopping"))
        client.stop_training(self._newest(lambda _answer: self.look()), self._newest(self._failed))
        self._changed.emit()

    def set_steps(self, steps: int | str) -> None:
        """Tell the server how long to train from now on, in steps or `auto`; the curve is then measured anew."""
        state = self._state
        if state.client is not None and state.connected:
            learnt = same_server(state, lambda _answer: self._offer.look_again())
            state.client.set_steps(steps, learnt, same_server(state, self._failed))

    def look(self) -> None:
        """Ask how it stands."""
        state = self._state
        if state.client is not None and state.connected:
            self._turn += 1
            state.client.training(self._newest(self._on_task), self._newest(self._lost))

    def look_too(self) -> None:
        """Something else than this has begun a training or met one; what is being started or stopped tells by itself."""
        if not self._state.training.changing:
            self.look()

    def forget(self) -> None:
        self.stop_watching()
        self._state.training = TrainingState()

    def stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _change(self, notice: Notice) -> None:
        self._turn += 1
        self._state.training.changing, self._state.training.notice = True, notice

    def _newest(self, action: Callable[..., None]) -> Callable[..., None]:
        """The action, unless something newer was asked meanwhile: answers may overtake each other."""
        turn = self._turn

        def act(*args: Any) -> None:
            if turn == self._turn:
                action(*args)

        return same_server(self._state, act)

    def _on_task(self, task: TrainingTask | None) -> None:
        training = self._state.training
        was_running, training.changing = training.running, False
        training.task = task
        if training.running:
            training.notice = say("measuring_running" if training.measures else "training_running")
            self._again()
            self._ask_progress()
        else:
            self.stop_watching()
            training.progress = training.minutes_left = None
            training.notice = _ending(task)
            if was_running:
                self._forecast.ask()
                self._offer.look_again()
        self._changed.emit()

    def _ask_progress(self) -> None:
        state = self._state
        if state.client is not None:
            state.client.info(
                same_server(state, self._on_progress), same_server(state, lambda _failure: None)
            )

    def _on_progress(self, info: ServerInfo) -> None:
        training = self._state.training
        task = training.task
        plan = info.plans.get(task.model) if task is not None and task.running else None
        training.progress = plan.progress if plan else None
        training.minutes_left = plan.minutes_left if plan else None
        self._offer.learn(info)

    def _again(self) -> None:
        self.stop_watching()
        if self._state.watched:
            self._timer = self._timers.after(self.EVERY_S, self.look)

    def _failed(self, failure: Failure) -> None:
        """Starting or stopping did not work."""
        training = self._state.training
        training.changing = False
        training.notice = say("training_forbidden") if failure.kind == "forbidden" else explain(failure)
        if failure.kind == "busy":
            training.notice = say("training_busy")
            self._again()
        self._changed.emit()

    def _lost(self, failure: Failure) -> None:
        """The server did not say how it stands; keep asking while a training was under way."""
        logger.warning("No news of the training: %s", failure)
        training = self._state.training
        training.changing = False
        if training.running:
            training.notice = explain(failure)
            self._again()
        self._changed.emit()


def _ending(task: TrainingTask | None) -> Notice | None:
    """How the newest training ended, in words."""
    if task is None:
        return None
    what = "measuring" if task.model == MEASURING else "training"
    if task.status == "DONE":
        return say(what + "_done")
    if task.status in ("STOPPED", "CANCELED", "CANCELLED"):
        return say(what + "_stopped")
    if task.status == "ERROR":
        return _error(task)
    return None


def _error(task: TrainingTask) -> Notice:
    """The last error line of a training's output, in our words where we know it."""
    lines = [line.strip() for line in task.lines if line.strip()]
    errors = [match.group(0).strip() for match in map(_ERROR_LINE.match, lines) if match]
    last = errors[-1] if errors else lines[-1] if lines else ""
    for pattern, key in _KNOWN_ERRORS:
        if pattern.search(last):
            return say(key, detail=last)
    message = _ERROR_LINE.match(last)
    words = (message.group(1) if message else last) or last
    return say("training_failed", detail=last, lines=(words,) if words else ())
