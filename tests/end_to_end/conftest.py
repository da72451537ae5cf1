"""A real MONAI Label server on a free loopback port, over tiny synthetic cases."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from benchmarks.common.served import Served, serving
from scaling_app.imaging import synthetic

N_CASES = 16
SIZE = 20
STRUCTURES = dict(synthetic.STRUCTURES)


@dataclass
class Server:
    """A running server, the studies it works on, and a viewer's calls.

    `labels` holds the true label file of every image; only submitted ones are known to the server.
    """

    served: Served
    studies: Path
    labels: dict[str, Path]
    client: str = "test"
    http: requests.Session = field(default_factory=requests.Session)

    @property
    def base(self) -> str:
        """Where it answers."""
        return self.served.base

    @property
    def app_dir(self) -> Path:
        """Where model and ledger are."""
        return self.served.app_dir

    def get(self, path: str, **options: object) -> requests.Response:
        """GET, answered or not."""
        return self.http.get(f"{self.base}{path}", timeout=60, **options)

    def post(self, path: str, **options: object) -> requests.Response:
        """POST, answered or not."""
        return self.http.post(f"{self.base}{path}", timeout=300, **options)

    def info(self) -> dict:
        """`GET /info/`."""
        answer = self.get("/info/")
        answer.raise_for_status()
        return answer.json()

    def next_sample(self, strategy: str = "random") -> dict:
        """Next Sample as a viewer asks for it."""
        answer = self.post(f"/activelearning/{strategy}", json={"client_id": self.client})
        answer.raise_for_status()
        return answer.json()

    def put_label(
        self,
        image: str,
        label: Path | None = None,
        *,
        label_info: list[dict] | None = None,
        name: str | None = None,
        content: bytes | None = None,
        **params: object,
    ) -> requests.Response:
        """Submits a label as the stock Slicer module does; by default the true one."""
        label = label or self.labels[image]
        info = label_info
        if info is None:
            info = [{"name": structure, "idx": value} for structure, value in STRUCTURES.items()]
        sent = {"label_info": info, "client_id": self.client, **params}
        return self.http.put(
            f"{self.base}/datastore/label",
            params={"image": image, "tag": "final"},
            data={"params": json.dumps(sent)},
            files={"label": (name or label.name, content if content is not None else label.read_bytes())},
            timeout=60,
        )

    def infer(self, image: str, *, output: str = "image", **params: object) -> requests.Response:
        """Asks for a prediction of a case."""
        return self.post(
            "/infer/segmentation",
            params={"image": image, "output": output},
            data={"params": json.dumps({"client_id": self.client, **params})},
        )

    def train(self, trainer: str, *, seconds: float = 240, **request: object) -> dict:
        """Starts a trainer and waits for its end."""
        self.start_training(trainer, **request)
        return self.wait_for_training(seconds)

    def start_training(self, trainer: str, **request: object) -> dict:
        """Starts a trainer."""
        answer = self.post(f"/train/{trainer}", json=request)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait_for_training(self, seconds: float = 240) -> dict:
        """Waits until the last task has ended; its details are its last lines of output."""

        def ended() -> dict | None:
            task = self.get("/train/").json()
            return task if task["status"] in ("DONE", "ERROR", "STOPPED") else None

        return wait_for(ended, seconds)

    def sufficiency(self) -> dict:
        """`GET /sufficiency/` once nothing is being computed."""

        def settled() -> dict | None:
            answer = self.get("/sufficiency/")
            answer.raise_for_status()
            return answer.json() if answer.json()["status"] != "computing" else None

        return wait_for(settled, 60)

    def wait_for(self, condition: Callable[[], object], seconds: float = 30) -> object:
        """The first true answer of `condition`; a timeout shows the server's log."""
        try:
            return wait_for(condition, seconds)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.served.tail()}") from error


def wait_for(condition: Callable[[], object], seconds: float = 30) -> object:
    """The first true answer of `condition`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.2)
    raise TimeoutError(f"waited {seconds} s in vain")


def make_studies(folder: Path, n_cases: int = N_CASES, *, size: int = SIZE) -> dict[str, Path]:
    """Images (NIfTI and NRRD by turns) in `studies`, their labels in `truth`; returns the labels."""
    labels: dict[str, Path] = {}
    for index in range(n_cases):
        case = synthetic.make_case(index, size=size)
        suffix = ".nii.gz" if index % 2 else ".nrrd"
        image = synthetic.write_case(case, folder / "studies", folder / "truth", suffix=suffix)
        labels[case.case_id] = folder / "truth" / image.name
    return labels


@contextlib.contextmanager
def running_server(
    folder: Path, labels: Mapping[str, Path], conf: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A server on `folder/studies`, ended with all its children on leaving.

    Its trainings, of a few steps, take the fastest network.
    """
    with serving(str(folder / "studies"), folder, {"network": "resunet", **(conf or {})}) as served:
        yield Server(served, folder / "studies", dict(labels))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server, empty of labels at the beginning."""
    folder = tmp_path_factory.mktemp("session")
    with running_server(folder, make_studies(folder)) as running:
        yield running


@pytest.fixture
def small_server(tmp_path: Path) -> Iterator[Server]:
    """A server of its own, with three images."""
    with running_server(tmp_path, make_studies(tmp_path, 3, size=8)) as running:
        yield running


@pytest.fixture
def restarted() -> Iterator[Callable[..., Server]]:
    """Kills the session's server, removes files from its studies, and starts another on the same folders."""
    with contextlib.ExitStack() as stack:

        def restart(server: Server, without: list[str]) -> Server:
            server.served.kill()
            for name in without:
                (server.studies / name).unlink()
            return stack.enter_context(running_server(server.studies.parent, server.labels))

        yield restart
