"""What a session can be in the middle of, and what may follow from it."""

from __future__ import annotations

from dataclasses import dataclass

#: From each state, the states that may follow.
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
