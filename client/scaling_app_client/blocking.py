"""The same calls one after the other, over `requests`: for scripts, notebooks and tests.

Ten lines that label a folder are in this package's README.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Callable

import requests

from .answers import NextCase, NoCase, SavedLabel, ServerInfo, TrainingTask
from .calls import Client, is_local, normal_address
from .drafts import Draft, DraftStore
from .messages import Failure, Reply, Request, failure_of_status
from .payload import SCHEMA, Payload

_CHUNK_BYTES = 1 << 20
_BROKEN = (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError)


class RequestsTransport:
    """Sends at once and waits. Redirections are not followed: what is sent goes to the server that was named."""

    def __init__(self) -> None:
        self._http = requests.Session()

    def send(
        self, request: Request, on_done: Callable[[Reply], None], on_failed: Callable[[Failure], None]
    ) -> None:
        """Send; exactly one of the callbacks is called before this returns."""
        said: SimpleQueue[Reply | BaseException] = SimpleQueue()
        # In a thread of its own, because whoever drips can hold a socket for ever; that thread ends with the process.
        Thread(target=self._answer, args=(self._http, request, said), daemon=True).start()
        try:
            answer = said.get(timeout=request.most_s)
        except Empty:
            self._http = requests.Session()
            answer = request.dripping
        if isinstance(answer, Reply):
            on_done(answer)
        elif isinstance(answer, Failure):
            on_failed(answer)
        else:
            raise answer

    @staticmethod
    def _answer(http: requests.Session, request: Request, said: SimpleQueue[Reply | BaseException]) -> None:
        try:
            said.put(_exchange(http, request))
        except (requests.RequestException, ValueError) as error:
            said.put(Failure(_kind_of(error), str(error)))
        except BaseException as error:  # it is told where it was asked
            said.put(error)

    def close(self) -> None:
        """Ends the connections."""
        self._http.close()


def _exchange(http: requests.Session, request: Request) -> Reply:
    """One question and its answer.

    Raises:
        Failure: for a status outside 2xx, or an answer without end.
    """
    http.trust_env = not is_local(request.url)  # no proxy leads to this computer
    with http.request(
        request.method,
        request.url,
        headers=dict(request.headers),
        data=request.body,
        timeout=request.timeout_s,
        allow_redirects=False,
        auth=_as_it_is,
        verify=os.environ.get("REQUESTS_CA_BUNDLE") or True,  # which no `trust_env` would leave out
        stream=True,
    ) as answer:
        body = bytearray()
        for chunk in answer.iter_content(_CHUNK_BYTES):
            body += chunk
            if len(body) > request.most_bytes:
                raise request.endless
        if 200 <= answer.status_code < 300:
            return Reply(answer.status_code, bytes(body), answer.headers.get("Date", ""))
        raise failure_of_status(answer.status_code, body[:2000].decode("utf-8", "replace"))


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Signs nothing: `requests` would put what a `.netrc` has for this computer in the place of the server's token."""
    return request


def _kind_of(error: Exception) -> str:
    if isinstance(error, ValueError):  # the address's own faults, some of them past `requests`' own
        return "bad_address"
    if isinstance(error, requests.exceptions.SSLError):
        return "expired" if "certificate has expired" in str(error) else "tls"
    if isinstance(error, requests.exceptions.ProxyError):
        return "gateway"
    if isinstance(error, requests.exceptions.Timeout) or "Read timed out" in str(error):
        return "timeout"
    return "lost" if isinstance(error, _BROKEN) or "aborted" in str(error) else "unreachable"


