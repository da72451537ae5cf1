"""One person at one server: the state, and the parts that act on it, each given what it needs.

No widgets here. The transport, the editor with the case, the timers and the place for unsent labels are handed
in, and every change is told by `changed`. An answer that belongs to a server or a case that is no longer at hand
is dropped by its turn; a label on its way is not: it goes on, even when the scene is closed meanwhile.
"""

from __future__ import annotations

from scaling_app_client.drafts import DraftStore
from scaling_app_client.messages import Transport

from .activity import ActiveClock
from .cases import Cases
from .connection import Connection
from .elsewhere import SubmittedElsewhere
from .fetching import Fetching
from .forecast_watch import ForecastWatch
from .lease import CaseLease
from .ports import Editor, Timers
from .prediction import CasePrediction
from .server_offer import ServerOffer
from .signal import Signal
from .states import SessionState
from .submission import Submission
from .training import TrainingWatch


class Session:
    """The parts of a session, put together.

    Args:
        transport: Sends requests.
        nodes: The case in the scene.
        timers: Call later.
        drafts: Where labels wait that have not arrived.
        client_id: Who we say we are.
        clock: Counts the active minutes.

    Signals:
        changed: Anything that a panel shows may have changed.
    """

    def __init__(
        self,
        transport: Transport,
        nodes: Editor,
        timers: Timers,
        drafts: DraftStore,
        client_id: str,
        clock: ActiveClock,
    ) -> None:
        self.state, self.changed = SessionState(), Signal()
        self.nodes, self.clock, self.drafts, self.client_id = nodes, clock, drafts, client_id
        self._transport = transport
        state, changed = self.state, self.changed
        offer = ServerOffer(state, nodes, changed)
        self.forecast = ForecastWatch(state, timers, offer, changed)
        self.training = TrainingWatch(state, timers, self.forecast, offer, changed)
        self.forecast.measuring.connect(self.training.look_too)
        self.prediction = CasePrediction(state, nodes, changed)
        self.elsewhere = SubmittedElsewhere(state, nodes, clock, changed)
        self.submission = Submission(
            state, nodes, clock, drafts, self.forecast, offer, self.elsewhere, changed
        )
        fetching = Fetching(state, nodes, clock, changed)
        lease = CaseLease(state, clock, changed)
        self.cases = Cases(state, nodes, clock, fetching, self.submission, offer, lease, changed)
        # the panel may be hidden while somebody draws
        for sign_of_life in (changed, nodes.edited, nodes.looked):
            sign_of_life.connect(lease.look)
        self.connection = Connection(
            state, transport, client_id, nodes, self.forecast, self.training, offer, changed
        )

    def watch(self) -> None:
        """Somebody looks: follow the server from now on."""
        self.state.watched = True
        if self.state.connected:
            self.forecast.ask()
            self.training.look()

    def unwatch(self) -> None:
        """Nobody looks: ask the server for nothing more."""
        self.state.watched = False
        self.forecast.stop()
        self.training.stop_watching()

    def close(self) -> None:
        """The module is going away: nothing may call back any more."""
        self.state.server_turn += 1
        self.unwatch()
        self._transport.close()
        self.nodes.stop()
