"""The server's REST interface: MONAI Label's own routes and `/sufficiency/`. No qt, no MRML.

Nothing here decides when to call; every method sends one request through the transport that it was
given and hands the checked answer to `on_done`, or a `Failure` to `on_failed`, never both.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any, Callable, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from .answers import NextCase, NoCase, SavedLabel, ServerInfo, TrainingTask, read_next_case
from .json_reader import BadAnswer, parse_object, parse_objects
from .messages import Failure, Reply, Request, Transport, encode_multipart
from .payload import SCHEMA, Payload, schema_of

logger = logging.getLogger(__name__)

OnFailed = Callable[[Failure], None]
_T = TypeVar("_T")

# How long nothing at all may move, in seconds. A busy MONAI Label server answers one request at a
# time and may well be silent for half a minute.
_QUICK_S, _NEXT_S, _LABEL_S, _IMAGE_S, _INFER_S = 60.0, 120.0, 300.0, 120.0, 600.0
#: Of an image or a label.
_FILE_BYTES = 16 << 30

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


def normal_address(text: str) -> str:
    """The server's base address as it will be called: scheme, host and path, no slash at the end.

    Raises:
        Failure: `bad_address`, when it is no http(s) address or has a password in it.
    """
    text = text.strip()
    if "://" not in text:
        text = "http://" + text
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")  # an empty or endless part of a name, or a letter that none may have
    except ValueError as error:
        raise Failure("bad_address", str(error)) from error
    odd = not text.isprintable() or " " in text
    if parts.scheme not in ("http", "https") or not host or port == 0 or odd:
        raise Failure("bad_address", text)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise Failure("bad_address", "an address without user name, password, ? and #")
    return "{}://{}{}".format(parts.scheme, parts.netloc.lower(), parts.path.rstrip("/"))


def is_local(address: str) -> bool:
    """Whether the server runs on this computer."""
    return urlsplit(address).hostname in _LOCAL_HOSTS


def is_encrypted(address: str) -> bool:
    return urlsplit(address).scheme == "https"


class Client:
    """One server.

    Args:
        transport: Carries the requests.
        address: As `normal_address` gives it.
        client_id: Who we say we are; MONAI Label stores it beside a label.
        token: Sent as a bearer token where the server asks for one.
        failed: Told of every call that failed, before whoever made it.
    """

    def __init__(
        self,
        transport: Transport,
        address: str,
        client_id: str,
        token: str = "",
        failed: Callable[[Client, Failure], None] | None = None,
    ) -> None:
        self.address = address
        self._transport = transport
        self._client_id = client_id
        self.token = token
        self._failed = failed

    @property
    def key(self) -> str:
        """Tells servers apart without naming one: a scene that is passed on may hold it."""
        return hashlib.sha256(self.address.encode("utf-8")).hexdigest()[:16]

    # The server -----------------------------------------------------------------------------------

    def info(self, on_done: Callable[[ServerInfo], None], on_failed: OnFailed) -> None:
        def read(reply: Reply) -> ServerInfo:
            try:
                return ServerInfo.from_json(parse_object(reply.body))
            except BadAnswer as error:
                raise Failure("not_monai_label", str(error)) from error

        def failed(failure: Failure) -> None:
            unknown = failure.kind in ("not_found", "rejected")
            on_failed(Failure("not_monai_label", failure.detail, failure.status) if unknown else failure)

        self._send("GET", "/info/", on_done, failed, read)

    def numbers(self, on_done: Callable[[str], None], on_failed: OnFailed) -> None:
        """How the server does, as Prometheus reads it."""
        self._send(
            "GET", "/metrics", on_done, on_failed, lambda reply: _content(reply).decode("utf-8", "replace")
        )

    def sign_in(self, user: str, password: str, on_done: Callable[[str], None], on_failed: OnFailed) -> None:
        """Exchange a name and password for a token, which is kept in memory only."""

        def read(reply: Reply) -> str:
            token = parse_object(reply.body).get("access_token")
            if not isinstance(token, str) or not token:
                raise BadAnswer("the answer has no access_token")
            return token

        form = urlencode({"username": user, "password": password, "grant_type": "password"}).encode("ascii")
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self._send("POST", "/auth/token", on_done, on_failed, read, form, headers)

    # Cases ----------------------------------------------------------------------------------------

    def next_case(self, rule: str, on_done: Callable[[NextCase | NoCase], None], on_failed: OnFailed) -> None:
        path = "/activelearning/" + quote(rule, safe="")
        body = {"client_id": self._client_id}
        self._json("POST", path, body, on_done, on_failed, read_next_case, _NEXT_S)

    def image(self, image_id: str, on_done: Callable[[bytes], None], on_failed: OnFailed) -> None:
        path = "/datastore/image?" + urlencode({"image": image_id})
        self._file("GET", path, on_done, on_failed, timeout_s=_IMAGE_S)

    def image_name(self, image_id: str, on_done: Callable[[str], None], on_failed: OnFailed) -> None:
        """The name of an image's file, empty where the server does not say."""
        path = "/datastore/image/info?" + urlencode({"image": image_id})
        self._json("GET", path, None, on_done, on_failed, lambda info: str(info.get("name") or ""))

    def label(self, image_id: str, on_done: Callable[[bytes], None], on_failed: OnFailed) -> None:
        what = {"label": image_id, "tag": "final", "client_id": self._client_id}
        self._file("GET", "/datastore/label?" + urlencode(what), on_done, on_failed, timeout_s=_IMAGE_S)

    def infer(self, model: str, image_id: str, on_done: Callable[[bytes], None], on_failed: OnFailed) -> None:
        """A prediction, as the content of a `.nii.gz` file."""
        path = "/infer/{}?{}".format(quote(model, safe=""), urlencode({"image": image_id, "output": "image"}))
        params = {"result_extension": ".nii.gz", "client_id": self._client_id}
        headers, body = encode_multipart({"params": json.dumps(params)}, {})
        self._file("POST", path, on_done, on_failed, body, headers, _INFER_S)

    def infer_file(
        self,
        model: str,
        file_name: str,
        content: bytes,
        on_done: Callable[[bytes], None],
        on_failed: OnFailed,
    ) -> None:
        """A prediction for an image that is no case of the server, as the content of a file of the image's own kind."""
        path = "/infer/{}?output=image".format(quote(model, safe=""))
        params = json.dumps({"client_id": self._client_id})
        headers, body = encode_multipart({"params": params}, {"file": (file_name, content)})
        self._file("POST", path, on_done, on_failed, body, headers, _INFER_S)

    def save_label(
        self,
        image_id: str,
        file_name: str,
        content: bytes,
        params: Mapping[str, Any],
        on_done: Callable[[SavedLabel], None],
        on_failed: OnFailed,
    ) -> None:
        """Submit a label; sending the same one twice leaves one label on the server."""
        path = "/datastore/label?" + urlencode({"image": image_id, "tag": "final"})
        text = json.dumps({**params, "client_id": self._client_id})
        headers, body = encode_multipart({"params": text}, {"label": (file_name, content)})

        def read(reply: Reply) -> SavedLabel:
            return SavedLabel.from_json(parse_object(reply.body))

        self._send("PUT", path, on_done, on_failed, read, body, headers, _LABEL_S)

    def label_time(self, image_id: str, on_done: Callable[[object], None], on_failed: OnFailed) -> None:
        """When the final label of a case was saved last, in the server's own time; None when there is none."""
        path = "/datastore/label/info?" + urlencode({"label": image_id, "tag": "final"})
        self._json("GET", path, None, on_done, on_failed, lambda info: info.get("ts"))

    def case_ids(self, on_done: Callable[[list[str]], None], on_failed: OnFailed) -> None:
        """The names of all cases that the server has."""

        def read(data: dict[str, Any]) -> list[str]:
            objects = data.get("objects")
            if not isinstance(objects, dict):
                raise BadAnswer("the list of cases has no objects")
            return list(objects)

        self._json("GET", "/datastore/?output=all", None, on_done, on_failed, read)

    # Sufficiency ----------------------------------------------------------------------------------

    def sufficiency(self, on_done: Callable[[Payload], None], on_failed: OnFailed) -> None:
        def read(reply: Reply) -> Payload:
            data = parse_object(reply.body)
            schema = schema_of(data)
            if schema is None or schema < SCHEMA:
                raise Failure("server_too_old", f"schema {schema}")
            if schema > SCHEMA:
                raise Failure("extension_too_old", f"schema {schema}")
            return Payload.from_json(data, reply.date)

        def failed(failure: Failure) -> None:
            on_failed(
                Failure("not_this_app", failure.detail, 404) if failure.kind == "not_found" else failure
            )

        self._send("GET", "/sufficiency/", on_done, failed, read)

    def report(self, on_done: Callable[[str], None], on_failed: OnFailed) -> None:
        """The report, one HTML file."""
        self._send(
            "GET",
            "/sufficiency/report.html",
            on_done,
            on_failed,
            lambda reply: reply.body.decode("utf-8", "replace"),
        )

    def set_target(self, dice: float | None, on_done: Callable[[object], None], on_failed: OnFailed) -> None:
        """Set the Dice that would be good enough, for everybody; None takes it back."""
        self._json("POST", "/sufficiency/target", {"dice": dice}, on_done, on_failed, dict)

    def note_case(
        self,
        image_id: str,
        minutes: float | None,
        blind: bool | None,
        on_done: Callable[[object], None],
        on_failed: OnFailed,
    ) -> None:
        """Tell how many active minutes a label took, whether it was drawn blind, or both; never neither."""
        facts = {"minutes": minutes, "blind": blind}
        body = {name: value for name, value in facts.items() if value is not None}
        path = "/sufficiency/case/{}?{}".format(quote(image_id, safe=""), self._who())
        self._json("POST", path, body, on_done, on_failed, dict)

    def keep_lease(
        self, image_id: str, ended: bool, on_done: Callable[[object], None], on_failed: OnFailed
    ) -> None:
        """Tell that we are still at a case, so that nobody else is handed it; or that we give it back.

        The answer: whether it is ours from now on; None where the server does not say.
        """
        path = "/sufficiency/lease/" + quote(image_id, safe="")
        body = {"client_id": self._client_id, "ended": ended}
        self._json("POST", path, body, on_done, on_failed, lambda answer: answer.get("held"))

    def confirm_label(self, image_id: str, on_done: Callable[[object], None], on_failed: OnFailed) -> None:
        """Tell that the label is right, whatever the label checks found."""
        path = "/sufficiency/case/" + quote(image_id, safe="")
        self._json("POST", path, {"confirmed": True}, on_done, on_failed, dict)

    def update_forecast(self, on_done: Callable[[object], None], on_failed: OnFailed) -> None:
        self._json("POST", "/sufficiency/update", {}, on_done, on_failed, dict)

    # Training -------------------------------------------------------------------------------------

    def start_training(
        self,
        trainer: str,
        options: Mapping[str, Any],
        on_done: Callable[[TrainingTask], None],
        on_failed: OnFailed,
    ) -> None:
        path = "/train/" + quote(trainer, safe="")
        body = {"client_id": self._client_id, **options}
        self._json("POST", path, body, on_done, on_failed, TrainingTask.from_json)

    def set_steps(self, steps: int | str, on_done: Callable[[object], None], on_failed: OnFailed) -> None:
        self._json("POST", "/sufficiency/steps", {"steps": steps}, on_done, on_failed, dict)

    def training(self, on_done: Callable[[TrainingTask | None], None], on_failed: OnFailed) -> None:
        """The training under way, else the newest; None when there was none since the server started."""
        failed = _none_if_not_found(on_done, on_failed)
        self._json("GET", "/train/", None, on_done, failed, TrainingTask.from_json)

    def training_of(
        self, task_id: str, on_done: Callable[[TrainingTask | None], None], on_failed: OnFailed
    ) -> None:
        """That training, whatever is in the queue beside it; None when there is none since the server started."""

        def read(reply: Reply) -> TrainingTask | None:
            tasks = map(TrainingTask.from_json, parse_objects(reply.body))
            return next((task for task in tasks if task.id == task_id), None)

        self._send("GET", "/train/?all=true", on_done, _none_if_not_found(on_done, on_failed), read)

    def stop_training(self, on_done: Callable[[bytes], None], on_failed: OnFailed) -> None:
        self._send("DELETE", "/train/", on_done, on_failed, _content)

    # How ------------------------------------------------------------------------------------------

    def _who(self) -> str:
        return urlencode({"client_id": self._client_id})

    def _file(
        self,
        method: str,
        path: str,
        on_done: Callable[[bytes], None],
        on_failed: OnFailed,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float = _QUICK_S,
    ) -> None:
        self._send(method, path, on_done, on_failed, _content, body, headers, timeout_s, _FILE_BYTES)

    def _json(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        on_done: Callable[[_T], None],
        on_failed: OnFailed,
        read: Callable[[dict[str, Any]], _T],
        timeout_s: float = _QUICK_S,
    ) -> None:
        content = b"" if body is None else json.dumps(body).encode("utf-8")
        headers = {} if body is None else {"Content-Type": "application/json"}
        self._send(
            method,
            path,
            on_done,
            on_failed,
            lambda reply: read(parse_object(reply.body)),
            content,
            headers,
            timeout_s,
        )

    def _send(
        self,
        method: str,
        path: str,
        on_done: Callable[[_T], None],
        on_failed: OnFailed,
        read: Callable[[Reply], _T],
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float = _QUICK_S,
        most_bytes: int = Request.most_bytes,
    ) -> None:
        def done(reply: Reply) -> None:
            try:
                answer = read(reply)
            except Failure as failure:
                on_failed(failure)
            except Exception as error:  # whatever it is: whoever asked waits for one of the two
                logger.warning("%s %s: %s", method, path, error, exc_info=not isinstance(error, BadAnswer))
                on_failed(Failure("bad_answer", str(error), reply.status))
            else:
                on_done(answer)

        def failed(failure: Failure) -> None:
            if self._failed is not None:
                self._failed(self, failure)
            on_failed(failure)

        sent = dict(headers or {})
        if self.token:
            sent["Authorization"] = "Bearer " + self.token
        self._transport.send(
            Request(method, self.address + path, sent, body, timeout_s, most_bytes), done, failed
        )


def _none_if_not_found(on_done: Callable[[Any], None], on_failed: OnFailed) -> OnFailed:
    def failed(failure: Failure) -> None:
        if failure.kind == "not_found":
            on_done(None)
        else:
            on_failed(failure)

    return failed


def _content(reply: Reply) -> bytes:
    """The bytes of a file; no format of images or labels begins as a page of the web does."""
    if reply.body[:100].lstrip().startswith(b"<"):
        raise BadAnswer("a page came in the place of a file")
    return reply.body
