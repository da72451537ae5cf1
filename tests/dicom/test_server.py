"""A real label server on a real DICOM server: label, train, predict, and a DICOM server that goes away."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import requests
from orthanc import PASSWORD, USER, running_orthanc
from series import OBLIQUE, make_series

from benchmarks.common.served import Served, serving
from scaling_app.imaging.geometry import read_image, read_label, write_label

pytest.importorskip("highdicom", reason="highdicom is not installed: pip install '.[dicom]'")

pytestmark = pytest.mark.slow_server


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
        answer = requests.get(f"{self.base}{path}", params=params, timeout=60)
        assert answer.ok, answer.text
        return answer

    def post(self, path: str, **options: object) -> requests.Response:
        """POST."""
        answer = requests.post(f"{self.base}{path}", timeout=120, **options)
        assert answer.ok, answer.text
        return answer

    def until(self, condition: Callable[[], object], seconds: float = 60) -> object:
        """The first true answer."""
        until = time.monotonic() + seconds
        while not (answer := condition()):
            assert time.monotonic() < until, self.served.tail()
            time.sleep(0.2)
        return answer


@contextlib.contextmanager
def labelling(url: str, folder: Path) -> Iterator[LabelServer]:
    """A label server on that DICOM server."""
    login = {"MONAI_LABEL_DICOMWEB_USERNAME": USER, "MONAI_LABEL_DICOMWEB_PASSWORD": PASSWORD}
    # nothing that could be fetched from outside is: no program of dcmqi is found, and no proxy leads out
    closed = {"PATH": "/usr/bin:/bin", "https_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1"}
    with serving(url, folder, {"blind_fraction": "0"}, login | closed) as served:
        yield LabelServer(served)


def test_the_whole_way_over_http(tmp_path: Path) -> None:
    with running_orthanc(tmp_path / "orthanc") as orthanc:
        kinds = ({}, {"modality": "MR", "axes": OBLIQUE}, {"spacing": (0.5, 0.5, 3.0)})
        images = [orthanc.send(make_series(patient=f"P{n}", seed=n, **kind)) for n, kind in enumerate(kinds)]
        drawn = {}
        with labelling(orthanc.url, tmp_path) as server:
            assert server.get("/datastore/").json() == {"total": 3, "completed": 0, "label_tags": {}}
            for left in (3, 2):
                sample = server.post("/activelearning/random", json={"client_id": "anna"}).json()
                image = sample["id"]
                assert image in set(images) - set(drawn) and sample["PatientID"] == f"P{images.index(image)}"
                file = tmp_path / f"{image}.nii.gz"
                file.write_bytes(server.get("/datastore/image", image=image).content)
                read = read_image(file)
                voxels = np.zeros(read.shape[1:], np.uint8)
                voxels[2:9, 2:9, 3:6] = 1
                label = write_label(voxels, read, tmp_path / f"label-{left}.nrrd")
                params = {"label_info": [{"name": "liver", "idx": 1}], "client_id": "anna", "minutes": 3}
                answer = requests.put(
                    f"{server.base}/datastore/label",
                    params={"image": image, "tag": "final"},
                    data={"params": json.dumps(params)},
                    files={"label": (label.name, label.read_bytes())},
                    timeout=60,
                )
                assert answer.ok and answer.json()["sufficiency"]["doubts"] == [], answer.text
                drawn[image] = voxels
                # at once, and not after two hours
                assert server.get("/datastore/").json()["completed"] == len(drawn)
            last = server.post("/activelearning/random", json={}).json()["id"]
            assert last not in drawn
            server.post("/train/segmentation", json={"steps": 4})
            ended = ("DONE", "ERROR", "STOPPED")
            task = server.until(lambda: (t := server.get("/train/").json())["status"] in ended and t, 200)
            assert task["status"] == "DONE", task
            prediction = server.post("/infer/segmentation", params={"image": last, "output": "image"})
            (tmp_path / "prediction.nii.gz").write_bytes(prediction.content)
            assert read_label(tmp_path / "prediction.nii.gz").shape[1:] == (14, 12, 9)
            for image, voxels in drawn.items():
                back = tmp_path / "back.nii.gz"
                back.write_bytes(server.get("/datastore/label", label=image, tag="final").content)
                assert np.array_equal(read_label(back)[0].numpy(), voxels)
            refused = requests.delete(f"{server.base}/datastore/image", params={"id": last}, timeout=60)
            assert refused.status_code == 422 and "delete the series there" in refused.json()["detail"]
            orthanc.process.terminate()
            orthanc.process.wait(timeout=20)
            silent = requests.put(
                f"{server.base}/datastore/label",
                params={"image": image, "tag": "final"},
                files={"label": (label.name, label.read_bytes())},
                timeout=60,
            )
            assert silent.status_code == 503 and "cannot be reached" in silent.json()["detail"]
            server.until(lambda: "cannot be reached" in server.get("/sufficiency/").text, 30)
