"""The panel's first part: which server, and how it is with it."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from scaling_app_client.calls import is_encrypted, is_local, normal_address
from scaling_app_client.messages import Failure

from .notice_label import show_notice, show_text
from .session import Session
from .settings import Settings
from .wording import GOOD, Notice, explain


class ServerSection:
    """Address, connection test, sign-in, and where data would go."""

    def __init__(self, ui: Any, session: Session, settings: Settings) -> None:
        self._ui, self._state, self._connection = ui, session.state, session.connection
        self._settings, self._needed = settings, True
        ui.serverAddress.addItems(settings.history() or ["http://127.0.0.1:8000"])
        ui.connectButton.clicked.connect(self._connect)
        ui.signInButton.clicked.connect(self._sign_in)
        ui.passwordEdit.returnPressed.connect(self._sign_in)
        ui.serverAddress.lineEdit().returnPressed.connect(self._connect)
        ui.serverAddress.currentTextChanged.connect(lambda _text: self._show_address())

    def refresh(self) -> None:
        ui, state = self._ui, self._state
        ui.connectButton.setEnabled(state.phase not in ("connecting", "fetching", "sending"))
        notice = state.connection
        if state.connected and state.info is not None and state.client is not None:
            self._settings.remember(state.client.address)
            notice = state.forecast.trouble or Notice(self._connected_text(), GOOD)
            if state.needs_sign_in:
                notice = state.connection or explain(Failure("sign_in"))
        show_notice(ui.serverStatus, notice)
        self._fold(not state.connected or state.needs_sign_in)
        self._show_address()

    def _fold(self, needed: bool) -> None:
        """Once connected, nobody needs the address until something is wrong; in between the fold is the user's."""
        if needed != self._needed:
            self._needed = needed
            self._ui.serverBox.setCollapsed(not needed)

    def _connect(self, _checked: bool = False) -> None:
        self._connection.connect(self._ui.serverAddress.currentText)

    def _sign_in(self, _checked: bool = False) -> None:
        ui = self._ui
        if not self._can_sign_in:
            return
        self._connection.sign_in(ui.userEdit.text, ui.passwordEdit.text)
        ui.passwordEdit.setText("")

    def _connected_text(self) -> str:
        info = self._state.info
        assert info is not None
        if info.total is None:
            return _("Connected to {name}.").format(name=info.name)
        words = _("Connected to {name}: {labelled} of {total} cases are labelled.")
        latest = self._state.sufficiency
        labelled = info.completed if latest is None or latest.n_labelled is None else latest.n_labelled
        return words.format(name=info.name, labelled=labelled, total=info.total)

    @property
    def _address(self) -> str:
        """The address in the field, in full; empty where it is none."""
        try:
            return normal_address(self._ui.serverAddress.currentText)
        except Failure:
            return ""

    @property
    def _can_sign_in(self) -> bool:
        """Whether the server at the address in the field wants a sign-in; a password goes to no other one."""
        state = self._state
        return state.needs_sign_in and state.client is not None and state.client.address == self._address

    def _show_address(self) -> None:
        """What follows from the address in the field: a sign-in, and whether images and labels would travel in the open."""
        self._ui.signInRow.setVisible(self._can_sign_in)
        address = self._address
        in_the_open = bool(address) and not is_local(address) and not is_encrypted(address)
        words = _("This address is not encrypted (http): images and labels travel readable on the network.")
        show_text(self._ui.privacyNote, words if in_the_open else "")
        borrowed = (
            self._settings.address_is_borrowed
            and self._ui.serverAddress.currentText == self._settings.address
        )
        self._ui.serverAddress.setToolTip(
            _("This address was taken from the MONAI Label module.")
            if borrowed
            else _(
                "Where the MONAI Label server with the Scaling App runs, for example http://127.0.0.1:8000"
            )
        )
