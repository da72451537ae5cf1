"""What goes to the server and what comes back, without saying how it travels."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Callable, Protocol

#: Every way in which a call can fail, each with a sentence that says what to do. The panel has longer ones, translated.
FAILURES: Mapping[str, str] = {
    "unreachable": "Nothing answers at this address. Is the server running?",
    "timeout": "The server did not answer in time. It may be busy; try again.",
    "lost": "The connection broke before the answer was complete. Try again.",
    "tls": "The server's certificate could not be verified, so nothing was sent. Is this computer's clock right?",
    "expired": "The server's certificate has expired, so nothing was sent. Tell whoever runs it, or set this computer's clock right.",
    "moved": "The server points to another address, perhaps of a login page. Nothing was sent there.",
    "sign_in": "The server wants to know who you are: sign in.",
    "forbidden": "This account may not do this.",
    "not_found": "The server does not know this.",
    "busy": "The server is busy with the same work already.",
    "rejected": "The server did not accept this.",
    "too_large": "This is more than the server, or what stands in front of it, takes. Tell whoever runs it.",
    "unable": "The server cannot do this now; try again later.",
    "gateway": "Something between here and the server answers in its place, a proxy perhaps: the server may be down or starting, "
    "or the network wants a sign-in. Try again in a minute.",
    "server_error": "The server failed inside; its log says why.",
    "bad_answer": "The server's answer breaks the contract, or is half an answer.",
    "bad_address": "This is no server's address; it looks like http://server:8000.",
    "not_monai_label": "What answers at this address is no MONAI Label server.",
    "not_this_app": "This MONAI Label server's app has no forecast: start it with the Scaling App.",
    "server_too_old": "The server's app is older than this client: update the app.",
    "extension_too_old": "The server's app is newer than this client: update the client.",
}


#: What a status means that has a kind of its own.
_KINDS: Mapping[int, str] = {
    401: "sign_in",
    403: "forbidden",
    404: "not_found",
    407: "gateway",
    408: "timeout",
    413: "too_large",
    429: "busy",
    502: "gateway",
    503: "unable",
    504: "gateway",
    507: "unable",
    511: "gateway",
}
_STATUS_NAMES = {status.phrase for status in HTTPStatus}


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    Attributes:
        timeout_s: How long nothing at all may move.
        most_bytes: How long an answer may be; a server that goes wrong may send without end.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    timeout_s: float = 60.0
    most_bytes: int = 64 << 20

    @property
    def most_s(self) -> float:
        """How long it may take in all, whatever moves: a byte now and then is no answer."""
        return 10 * self.timeout_s

    @property
    def endless(self) -> Failure:
        """Of an answer that is longer."""
        return Failure("bad_answer", f"an answer of more than {self.most_bytes >> 20} MiB")

    @property
    def dripping(self) -> Failure:
        """Of an answer that takes longer."""
        return Failure("timeout", f"no whole answer within {self.most_s:g} s")


@dataclass(frozen=True)
class Reply:
    """A good answer (status 2xx). `date` is when the server sent it, by its own clock, as HTTP writes it."""

    status: int
    body: bytes
    date: str = ""


class Failure(Exception):
    """A call that did not succeed.

    Args:
        kind: One of `FAILURES`.
        detail: The technical reason, for the log and for the tooltip; never the whole message to the user.
        status: HTTP status, None where there was no answer.
    """

    def __init__(self, kind: str, detail: str = "", status: int | None = None) -> None:
        if kind not in FAILURES:
            raise ValueError(f"unknown kind of failure: {kind}")
        super().__init__(kind, detail, status)
        self.kind = kind
        self.detail = detail
        self.status = status

    def __str__(self) -> str:
        """A sentence, the server's own where it gave one, and the technical reason."""
        return f"{self.sentence or FAILURES[self.kind]} ({self.technical})"

    @property
    def technical(self) -> str:
        """Kind and detail."""
        return f"{self.kind}: {self.detail}" if self.detail else self.kind

    @property
    def offline(self) -> bool:
        """Whether trying again later, unchanged, may well succeed."""
        return self.kind in ("unreachable", "timeout", "lost", "gateway")

    @property
    def lasting(self) -> bool:
        """Whether the same request would fail again, whenever it is sent: the server itself has judged it.

        A login page, a certificate or a version is in the way today and gone tomorrow.
        """
        return self.kind in ("rejected", "not_found")

    @property
    def sentence(self) -> str:
        """The server's own sentence, where it gave one (FastAPI's `detail`); the name of a status is none."""
        try:
            said = json.loads(self.detail)["detail"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return ""
        return said if isinstance(said, str) and said not in _STATUS_NAMES else ""


class Transport(Protocol):
    """Carries requests to a server."""

    def send(
        self, request: Request, on_done: Callable[[Reply], None], on_failed: Callable[[Failure], None]
    ) -> object:
        """Send; exactly one of the callbacks is called later, never from inside this call."""

    def close(self) -> None:
        """Drop everything on its way, silently."""


def failure_of_status(status: int, detail: str) -> Failure:
    """The failure that an HTTP status outside 2xx means."""
    kind = _KINDS.get(status)
    if kind is None:
        kind = "moved" if 300 <= status < 400 else "server_error" if status >= 500 else "rejected"
    failure = Failure(kind, detail, status)
    # The server says in a sentence why it is unable; what stands in front of it has a page.
    return Failure("gateway", detail, status) if status == 503 and not failure.sentence else failure


def encode_multipart(
    fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes]]
) -> tuple[dict[str, str], bytes]:
    """Encode a form with files (RFC 7578).

    Args:
        fields: Plain form fields.
        files: Field name to (file name, content).

    Returns:
        The headers to send and the body.
    """
    boundary = uuid.uuid4().hex
    parts = []
    for name, value in fields.items():
        head = f'Content-Disposition: form-data; name="{_quoted(name)}"'
        parts.append((head, value.encode("utf-8")))
    for name, (file_name, content) in files.items():
        head = 'Content-Disposition: form-data; name="{}"; filename="{}"\r\nContent-Type: application/octet-stream'
        parts.append((head.format(_quoted(name), _quoted(file_name)), content))
    delimiter = b"--" + boundary.encode("ascii")
    body = b"".join(
        delimiter + b"\r\n" + head.encode("utf-8") + b"\r\n\r\n" + content + b"\r\n"
        for head, content in parts
    )
    return {"Content-Type": "multipart/form-data; boundary=" + boundary}, body + delimiter + b"--\r\n"


def _quoted(text: str) -> str:
    """A file or field name inside quotes, with what would end the header taken out."""
    return text.replace("\r", "").replace("\n", "").replace('"', "%22")
