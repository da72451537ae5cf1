"""What a session is in the middle of: data alone, and what may follow from it.

    disconnected -> connecting -> ready -> fetching -> open -> sending -> sent
                                    ^________|__________|________________|

The parts of a session act on one `SessionState`; none of them keeps what a panel shows in a field of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable

from scaling_app_client.answers import ServerInfo, TrainingTask
from scaling_app_client.calls import Client
from scaling_app_client.payload import Payload

from .forecast_words import MEASURING
from .label_questions import Question
from .wording import Notice

#: From each phase, the phases that may follow.
FOLLOWS = {
    "disconnected": ("connecting",),
    "connecting": ("ready", "disconnected", "connecting"),
    "ready": ("fetching", "open", "disconnected", "connecting"),
    "fetching": ("open", "ready", "disconnected", "connecting"),
    "open": ("sending", "fetching", "ready", "disconnected", "connecting"),
    "sending": ("sent", "open", "ready"),
    "sent": ("open", "sending", "fetching", "ready", "disconnected", "connecting"),
}


@dataclass(frozen=True)
class CaseAtHand:
    """The case on the screen.

    Attributes:
        server: The key of the server that it came from, empty where nobody knows.
        again: It had a label before: neither minutes nor blindness of the first drawing are told anew.
    """

    image_id: str
    blind: bool | None
    server: str = ""
    again: bool = False


@dataclass
class ForecastState:
    """The newest forecast.

    Attributes:
        before: The last one of fewer labels; None where there was none.
        received_at: When it came, in seconds of a clock that nobody sets (`time.monotonic`).
        offline_since: When the server stopped answering, by the same clock; None while it answers.
        trouble: Why there is no newer one.
    """

    latest: Payload | None = None
    before: Payload | None = None
    received_at: float | None = None
    offline_since: float | None = None
    trouble: Notice | None = None


@dataclass
class TrainingState:
    """The newest training, None when there was none.

    Attributes:
        progress: Part done in [0, 1], None where the server does not say.
        minutes_left: Until it is done, None where that cannot be told.
        notice: What to tell the user about it.
        changing: It was asked to start or to stop, and has not answered yet.
    """

    task: TrainingTask | None = None
    progress: float | None = None
    minutes_left: float | None = None
    notice: Notice | None = None
    changing: bool = False

    @property
    def running(self) -> bool:
        return self.task is not None and self.task.running

    @property
    def measures(self) -> bool:
        """Whether it measures the learning curve, and makes no model."""
        return self.task is not None and self.task.model == MEASURING


@dataclass
class SessionState:
    """One person at one server.

    Attributes:
        connection: How it is with the server; None when all is well.
        notice: What happened last to the case at hand.
        questions: To be answered before the label is sent.
        waiting_rule: By which the next case was asked for, while this one has changes not submitted.
        edited: Changed since the last submission.
        drawn: Drawn on since the case was opened.
        watched: Somebody looks at the panel.
        filling: The prediction is on its way.
        server_turn, case_turn: Count up with every other server, every other case.
    """

    phase: str = "disconnected"
    client: Client | None = None
    info: ServerInfo | None = None
    connection: Notice | None = None
    needs_sign_in: bool = False
    case: CaseAtHand | None = None
    notice: Notice | None = None
    questions: tuple[Question, ...] = ()
    waiting_rule: str | None = None
    edited: bool = False
    drawn: bool = False
    watched: bool = False
    filling: bool = False
    forecast: ForecastState = field(default_factory=ForecastState)
    training: TrainingState = field(default_factory=TrainingState)
    server_turn: int = 0
    case_turn: int = 0

    @property
    def connected(self) -> bool:
        return self.phase not in ("disconnected", "connecting")

    @property
    def sufficiency(self) -> Payload | None:
        return self.forecast.latest

    @property
    def can_submit(self) -> bool:
        return self.phase == "open" or (self.phase == "sent" and self.edited)

    @property
    def can_reopen(self) -> bool:
        return self.phase in ("ready", "open", "sent") and not self.edited


def move(state: SessionState, phase: str) -> None:
    """Go on to another phase.

    Raises:
        RuntimeError: When it does not follow the present one.
    """
    if phase == state.phase:
        return
    if phase not in FOLLOWS[state.phase]:
        raise RuntimeError(f"{phase} does not follow {state.phase}")
    state.phase = phase


def same_server(state: SessionState, action: Callable[..., None]) -> Callable[..., None]:
    """The action, as long as the server is still the one of now; afterwards nothing."""
    turn = state.server_turn

    def act(*args: Any) -> None:
        if turn == state.server_turn:
            action(*args)

    return act


def same_case(state: SessionState, action: Callable[..., None]) -> Callable[..., None]:
    """The action, as long as server and case are still those of now; afterwards nothing."""
    turn = state.case_turn

    def act(*args: Any) -> None:
        if turn == state.case_turn:
            action(*args)

    return same_server(state, act)