class Server:
    """One server, asked and waited for.

    Args:
        address: such as `http://127.0.0.1:8000`.
        user, password: where the server asks for a login; kept in memory, for a sign-in that runs out.
        client_id: who labels; MONAI Label stores it beside a label.
        retries: how often a call that may be repeated is sent again when the server cannot be reached or fails inside.
        pause_s: before the first of them; twice as long before each further one.

    Raises:
        Failure: as every method does. Its text is a sentence, its `kind` one of `messages.FAILURES`. Here: nothing
            answers, it is no MONAI Label server, or its app is another one, older or newer.
    """

    def __init__(
        self,
        address: str,
        *,
        user: str = "",
        password: str = "",
        client_id: str = "script",
        retries: int = 2,
        pause_s: float = 1.0,
    ) -> None:
        self._retries, self._pause_s = retries, pause_s
        self._transport = RequestsTransport()
        self._calls = Client(self._transport, normal_address(address), client_id)
        self._login = (user, password)
        if user:
            self._sign_in()
        self.info = self._greeted()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections."""
        self._transport.close()

    def refresh(self) -> ServerInfo:
        """What the server offers now: a model appears with its first training, structures with labels."""
        info: ServerInfo = self._ask(self._calls.info)
        self.info = info
        return info

    def numbers(self) -> str:
        """How the server does: the text of `GET /metrics`, in Prometheus' form."""
        text: str = self._ask(self._calls.numbers)
        return text

    def next_case(self, rule: str = "random") -> NextCase | None:
        """The case to label next, as that next-case rule of the server picks it; None when none is left."""
        found: NextCase | NoCase = self._ask(self._calls.next_case, rule)
        return found if isinstance(found, NextCase) else None

    def give_back(self, image_id: str) -> None:
        """Gives back a case that was handed out and will not be labelled, so that others are handed it at once."""
        self._ask(self._calls.keep_lease, image_id, True)

    def hold(self, image_id: str) -> None:
        """Tells that a case is still being labelled: nobody else is handed it within the next hour."""
        self._ask(self._calls.keep_lease, image_id, False)

    def image(self, image_id: str) -> bytes:
        """The content of an image's file."""
        content: bytes = self._ask(self._calls.image, image_id)
        return content

    def label(self, image_id: str) -> bytes:
        """The content of the final label's file."""
        content: bytes = self._ask(self._calls.label, image_id)
        return content

    def predict(self, image_id: str, model: str = "segmentation") -> bytes:
        """The model's segmentation of a case, as the content of a `.nii.gz`. The case counts as assisted then."""
        content: bytes = self._ask(self._calls.infer, model, image_id)
        return content

    def predict_file(self, image: Path, model: str = "segmentation") -> bytes:
        """The model's segmentation of an image that is no case of the server, as a file of the image's own kind.

        Of a JPEG it is a PNG. Kinds that cannot say where their voxels lie, as the server shows them, come as NRRD.
        """
        image = Path(image)
        content: bytes = self._ask(self._calls.infer_file, model, image.name, image.read_bytes())
        return content

    def save_label(
        self,
        image_id: str,
        file: Path,
        structures: Mapping[str, int],
        *,
        minutes: float | None = None,
        kept: DraftStore | None = None,
    ) -> SavedLabel:
        """Submits a label file; sending the same one twice leaves one label.

        Args:
            image_id: the case.
            file: any format that the server reads; its name's ending says which.
            structures: what the voxel values mean, name to value.
            minutes: active annotation time, where it was measured.
            kept: where the label is kept when it does not arrive, for `send_kept`; the failure is raised all the same.
                One that the server itself turns down is not kept.
        """
        info = [{"name": name, "idx": value} for name, value in structures.items()]
        file = Path(file)
        draft = Draft(self._calls.key, image_id, file.name, info, minutes, None)
        content = file.read_bytes()
        try:
            return self._submit(draft, content)
        except Failure as failure:
            if kept is not None and not failure.lasting:
                kept.prepare(draft).write_bytes(content)
                kept.keep(draft)
            raise

    def send_kept(self, kept: DraftStore) -> int:
        """Sends the labels that were kept for this server, oldest first; returns how many arrived.

        One that is turned down, by the server or by what stands in front of it, stays kept and holds up no other: its
        failure is raised when the others have been sent. Only a server that cannot be reached, or wants a sign-in, ends
        it at once: the others would fare no better.
        """
        refused: list[Failure] = []
        drafts = kept.all(self._calls.key)
        for draft in drafts:
            try:
                self._submit(draft, kept.content(draft))
            except Failure as failure:
                if failure.offline or failure.kind == "sign_in":
                    raise
                refused.append(failure)
            else:
                kept.forget(draft)
        if refused:
            raise refused[0]
        return len(drafts)

    def confirm_label(self, image_id: str) -> None:
        """Tells that a label in doubt is right."""
        self._ask(self._calls.confirm_label, image_id)

    def forecast(self, wait_s: float = 0.0) -> Payload:
        """What the next labelled case is worth; waits at most `wait_s` seconds for one that is being computed."""
        deadline = time.monotonic() + wait_s
        while True:
            found: Payload = self._ask(self._calls.sufficiency)
            if found.status != "computing" or time.monotonic() >= deadline:
                return found
            time.sleep(0.2)

    def report(self) -> str:
        """The report as one HTML file, which needs nothing else."""
        text: str = self._ask(self._calls.report)
        return text

    def set_target(self, dice: float | None) -> None:
        """Sets the Dice that would be good enough, for everybody; None takes it back."""
        self._ask(self._calls.set_target, dice)

    def train(
        self,
        trainer: str = "segmentation",
        options: Mapping[str, Any] | None = None,
        on_wait: Callable[[], None] = lambda: None,
    ) -> TrainingTask:
        """Starts a training and waits for its own end, whatever is queued behind it.

        Args:
            trainer: one of `info.trainers`.
            options: what it is told, such as `{"strategy": "baseline", "steps": 1600}`.
            on_wait: called a few times a second.

        Raises:
            Failure: also where the server has been started again meanwhile, which ends its trainings.
        """
        started: TrainingTask = self._ask(self._calls.start_training, trainer, options or {}, repeat=False)
        while True:
            task: TrainingTask | None = self._ask(self._calls.training_of, started.id)
            if task is None:
                raise Failure("lost", "the server was started again and knows nothing of this training")
            if not task.running:
                return task
            on_wait()
            time.sleep(0.4)

    # How ------------------------------------------------------------------------------------------

    def _greeted(self) -> ServerInfo:
        """The server's description, if it speaks this client's version of the contract."""
        info: ServerInfo = self._ask(self._calls.info)
        if not info.has_sufficiency:
            raise Failure("not_this_app", info.name)
        if info.schema != SCHEMA:
            older = info.schema is None or info.schema < SCHEMA
            detail = f"the app ({info.version or 'of unknown version'}) speaks schema {info.schema}, this client {SCHEMA}"
            raise Failure("server_too_old" if older else "extension_too_old", detail)
        return info

    def _submit(self, draft: Draft, content: bytes) -> SavedLabel:
        params: dict[str, Any] = {"label_info": draft.label_info}
        if draft.minutes is not None:
            params["minutes"] = draft.minutes
        saved: SavedLabel = self._ask(
            self._calls.save_label, draft.image_id, draft.file_name, content, params
        )
        return saved

    def _sign_in(self) -> None:
        self._calls.token = ""
        self._calls.token = self._ask(self._calls.sign_in, *self._login)

    def _ask(self, call: Callable[..., object], *what: object, repeat: bool = True) -> Any:
        """What a call of `Client` hands to its `on_done`. A sign-in that has run out is renewed, once."""
        attempt, renewed = 0, False
        while True:
            answers: list[Any] = []
            failures: list[Failure] = []
            call(*what, answers.append, failures.append)
            if answers:
                return answers[0]
            failure = failures[0]
            if failure.kind == "sign_in" and self._calls.token and not renewed:
                self._sign_in()
                renewed = True
                continue
            again = repeat and (failure.offline or failure.kind in ("server_error", "unable"))
            if not again or attempt == self._retries:
                raise failure
            time.sleep(self._pause_s * 2**attempt)
            attempt += 1
