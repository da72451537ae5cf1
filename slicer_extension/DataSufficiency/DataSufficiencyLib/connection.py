"""The server: who it is, signing in, and forgetting it."""

from __future__ import annotations

import logging

from scaling_app_client.answers import ServerInfo
from scaling_app_client.calls import Client, normal_address
from scaling_app_client.messages import Failure, Transport
from scaling_app_client.payload import Payload

from .case_at_hand import take_up
from .forecast_watch import ForecastWatch
from .ports import Editor
from .server_offer import ServerOffer
from .signal import Signal
from .states import SessionState, move, same_server
from .training import TrainingWatch
from .wording import explain, say

logger = logging.getLogger(__name__)


class Connection:
    """Brings a session from `disconnected` to `ready`, and back.

    Args:
        client_id: Who we say we are.
    """

    def __init__(
        self,
        state: SessionState,
        transport: Transport,
        client_id: str,
        editor: Editor,
        forecast: ForecastWatch,
        training: TrainingWatch,
        offer: ServerOffer,
        changed: Signal,
    ) -> None:
        self._state, self._transport, self._client_id, self._editor = state, transport, client_id, editor
        self._forecast, self._training, self._offer, self._changed = forecast, training, offer, changed

    def connect(self, address: str, token: str = "") -> None:
        """Ask the server who it is; `ready` when it is a MONAI Label server with this app."""
        state = self._state
        if state.phase in ("connecting", "sending", "fetching"):
            return
        self._forget_server()
        try:
            address = normal_address(address)
        except Failure as failure:
            self._refuse(failure)
            return
        if not token and state.client is not None and state.client.address == address:
            token = state.client.token  # asked again who it is, the server still knows who we are
        client = Client(self._transport, address, self._client_id, token, self._on_any_failure)
        state.client = client
        move(state, "connecting")
        state.connection = say("connecting", address=address)
        client.info(same_server(state, self._on_info), same_server(state, self._refuse))
        self._changed.emit()

    def sign_in(self, user: str, password: str) -> None:
        """Exchange a name and password for a token; without a connection, connect with it."""
        state = self._state
        if state.client is None or state.phase == "connecting":
            return
        state.connection = say("signing_in")
        state.client.sign_in(
            user, password, same_server(state, self._on_token), same_server(state, self._on_no_token)
        )
        self._changed.emit()

    def disconnect(self) -> None:
        """Forget the server. A case on the screen stays there; a label on its way goes on."""
        state = self._state
        if state.phase in ("disconnected", "sending"):
            return
        self._forget_server()
        move(state, "disconnected")
        state.connection = None
        state.needs_sign_in = False
        self._changed.emit()

    def _on_token(self, token: str) -> None:
        state = self._state
        assert state.client is not None
        if not state.connected:
            self.connect(state.client.address, token)
            return
        # In the middle of the work: what is on its way goes on, and whatever comes next has the new token.
        state.client.token = token
        state.needs_sign_in, state.connection = False, None
        self._forecast.ask()
        self._training.look()
        self._offer.look_again()
        self._changed.emit()

    def _on_no_token(self, failure: Failure) -> None:
        """Nobody was signed in; a case that is open stays open."""
        logger.warning("Not signed in: %s", failure)
        wrong = failure.kind in ("sign_in", "rejected")
        self._state.connection = say("wrong_password") if wrong else explain(failure)
        self._changed.emit()

    def _on_info(self, info: ServerInfo) -> None:
        state = self._state
        if not info.has_sufficiency:
            self._refuse(Failure("not_this_app"))
            return
        state.info = info
        assert state.client is not None
        state.client.sufficiency(
            same_server(state, self._on_first_forecast), same_server(state, self._refuse)
        )

    def _on_first_forecast(self, answer: Payload) -> None:
        state = self._state
        state.needs_sign_in = False
        state.connection = None
        move(state, "ready")
        take_up(state, self._editor)
        self._forecast.take(answer)
        self._training.look()
        self._changed.emit()

    def _refuse(self, failure: Failure) -> None:
        state = self._state
        logger.warning("No connection: %s", failure)
        state.needs_sign_in = failure.kind == "sign_in"
        state.connection = explain(failure)
        if state.phase != "disconnected":
            move(state, "disconnected")
        self._changed.emit()

    def _on_any_failure(self, client: Client, failure: Failure) -> None:
        """Whatever was asked: a token may have run out in the middle of the work, or the server be gone."""
        state = self._state
        if client is not state.client or not (failure.kind == "sign_in" or failure.offline):
            return
        if failure.kind == "sign_in":
            state.needs_sign_in = True
        elif state.connected:
            self._forecast.note_failure(failure)
        self._changed.emit()

    def _forget_server(self) -> None:
        state = self._state
        state.server_turn += 1
        state.info = None
        state.notice = state.waiting_rule = None
        state.questions = ()
        state.filling = False
        self._forecast.forget()
        self._training.forget()
