"""A real server in folders of its own, the viewers that save labels in it, and what must hold after any fault."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import requests

from benchmarks.common.served import launched
from benchmarks.faults.warm import WarmServer
from scaling_app.commands.launch import free_port, init_app, server_command
from scaling_app.imaging import synthetic
from scaling_app.imaging.geometry import write_label
from scaling_app.imaging.grids import Grid
from scaling_app.imaging.image_files import read_grid

CASES = 12
LABELLED = 8
SIZE = 28
START_SECONDS = 600
END_SECONDS = 60
AGREE_SECONDS = 300
ENDINGS = (".nii.gz", ".nrrd", ".seg.nrrd", ".nii")
"""Kinds that a label is saved as by turns, so that one replaces another."""


@dataclass
class Version:
    """One label that was sent: its content, what was said with it, and whether it was acknowledged.

    Attributes:
        key: by which it is known when it comes back.
    """

    content: bytes
    key: str
    ending: str
    minutes: float
    acknowledged: bool = False


@dataclass
class House:
    """Studies, app folder and lent images of one server, and all labels that were ever sent to it.

    Args:
        folder: where all of it lies.
        seed: of the labels.
    """

    folder: Path
    seed: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.studies, self.port = self.folder / "studies", free_port()
        self.start_seconds = 0.0
        self._viewers = tempfile.TemporaryDirectory(prefix="viewers-")  # their disk has room
        self.sent: dict[str, list[Version]] = {}
        self._truth: dict[str, tuple[np.ndarray, Grid]] = {}
        self.address = str(self.studies)
        for index in range(CASES):
            self._make_image(index)
        self.images = sorted(self._truth)
        self.app_dir = init_app(self.folder / "app")
        self.process: subprocess.Popen[bytes] | WarmServer | None = None

    def _make_image(self, index: int) -> None:
        case = synthetic.make_case(index, size=SIZE)
        image = synthetic.write_case(case, self.studies, None, suffix=(".nii.gz", ".nrrd")[index % 2])
        self._truth[case.case_id] = case.label, read_grid(image)

    @property
    def base(self) -> str:
        """Where the server answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "server.log"

    @property
    def model_dir(self) -> Path:
        """The folder of ledger and models."""
        return next(self.app_dir.glob("model/*/ledger.sqlite*")).parent

    # the server

    def launch(self, *, warm: bool = False) -> None:
        """Starts the server and does not wait for it; a warm one has its libraries loaded already."""
        self.port = free_port()
        own = {"OMP_NUM_THREADS": "1", **self.environment}
        if not warm:
            self.process = launched(self.address, self.folder, self.port, self.log, environment=own)
            return
        command = server_command(self.address, host="127.0.0.1", port=self.port, app_dir=self.app_dir)
        own["MONAI_LABEL_SESSION_PATH"] = str(self.folder / "sessions")
        self.process = WarmServer(command, own, self.folder, self.log)

    def start(self, *, warm: bool = False) -> str:
        """Starts the server and waits until it answers; else why it does not, as its last line says."""
        began = time.monotonic()
        self.launch(warm=warm)
        deadline = began + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return f"ended with {self.process.poll()}: {self.last_line()}"
            with contextlib.suppress(requests.RequestException):
                if requests.get(f"{self.base}/info/", timeout=60).ok:
                    self.start_seconds = time.monotonic() - began
                    return ""
            time.sleep(0.2)
        return f"no answer within {START_SECONDS} s: {self.last_line()}"

    def last_line(self) -> str:
        """The last line that the server wrote."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def kill(self) -> None:
        """SIGKILL to the server and its group; what it started beside that ends by itself, and is waited for."""
        others: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            others = psutil.Process(self.process.pid).children(recursive=True)
        for kill in (os.killpg, os.kill):  # one that has only just begun leads no group yet
            with contextlib.suppress(ProcessLookupError):
                kill(self.process.pid, signal.SIGKILL)
        self.process.wait(60)
        if self.process.poll() is None:
            raise RuntimeError(f"the server {self.process.pid} was killed and is there")
        if left := psutil.wait_procs(others, timeout=END_SECONDS)[1]:
            raise RuntimeError(f"{left} outlived the server that started them")

    def trainer(self) -> psutil.Process | None:
        """The process of the running training."""
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                if "monailabel.interfaces.utils.app" in child.cmdline():
                    return child
        return None

    def end(self) -> None:
        """Ends the server and everything that it started."""
        if self.process is not None:
            self.kill()
        self._viewers.cleanup()

    # its viewers

    def request(self, method: str, path: str, **options: object) -> requests.Response:
        """One request."""
        return requests.request(method, f"{self.base}{path}", **{"timeout": 120, **options})

    def new_version(self, image: str, ending: str | None = None) -> Version:
        """A label of an image like none before: the true one, some voxels changed."""
        array, grid = self._truth[image]
        number = len(self.sent.setdefault(image, []))
        rng = np.random.default_rng([self.seed, self.images.index(image), number])
        changed = array.copy()
        inside = np.flatnonzero(array)
        changed.flat[rng.choice(inside, 6)] = 1
        changed.flat[rng.choice(np.flatnonzero(array == 0), 3)] = 1
        ending = ending or ENDINGS[rng.integers(len(ENDINGS))]
        file = Path(self._viewers.name) / f"{image}-{threading.get_ident()}{ending}"
        names = {value: name for name, value in synthetic.STRUCTURES.items()}
        write_label(changed, grid, file, names)
        content = file.read_bytes()
        version = Version(content, self._key_sent(content, changed), ending, float(1 + number))
        file.unlink()
        self.sent[image].append(version)
        return version

    def _key_sent(self, content: bytes, voxels: np.ndarray) -> str:
        return self.key(content)

    def key(self, content: bytes) -> str:
        """By which a label is known that comes back: here it is the file that was sent."""
        return hashlib.sha256(content).hexdigest()

    def put_label(self, image: str, ending: str | None = None) -> requests.Response:
        """Saves a new label as a viewer does, and notes whether it was acknowledged."""
        version = self.new_version(image, ending)
        answer = self.request("PUT", "/datastore/label", **label_upload(image, version))
        version.acknowledged = answer.status_code == 200
        return answer

    @contextlib.contextmanager
    def saving(self, savers: int = 2) -> Iterator[list[str]]:
        """Viewers that save one label after the other meanwhile; the list takes up answers that are no success."""
        stop, refused = threading.Event(), []

        def save(images: list[str]) -> None:
            at = 0
            while not stop.is_set():
                try:
                    answer = self.put_label(images[at % len(images)])
                    if answer.status_code != 200:
                        refused.append(f"{answer.status_code} {answer.text[:200]}")
                except requests.RequestException:  # the server was killed
                    stop.wait(0.3)
                at += 1

        labelled = self.images[:LABELLED]
        threads = [threading.Thread(target=save, args=(labelled[i::savers],)) for i in range(savers)]
        for thread in threads:
            thread.start()
        try:
            yield refused
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def start_training(self, trainer: str, **options: object) -> None:
        """Starts a training; waits for the end of one that is ending."""
        deadline = time.monotonic() + 60
        while (answer := self.request("POST", f"/train/{trainer}", json=options)).status_code == 429:
            if time.monotonic() > deadline:
                raise TimeoutError(answer.text)
            time.sleep(0.5)
        answer.raise_for_status()

    def task_ended(self) -> bool:
        """Whether no training is going on in the queue."""
        answer = self.request("GET", "/train/")
        return answer.status_code == 404 or answer.json()["status"] in ("DONE", "ERROR", "STOPPED")

    # what must hold

    def ledger(self, query: str) -> list[tuple]:
        """Rows of the ledger, read beside the server."""
        with contextlib.closing(sqlite3.connect(self.model_dir / "ledger.sqlite", timeout=60)) as file:
            return file.execute(query).fetchall()

    def acknowledged(self) -> int:
        """The labels that have to be there."""
        return sum(any(version.acknowledged for version in versions) for versions in self.sent.values())

    def lost(self) -> list[str]:
        """Acknowledged labels that are not there: neither the last acknowledged one nor one sent after it."""
        found = []
        for image, versions in self.sent.items():
            last = max((i for i, version in enumerate(versions) if version.acknowledged), default=None)
            if last is None:
                continue
            allowed = [version.content for version in versions[last:]]
            files = self.files_of(image)
            if not any(file.read_bytes() in allowed for file in files):
                names = ", ".join(f"{file.name} ({file.stat().st_size} bytes)" for file in files)
                found.append(f"{image}: {names or 'no label'}")
        return found

    def disagreements(self, *, history: bool = True) -> list[str]:
        """Where server, ledger and files do not say the same; the server has some seconds to look around.

        Args:
            history: whether the replaced labels have to be whole, too.
        """
        deadline = time.monotonic() + AGREE_SECONDS
        try:
            while (found := self._disagreements(history)) and time.monotonic() < deadline:
                time.sleep(1)
        except requests.RequestException:
            return [f"no answer; the server's status is {self.process.poll()}"]
        return found

    def _disagreements(self, history: bool) -> list[str]:
        found = []
        doubts = str(self.request("GET", "/sufficiency/").json().get("doubts"))
        cases = {i: (digest, minutes) for i, digest, minutes in self.ledger(
            "select image_id, label_hash, minutes from cases left join minutes using (image_id)"
        )}  # fmt: skip
        for image, versions in self.sent.items():
            if not any(version.acknowledged for version in versions):
                continue
            content = self.request("GET", "/datastore/label", params={"label": image, "tag": "final"}).content
            others = [file.name for file in self.files_of(image) if file.read_bytes() != content]
            if len(others) != len(self.files_of(image)) - 1:
                found.append(f"the server gives a label of {image} that is in no file of its own")
            found += [
                f"{name} lies beside the label and is not named" for name in others if name not in doubts
            ]
            digest, minutes = cases.get(image, (None, None))
            if digest != hashlib.sha256(content).hexdigest():
                found.append(f"the ledger has another label of {image} than its file")
            key = self.key(content)
            version = next((v for v in versions if v.key == key), None)
            if version is None:
                found.append(f"the label of {image} was never sent")
            elif version.acknowledged and minutes != version.minutes:
                found.append(f"the minutes of {image} are {minutes}, and {version.minutes} were sent")
        sent = {version.key for versions in self.sent.values() for version in versions}
        replaced = self.studies / "labels" / ".history" / "final"
        for file in replaced.rglob("*") if history and replaced.is_dir() else ():
            if file.is_file() and self.key(file.read_bytes()) not in sent:
                found.append(f"the history holds {file.name}, which was never sent")
        return found

    def files_of(self, image: str) -> list[Path]:
        """The files that may be the label of an image."""
        return [
            file
            for file in (self.studies / "labels" / "final").glob(f"{image}.*")
            if not file.name.startswith(".")
        ]


def label_upload(image: str, version: Version) -> dict:
    """The parts of the request that saves a label."""
    info = [{"name": name, "idx": value} for name, value in synthetic.STRUCTURES.items()]
    said = {"label_info": info, "client_id": "viewer", "minutes": version.minutes}
    return {
        "params": {"image": image, "tag": "final"},
        "data": {"params": json.dumps(said)},
        "files": {"label": (f"{image}{version.ending}", version.content)},
    }


def wait_for(condition: Callable[[], object], seconds: float) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False
