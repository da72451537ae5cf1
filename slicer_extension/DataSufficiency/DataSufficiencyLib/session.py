"""What is going on, and what may happen next: the state machine between the buttons and the server.

    disconnected -> connecting -> ready -> fetching -> open -> sending -> sent
                                    ^________|__________|________________|

No widgets here. The transport, the scene's nodes, the timers and the place for unsent labels are handed in,
and every change is told by `changed`. An answer that belongs to a server or a case that is no longer at hand
is dropped by its token; a label on its way is not: it goes on, even when the scene is closed meanwhile.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Callable

from .activity import ActiveClock
from .automatic import AutomaticSegmentation
from .case_nodes import CaseNodes
from .client import Client, normal_address
from .drafts import DraftStore
from .fetching import Fetching
from .forecast_watch import ForecastWatch
from .http_messages import Failure
from .model import Sufficiency
from .segment_review import Answers, Question
from .server_model import ServerInfo
from .signal import Signal
from .states import FOLLOWS, CaseAtHand
from .submission import Submission
from .training import TrainingWatch
from .wording import Notice, explain, say

logger = logging.getLogger(__name__)


class Session:
    """One person at one server.

    Args:
        transport: Sends requests; see `client.Client`.
        nodes: The case in the scene.
        timers: Has `every(seconds, action)` and `after(seconds, action)`.
        drafts: Where labels wait that have not arrived.
        client_id: Who we say we are.
        clock: Counts the active minutes.

    Signals:
        changed: Anything that a panel shows may have changed.
    """

    def __init__(
        self,
        transport: Any,
        nodes: CaseNodes,
        timers: Any,
        drafts: DraftStore,
        client_id: str,
        clock: ActiveClock,
    ) -> None:
        self.changed = Signal()
        self.nodes, self.clock, self.drafts = nodes, clock, drafts
        self.state = "disconnected"
        self.client: Client | None = None
        self.info: ServerInfo | None = None
        self.case: CaseAtHand | None = None
        self.notice: Notice | None = None
        self.connection: Notice | None = None
        self.needs_sign_in = False
        self.questions: tuple[Question, ...] = ()
        self.waiting_strategy: str | None = None
        self.edited = False  # since the last submission
        self.drawn = False  # since the case was opened
        self.watched = False
        self._transport, self._client_id = transport, client_id
        self._server_token = self._case_token = 0
        self.forecast = ForecastWatch(self, timers)
        self.training = TrainingWatch(self, timers)
        self.submission = Submission(self, drafts)
        self.automatic = AutomaticSegmentation(self)
        self.fetching = Fetching(self)
        nodes.edited.connect(self._on_edited)
        nodes.looked.connect(clock.touch)
        nodes.gone.connect(self._on_gone)

    @property
    def sufficiency(self) -> Sufficiency | None:
        return self.forecast.latest

    @property
    def connected(self) -> bool:
        return self.state not in ("disconnected", "connecting")

    # The server -----------------------------------------------------------------------------------

    def connect(self, address: str, token: str = "") -> None:
        """Ask the server who it is; `ready` when it is a MONAI Label server with this app."""
        if self.state in ("connecting", "sending", "fetching"):
            return
        self._forget_server()
        try:
            address = normal_address(address)
        except Failure as failure:
            self._refuse(failure)
            return
        if not token and self.client is not None and self.client.address == address:
            token = self.client.token  # asked again who it is, the server still knows who we are
        self.client = Client(self._transport, address, self._client_id, token, self._on_sign_in_wanted)
        self._move("connecting")
        self.connection = say("connecting", address=self.client.address)
        self.client.info(self.same_server(self._on_info), self.same_server(self._refuse))
        self.changed.emit()

    def sign_in(self, user: str, password: str) -> None:
        """Exchange a name and password for a token; without a connection, connect with it."""
        client = self.client
        if client is None or self.state == "connecting":
            return
        self.connection = say("signing_in")
        client.sign_in(user, password, self.same_server(self._on_token), self.same_server(self._on_no_token))
        self.changed.emit()

    def _on_token(self, token: str) -> None:
        assert self.client is not None
        if not self.connected:
            self.connect(self.client.address, token)
            return
        # In the middle of the work: what is on its way goes on, and whatever comes next has the new token.
        self.client.token = token
        self.needs_sign_in, self.connection = False, None
        self.forecast.ask()
        self.training.look()
        self.look_again()
        self.changed.emit()

    def _on_no_token(self, failure: Failure) -> None:
        """Nobody was signed in; a case that is open stays open."""
        logger.warning("Not signed in: %s", failure)
        wrong = failure.kind in ("sign_in", "rejected")
        self.connection = say("wrong_password") if wrong else explain(failure)
        self.changed.emit()

    def disconnect(self) -> None:
        """Forget the server. A case on the screen stays there; a label on its way goes on."""
        if self.state in ("disconnected", "sending"):
            return
        self._forget_server()
        self._move("disconnected")
        self.connection = None
        self.needs_sign_in = False
        self.changed.emit()

    def watch(self) -> None:
        """Somebody looks: follow the server from now on."""
        self.watched = True
        if self.connected:
            self.forecast.start()
            self.forecast.ask()
            self.training.look()

    def unwatch(self) -> None:
        """Nobody looks: ask the server for nothing more."""
        self.watched = False
        self.forecast.stop()
        self.training.stop_watching()

    def close(self) -> None:
        """The module is going away: nothing may call back any more."""
        self._server_token += 1
        self.unwatch()
        self._transport.close()
        self.nodes.stop()

    def look_again(self) -> None:
        """Ask the server anew what it offers: a first label makes classes, a first training a model."""
        if self.client is not None and self.connected:
            self.client.info(self.same_server(self.learn), lambda _failure: None)

    def learn(self, info: ServerInfo) -> None:
        """What the server offers by now; classes that it has got meanwhile hold for the open case, too."""
        self.info = info
        if self.state in ("open", "sent"):
            self._keep_classes()
        self.changed.emit()

    def _keep_classes(self) -> None:
        """The server's classes of now are those of the open case; segments that were deleted stay so."""
        if self.info is not None and self.nodes.alive and self.nodes.labels != self.info.labels:
            self.nodes.use_labels(self.info.labels)
            self.questions = ()  # they were about the former classes

    def _on_info(self, info: ServerInfo) -> None:
        if not info.has_sufficiency:
            self._refuse(Failure("not_this_app"))
            return
        self.info = info
        assert self.client is not None
        self.client.sufficiency(self.same_server(self._on_first_forecast), self.same_server(self._refuse))

    def _on_first_forecast(self, answer: Sufficiency) -> None:
        assert self.client is not None
        self.needs_sign_in = False
        self.connection = None
        self._move("ready")
        self.take_up()
        self.forecast.take(answer)
        if self.watched:
            self.forecast.start()
        self.training.look()
        self.changed.emit()

    def _refuse(self, failure: Failure) -> None:
        logger.warning("No connection: %s", failure)
        self.needs_sign_in = failure.kind == "sign_in"
        self.connection = explain(failure)
        if self.state != "disconnected":
            self._move("disconnected")
        self.changed.emit()

    def _on_sign_in_wanted(self, client: Client) -> None:
        """A token ran out, perhaps in the middle of the work."""
        if client is self.client:
            self.needs_sign_in = True
            self.changed.emit()

    def _forget_server(self) -> None:
        self._server_token += 1
        self.info = None
        self.notice = self.waiting_strategy = None
        self.questions = ()
        self.automatic.filling = False
        self.forecast.forget()
        self.training.forget()

    # The case -------------------------------------------------------------------------------------

    def next_case(self, strategy: str, drop_unsent: bool = False) -> None:
        """Fetch the next case. With edits that were not submitted, only after `drop_unsent` was said."""
        if self.state not in ("ready", "open", "sent") or self.client is None:
            return
        if self.edited and not drop_unsent:
            self.waiting_strategy = strategy
            self.changed.emit()
            return
        self._leave_case()
        self._move("fetching")
        self.fetching.start(strategy)

    @property
    def can_reopen(self) -> bool:
        return self.state in ("ready", "open", "sent") and not self.edited

    def reopen(self, image_id: str) -> None:
        """Fetch a case that has a label, and its label, to look at them again."""
        if self.can_reopen and self.client is not None:
            self._leave_case()
            self._move("fetching")
            self.fetching.again(image_id)

    def stay(self) -> None:
        """Do not go on to the next case after all."""
        self.waiting_strategy = None
        self.changed.emit()

    def adopt(self, case: CaseAtHand, image: Any, segmentation: Any, minutes: float = 0.0) -> None:
        """Take over a case that is in the scene already; what is drawn on it counts as not submitted."""
        if self.state == "fetching":
            return
        self._leave_case(remove=False)
        self.nodes.adopt(case.image_id, image, segmentation, {})
        self.case = case
        self.edited = self.drawn = self.nodes.drawn_on
        self.clock.restart(minutes)
        if self.connected and self.state != "sending":  # else when the label on its way has come to an end
            self._move("ready")
            self.take_up()
        self.changed.emit()

    def opened(self, image_id: str, blind: bool | None, again: bool = False) -> None:
        """A case of this server is in the scene now: with nothing drawn on it, or again with its label."""
        assert self.client is not None
        self.case = CaseAtHand(image_id, blind, self.client.key, again)
        self.drawn = again
        self.notice = None
        self.clock.restart()
        self._move("open")
        self.changed.emit()

    @property
    def from_elsewhere(self) -> bool:
        """Whether the case on the screen was opened from another server, or another address of this one."""
        return self.state == "ready" and self.case is not None and self.nodes.alive

    def is_from_here(self) -> None:
        """The user says that the case on the screen belongs to this server."""
        if self.from_elsewhere and self.case is not None:
            self.notice = None
            self.case = replace(self.case, server="")
            self.take_up()
            self.changed.emit()

    def take_up(self) -> None:
        """Go on with the case that is in the scene, if it is of this server: two may name two patients alike."""
        case = self.case
        if case is None or self.client is None or self.info is None or not self.nodes.alive:
            return
        if case.server not in ("", self.client.key):
            self.notice = say("other_server", case=case.image_id)
            return
        self.case = replace(case, server=self.client.key)
        self.nodes.use_labels(self.info.labels)
        self._move("open")

    @property
    def can_submit(self) -> bool:
        return self.state == "open" or (self.state == "sent" and self.edited)

    def submit(self, answers: Answers | None = None) -> None:
        """Send the label of the case at hand, once; with questions open, ask them first."""
        if self.can_submit:
            self.waiting_strategy = None
            self._keep_classes()
            self.submission.submit(answers or Answers())

    def take_back(self) -> None:
        """Do not submit yet: go back to the segmentation."""
        self.questions = ()
        self.changed.emit()

    def _leave_case(self, remove: bool = True) -> None:
        if remove:
            self.nodes.close()
        self._case_token += 1
        self.case = None
        self.edited = self.drawn = self.automatic.filling = False
        self.questions = ()
        self.waiting_strategy = None
        self.clock.stop()

    def _on_edited(self) -> None:
        self.clock.touch()
        first = not self.edited
        self.edited = self.drawn = True
        if self.state == "sent":
            self._move("open")
        if first:
            self.changed.emit()

    def _on_gone(self, why: str) -> None:
        """The scene was closed or a node deleted. A label on its way is not touched by that."""
        case, unsent = self.case, self.edited and self.state in ("open", "ready", "disconnected")
        if case is None and self.state != "fetching":
            return
        self._leave_case(remove=False)
        if self.state in ("open", "sent", "fetching"):
            self._move("ready")
        if case is None:
            self.notice = say("fetching_stopped")
        elif self.state != "sending":
            self.notice = say("case_gone_" + why if unsent else "case_left", case=case.image_id)
        self.changed.emit()

    # How ------------------------------------------------------------------------------------------

    def same_server(self, action: Callable[..., None]) -> Callable[..., None]:
        """The action, as long as the server is still the one of now; afterwards nothing."""
        token = self._server_token

        def act(*args: Any) -> None:
            if token == self._server_token:
                action(*args)

        return act

    def same_case(self, action: Callable[..., None]) -> Callable[..., None]:
        """The action, as long as server and case are still those of now; afterwards nothing."""
        token = self._case_token

        def act(*args: Any) -> None:
            if token == self._case_token:
                action(*args)

        return self.same_server(act)

    def _move(self, state: str) -> None:
        if state == self.state:
            return
        if state not in FOLLOWS[self.state]:
            raise RuntimeError(f"{state} does not follow {self.state}")
        self.state = state

    move = _move
