"""Asks the server for its forecast now and then, slower when it does not answer, and never two at a time."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from .http_messages import Failure
from .model import Sufficiency
from .wording import Notice, explain, say

if TYPE_CHECKING:
    from .session import Session

logger = logging.getLogger(__name__)


class ForecastWatch:
    """Keeps the newest forecast of a session's server.

    Attributes:
        latest: The newest answer.
        received_at: When it came, in seconds since 1970.
        offline_since: When the server stopped answering, None while it answers.
    """

    BUSY_S, CALM_S, LONGEST_S = 3.0, 30.0, 60.0

    def __init__(self, session: Session, timers: Any) -> None:
        self._session = session
        self._timers = timers
        self._timer: Any = None
        self._asking = self._ask_again = self._watching = False
        self._wait_s = self.CALM_S
        self.latest: Sufficiency | None = None
        self.received_at: float | None = None
        self.offline_since: float | None = None
        self.trouble: Notice | None = None

    def start(self) -> None:
        """Watch from now on; the panel is on the screen."""
        self._watching = True
        self._plan(self.BUSY_S if self._busy else self.CALM_S)

    def stop(self) -> None:
        """The panel is not on the screen: ask no more."""
        self._watching = False
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def forget(self) -> None:
        """Another server, or none."""
        self.stop()
        self._asking = self._ask_again = False
        self.latest = self.received_at = self.offline_since = self.trouble = None

    def ask(self) -> None:
        """Ask; while a question is on its way, ask again after its answer, which may be older than the cause."""
        session = self._session
        if session.client is None or not session.connected:
            return
        if self._asking:
            self._ask_again = True
            return
        self._asking = True
        session.client.sufficiency(session.same_server(self.take), session.same_server(self._failed))

    def take(self, answer: Sufficiency) -> None:
        """A new answer."""
        back, before = self.offline_since is not None, self.latest
        self._asking = False
        self.latest, self.received_at = answer, time.time()
        self.offline_since = self.trouble = None
        self._plan(self.BUSY_S if self._busy else self.CALM_S)
        if back and (self._session.notice is None or self._session.notice.passing):
            self._session.notice = say("server_back")
        self._session.changed.emit()
        if before is not None and before.n_labelled != answer.n_labelled:
            self._session.look_again()  # a label of somebody else's may have made classes
        if self._ask_again:
            self._ask_again = False
            self.ask()

    def note_failure(self, failure: Failure) -> None:
        """Another call found that the server does not answer."""
        if self.offline_since is None:
            self.offline_since = time.time()
        self.trouble = explain(failure)
        self._plan(self.BUSY_S)

    def note_trouble(self, failure: Failure) -> None:
        """A call on the side failed; said, and that is all."""
        logger.warning("The server did not take it: %s", failure)
        if failure.offline:
            self.note_failure(failure)

    def set_target(self, dice: float | None) -> None:
        """Tell the server which Dice would be good enough; None takes the target back."""
        session = self._session
        if session.client is not None and session.connected:
            session.client.set_target(
                dice, session.same_server(self._done), session.same_server(self._refused)
            )

    def update(self) -> None:
        """Start the computation of new points on the curve."""
        session = self._session
        if session.client is not None and session.connected:
            session.client.update_forecast(
                session.same_server(self._done), session.same_server(self._refused)
            )

    def confirm_label(self, image_id: str) -> None:
        """Tell the server that a label which it doubts is right."""
        session = self._session
        if session.client is not None and session.connected:
            session.client.confirm_label(
                image_id, session.same_server(self._done), session.same_server(self._refused)
            )

    def _done(self, _answer: Any) -> None:
        self.ask()

    def _refused(self, failure: Failure) -> None:
        self._session.notice = explain(failure)
        self._session.changed.emit()

    def _failed(self, failure: Failure) -> None:
        self._asking = self._ask_again = False
        if failure.offline:
            if self.offline_since is None:
                self.offline_since = time.time()
            self._plan(min(2 * self._wait_s, self.LONGEST_S))
        else:
            self._plan(self.CALM_S)
        logger.warning("No forecast: %s", failure)
        self.trouble = explain(failure)
        self._session.changed.emit()

    @property
    def _busy(self) -> bool:
        return bool(self.latest and self.latest.busy) or self._session.training.running

    def _plan(self, seconds: float) -> None:
        self._wait_s = seconds
        if self._timer is not None:
            self._timer.stop()
        self._timer = self._timers.after(seconds, self.ask) if self._watching else None
