"""What is remembered between sessions, in Slicer's own settings; never a password or a token."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import slicer

_OURS, _STOCK = "DataSufficiency/", "MONAILabel/"
_HISTORY = 8


class Settings:
    """Addresses and our name, our own first, then those of the MONAI Label module."""

    def __init__(self) -> None:
        self._settings = slicer.app.userSettings()

    @property
    def address(self) -> str:
        return self._text(_OURS + "serverAddress") or self._text(_STOCK + "serverUrl")

    @property
    def address_is_borrowed(self) -> bool:
        """Whether the address is the MONAI Label module's."""
        return not self._text(_OURS + "serverAddress") and bool(self._text(_STOCK + "serverUrl"))

    def history(self) -> list[str]:
        """Addresses used before, the newest first."""
        ours = self._text(_OURS + "serverHistory").split(";")
        stock = self._text(_STOCK + "serverUrlHistory").split(";")
        found = [self.address, *ours, *stock]
        return list(dict.fromkeys(address for address in found if address))[:_HISTORY]

    def remember(self, address: str) -> None:
        """An address that answered."""
        rest = [other for other in self.history() if other != address]
        self._keep("serverAddress", address)
        self._keep("serverHistory", ";".join([address, *rest][:_HISTORY]))

    @property
    def client_id(self) -> str:
        """Our name at the server: the MONAI Label module's, else one made up once; no person's name."""
        known = self._text(_STOCK + "clientId") or self._text(_OURS + "clientId")
        if not known:
            known = "slicer-" + uuid.uuid4().hex[:8]
            self._keep("clientId", known)
        return known

    @staticmethod
    def drafts_folder() -> str:
        """Where unsent labels lie: beside Slicer's settings, in the user's own folder."""
        return str(Path(slicer.app.slicerUserSettingsFilePath).parent / "DataSufficiency" / "unsent")

    def _keep(self, name: str, value: str) -> None:
        """Qt writes the whole file for every value that is set, so one that stands there already is not."""
        if self._text(_OURS + name) != value:
            self._settings.setValue(_OURS + name, value)

    def _text(self, key: str) -> str:
        value: Any = self._settings.value(key)
        return value if isinstance(value, str) else ""
