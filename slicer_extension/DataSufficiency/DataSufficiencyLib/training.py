"""Training on the server: starting, stopping, following it, and its last error in words."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Callable

from .http_messages import Failure
from .server_model import ServerInfo, TrainingTask
from .wording import Notice, explain, say

if TYPE_CHECKING:
    from .session import Session

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
    """Follows the training queue of a session's server.

    Attributes:
        task: The newest training, None when there was none.
        progress: Part done in [0, 1], None where the server does not say.
        notice: What to tell the user about it.
    """

    EVERY_S = 4.0

    def __init__(self, session: Session, timers: Any) -> None:
        self._session = session
        self._timers = timers
        self._timer: Any = None
        self.task: TrainingTask | None = None
        self.progress: float | None = None
        self.notice: Notice | None = None
        self.changing = False
        self._turn = 0

    @property
    def running(self) -> bool:
        return self.task is not None and self.task.running

    def start(self, trainer: str, strategy: str = "", steps: int | None = None) -> None:
        client = self._session.client
        if client is None or not self._session.connected or self.running or self.changing:
            return
        self.changing = True
        self._turn += 1
        self.notice = say("training_starting")
        options = {name: value for name, value in (("strategy", strategy), ("steps", steps)) if value}
        client.start_training(trainer, options, self._newest(self._on_task), self._newest(self._failed))
        self._session.changed.emit()

    def stop(self) -> None:
        client = self._session.client
        if client is None or not self.running or self.changing:
            return
        self.changing = True
        self._turn += 1
        self.notice = say("training_stopping")
        client.stop_training(self._newest(lambda _answer: self.look()), self._newest(self._failed))
        self._session.changed.emit()

    def set_steps(self, steps: int) -> None:
        """Tell the server how long to train from now on; the curve is then measured anew."""
        client = self._session.client
        if client is not None and self._session.connected:
            client.set_steps(
                steps,
                self._session.same_server(lambda _answer: self._session.look_again()),
                self._session.same_server(self._failed),
            )

    def look(self) -> None:
        """Ask how it stands."""
        client = self._session.client
        if client is not None and self._session.connected:
            self._turn += 1
            client.training(self._newest(self._on_task), self._newest(self._lost))

    def forget(self) -> None:
        self.stop_watching()
        self.task = self.progress = self.notice = None
        self.changing = False

    def stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _newest(self, action: Callable[..., None]) -> Callable[..., None]:
        """The action, unless something newer was asked meanwhile: answers may overtake each other."""
        turn = self._turn

        def act(*args: Any) -> None:
            if turn == self._turn:
                action(*args)

        return self._session.same_server(act)

    def _on_task(self, task: TrainingTask | None) -> None:
        was_running, self.changing = self.running, False
        self.task = task
        if self.running:
            self.notice = say("training_running", name=task.model if task else "")
            self._again()
            self._ask_progress()
        else:
            self.stop_watching()
            self.progress = None
            self.notice = _ending(task)
            if was_running:
                self._session.forecast.ask()
                self._session.look_again()
        self._session.changed.emit()

    def _ask_progress(self) -> None:
        client = self._session.client
        if client is not None:
            client.info(
                self._session.same_server(self._on_progress), self._session.same_server(lambda _failure: None)
            )

    def _on_progress(self, info: ServerInfo) -> None:
        self.progress = info.progress.get(self.task.model) if self.task and self.running else None
        self._session.learn(info)

    def _again(self) -> None:
        self.stop_watching()
        if self._session.watched:
            self._timer = self._timers.after(self.EVERY_S, self.look)

    def _failed(self, failure: Failure) -> None:
        """Starting or stopping did not work."""
        self.changing = False
        self.notice = say("training_forbidden") if failure.kind == "forbidden" else explain(failure)
        if failure.kind == "busy":
            self.notice = say("training_busy")
            self._again()
        self._session.changed.emit()

    def _lost(self, failure: Failure) -> None:
        """The server did not say how it stands; keep asking while a training was under way."""
        logger.warning("No news of the training: %s", failure)
        self.changing = False
        if self.running:
            self.notice = explain(failure)
            self._again()
        self._session.changed.emit()


def _ending(task: TrainingTask | None) -> Notice | None:
    """How the newest training ended, in words."""
    if task is None:
        return None
    if task.status == "DONE":
        return say("training_done", name=task.model)
    if task.status in ("STOPPED", "CANCELED", "CANCELLED"):
        return say("training_stopped", name=task.model)
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
