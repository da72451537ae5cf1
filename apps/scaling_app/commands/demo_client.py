"""A viewer's side of the REST interface, as the demonstration plays it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import requests

from scaling_app.imaging.image_files import suffix_of
from scaling_app.storage import whole_file


class ServerError(RuntimeError):
    """The server ended, did not answer in time, or answered with an error; the message says which."""


class Viewer:
    """Speaks to one MONAI Label server on loopback."""

    def __init__(self, base: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.base, self.process, self.log = base, process, log
        self.http = requests.Session()
        self.http.trust_env = False  # no proxy leads to this computer

    def wait_until_up(self, seconds: float) -> None:
        """Waits for the server's first answer.

        Raises:
            ServerError: it ended or stayed silent; the message ends with the log's last line.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ServerError(f"the server ended at once: {self._last_line()} (log: {self.log})")
            try:
                if self.http.get(f"{self.base}/info/", timeout=20).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.3)
        raise ServerError(f"no answer from {self.base} within {seconds:.0f} s (log: {self.log})")

    def next_sample(self) -> dict:
        """The case to annotate next, `{}` when none is left."""
        return self._json("post", "/activelearning/random", json={"client_id": "demo"})

    def save_label(self, image: str, label: Path, structures: Mapping[str, int], minutes: float) -> dict:
        """Submits a label as Slicer does and returns the answer."""
        info = [{"name": name, "idx": index} for name, index in structures.items()]
        params = {"label_info": info, "client_id": "demo", "minutes": minutes}
        with label.open("rb") as content:
            return self._json(
                "put",
                "/datastore/label",
                params={"image": image, "tag": "final"},
                data={"params": json.dumps(params)},
                files={"label": (f"{image}{suffix_of(label)}", content)},
            )

    def train(self, trainer: str, request: Mapping[str, object], on_wait: Callable[[], None]) -> dict:
        """Starts a trainer and waits for its end, calling `on_wait` a few times a second."""
        self._json("post", f"/train/{trainer}", json=dict(request))
        while True:
            on_wait()
            time.sleep(0.4)
            answer = self.http.get(f"{self.base}/train/", timeout=60)
            task = answer.json() if answer.ok else {}
            if task.get("status") in ("DONE", "ERROR", "STOPPED"):
                if task["status"] == "ERROR":
                    raise ServerError(f"{trainer} failed: {task.get('details', ['?'])[-1]} (log: {self.log})")
                return task

    def sufficiency(self, *, settle: float = 0.0) -> dict:
        """`GET /sufficiency/`, after waiting up to `settle` seconds for a computation to end."""
        deadline = time.monotonic() + settle
        while True:
            answer = self._json("get", "/sufficiency/")
            if answer["status"] != "computing" or time.monotonic() > deadline:
                return answer
            time.sleep(0.1)

    def report(self) -> str:
        """The report, as a file."""
        answer = self.http.get(f"{self.base}/sufficiency/report.html", timeout=60)
        answer.raise_for_status()
        return answer.text

    def segment(self, image: Path, out: Path) -> Path:
        """Has the published model segment an image file that is no case of the server."""
        with image.open("rb") as content:
            answer = self.http.post(
                f"{self.base}/infer/segmentation",
                params={"output": "image"},
                data={"params": json.dumps({"result_extension": suffix_of(image)})},
                files={"file": (image.name, content)},
                timeout=300,
            )
        if not answer.ok:
            raise ServerError(f"inference on {image.name}: {answer.status_code} {answer.text[:200]}")
        with whole_file(out) as part:
            part.write_bytes(answer.content)
        return out

    def _json(self, method: str, path: str, **options: object) -> dict:
        answer = self.http.request(method, f"{self.base}{path}", timeout=120, **options)
        if not answer.ok:
            raise ServerError(f"{method.upper()} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json()

    def _last_line(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"
