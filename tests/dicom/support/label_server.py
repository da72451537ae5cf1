"""A real label server on a real DICOM server, and a viewer's calls."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import requests
from orthanc import PASSWORD, USER

from benchmarks.common.served import Served, serving


@dataclass
class LabelServer:
    """Calls of a running label server that have to succeed."""

    served: Served

    @property
    def base(self) -> str:
        """Where it answers."""
        return self.served.base

    def get(self, path: str, **params: str) -> requests.Response:
        """GET."""
        answer = requests.get(f"{self.base}{path}", params=params, timeout=180)
        assert answer.ok, answer.text
        return answer

    def post(self, path: str, **options: object) -> requests.Response:
        """POST."""
        answer = requests.post(f"{self.base}{path}", timeout=180, **options)
        assert answer.ok, answer.text
        return answer

    def put_label(self, image: str, label: Path, names: Mapping[str, int], **said: object) -> dict:
        """Saves a label as Slicer does; what the server answers."""
        info = [{"name": name, "idx": value} for name, value in names.items()]
        answer = requests.put(
            f"{self.base}/datastore/label",
            params={"image": image, "tag": "final"},
            data={"params": json.dumps({"label_info": info, "client_id": "anna", **said})},
            files={"label": (label.name, label.read_bytes())},
            timeout=180,
        )
        assert answer.ok, answer.text
        return answer.json()

    def trained(self, trainer: str, **options: object) -> dict:
        """The task of a training that was started and has ended."""
        self.post(f"/train/{trainer}", json=options)
        ended = ("DONE", "ERROR", "STOPPED")
        return self.until(lambda: (t := self.get("/train/").json())["status"] in ended and t, 280)

    def until(self, condition: Callable[[], object], seconds: float = 60) -> object:
        """The first true answer."""
        until = time.monotonic() + seconds
        while not (answer := condition()):
            assert time.monotonic() < until, self.served.tail()
            time.sleep(0.2)
        return answer


@contextlib.contextmanager
def labelling(
    url: str, folder: Path, more: Mapping[str, str] = MappingProxyType({}), **conf: str
) -> Iterator[LabelServer]:
    """A label server on that DICOM server, with these options; `more` goes into its environment."""
    login = {"MONAI_LABEL_DICOMWEB_USERNAME": USER, "MONAI_LABEL_DICOMWEB_PASSWORD": PASSWORD}
    # nothing that could be fetched from outside is: no program of dcmqi is found, and no proxy leads out
    closed = {"PATH": "/usr/bin:/bin", "https_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1"}
    environment = login | closed | {"OMP_NUM_THREADS": "1"} | dict(more)
    with serving(url, folder, {"blind_fraction": "0", **conf}, environment) as served:
        yield LabelServer(served)
