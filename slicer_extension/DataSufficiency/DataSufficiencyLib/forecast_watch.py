"""Asks the server for its forecast now and then, slower when it does not answer, and never two at a time."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from scaling_app_client.messages import Failure
from scaling_app_client.payload import Job, Payload

from .ports import Timer, Timers
from .server_offer import ServerOffer
from .server_words import STARTING
from .signal import Signal
from .states import ForecastState, SessionState, same_server
from .wording import explain, say

logger = logging.getLogger(__name__)


class ForecastWatch:
    """Keeps the newest forecast of a session's server, as long as somebody watches.

    Signals:
        measuring: The learning curve is being measured as of now, or something else keeps it from that.
    """

    BUSY_S, CALM_S, LONGEST_S = 3.0, 30.0, 60.0

    def __init__(self, state: SessionState, timers: Timers, offer: ServerOffer, changed: Signal) -> None:
        self._state, self._timers, self._offer, self._changed = state, timers, offer, changed
        self._timer: Timer | None = None
        self._asking = self._ask_again = self._starting = False
        self._wait_s = self.CALM_S
        self.measuring = Signal()

    def stop(self) -> None:
        """The panel is not on the screen: ask no more."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def forget(self) -> None:
        """Another server, or none."""
        self.stop()
        self._asking = self._ask_again = self._starting = False
        self._state.forecast = ForecastState()

    def ask(self) -> None:
        """Ask; while a question is on its way, ask again after its answer, which may be older than the cause."""
        state = self._state
        if state.client is None or not state.connected:
            return
        if self._asking:
            self._ask_again = True
            return
        self._asking = True
        state.client.sufficiency(same_server(state, self.take), same_server(state, self._failed))

    def take(self, answer: Payload) -> None:
        """A new answer."""
        state, forecast = self._state, self._state.forecast
        back, before = forecast.offline_since is not None, forecast.latest
        self._asking = False
        forecast.latest, forecast.received_at = answer, time.monotonic()
        forecast.before = _of_fewer_labels(forecast.before, before, answer)
        forecast.offline_since = forecast.trouble = None
        self._plan(self.BUSY_S if self._busy else self.CALM_S)
        if back and (state.notice is None or state.notice.passing):
            state.notice = say("server_back")
        self._changed.emit()
        if before is not None and before.n_labelled != answer.n_labelled:
            self._offer.look_again()  # a label of somebody else's may have made structures
        if before is not None and answer.job.running and not before.job.running:
            self.measuring.emit()  # somebody else has begun it
        if self._ask_again:
            self._ask_again = False
            self.ask()

    def note_failure(self, failure: Failure) -> None:
        """Some call found that the server does not answer: say so at once, and ask soon whether it is back."""
        forecast = self._state.forecast
        if forecast.offline_since is None:
            forecast.offline_since = time.monotonic()
        forecast.trouble = explain(failure)
        if not self._asking:
            self._plan(self.BUSY_S)

    def set_target(self, dice: float | None) -> None:
        """Tell the server which Dice would be good enough; None takes the target back."""
        state = self._state
        if state.client is not None and state.connected:
            state.client.set_target(dice, same_server(state, self._done), same_server(state, self._refused))

    def update(self) -> None:
        """Start the measurement of new points on the curve, which is shown as being started at once."""
        state, forecast = self._state, self._state.forecast
        if state.client is None or not state.connected or self._starting:
            return
        self._starting = True
        former = forecast.latest
        shown = replace(former, job=Job(running=True, message=STARTING)) if former is not None else None

        def begun(_answer: object) -> None:
            self._starting = False
            self.ask()
            self.measuring.emit()

        def refused(failure: Failure) -> None:
            self._starting = False
            if forecast.latest is shown:
                forecast.latest = former
            self._refused(failure)
            if failure.kind == "busy":
                self.measuring.emit()

        forecast.latest = shown
        state.client.update_forecast(same_server(state, begun), same_server(state, refused))
        self._changed.emit()

    def confirm_label(self, image_id: str) -> None:
        """Tell the server that a label which it doubts is right."""
        state = self._state
        if state.client is not None and state.connected:
            state.client.confirm_label(
                image_id, same_server(state, self._done), same_server(state, self._refused)
            )

    def _done(self, _answer: object) -> None:
        self.ask()

    def _refused(self, failure: Failure) -> None:
        self._state.notice = explain(failure)
        self._changed.emit()

    def _failed(self, failure: Failure) -> None:
        logger.warning("No forecast: %s", failure)
        self._asking = self._ask_again = False
        self._state.forecast.trouble = explain(failure)
        self._plan(min(2 * self._wait_s, self.LONGEST_S) if failure.offline else self.CALM_S)
        self._changed.emit()

    @property
    def _busy(self) -> bool:
        latest = self._state.forecast.latest
        return bool(latest and latest.busy) or self._state.training.running

    def _plan(self, seconds: float) -> None:
        self._wait_s = seconds
        self.stop()
        if self._state.watched and self._state.connected:
            self._timer = self._timers.after(seconds, self.ask)


def _of_fewer_labels(kept: Payload | None, last: Payload | None, answer: Payload) -> Payload | None:
    """The last answer of fewer labels than this one; none where labels were taken back, or of another recipe.

    What other steps or structures change is not what the last label brought.
    """
    n, before = answer.n_labelled or 0, (last.n_labelled or 0) if last is not None else 0
    if last is None or n < before:
        return None
    found = last if n > before else kept
    other = found is not None and answer.recipe is not None and found.recipe != answer.recipe
    return None if other else found
