"""A real label server on a real DICOM server: label, train, predict, and a DICOM server that goes away."""

from __future__ import annotations

import email
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import requests
from label_server import LabelServer, labelling
from orthanc import Orthanc, running_orthanc
from pydicom import dcmread
from pydicom.dataset import FileDataset
from viewer import Viewer

from benchmarks.common.made_series import OBLIQUE, make_series
from scaling_app.imaging.dicom_segmentation import SegmentationError, read_segmentation
from scaling_app.imaging.dicom_series import series_of
from scaling_app.imaging.geometry import read_image, read_label, write_label

pytest.importorskip("highdicom", reason="highdicom is not installed: pip install '.[dicom]'")

pytestmark = pytest.mark.slow_server


@dataclass
class Day:
    """A label server on a DICOM server, with three series of which two are labelled, and a model."""

    orthanc: Orthanc
    server: LabelServer
    viewer: Viewer
    images: list[str]
    drawn: dict[str, np.ndarray]
    series: list[list[FileDataset]]

    @property
    def last(self) -> str:
        """The series without a label."""
        return next(image for image in self.images if image not in self.drawn)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """One day with one server: labels come from Slicer, and the training is begun in the OHIF viewer."""
    folder = tmp_path_factory.mktemp("day")
    with running_orthanc(folder / "orthanc") as orthanc:
        kinds = ({}, {"modality": "MR", "axes": OBLIQUE}, {"spacing": (0.5, 0.5, 3.0)})
        series = [make_series(patient=f"P{n}", seed=n, **kind) for n, kind in enumerate(kinds)]
        images = [orthanc.send(one) for one in series]
        with labelling(orthanc.url, folder) as server:
            day = Day(orthanc, server, Viewer(server.base), images, {}, series)
            assert server.get("/datastore/").json() == {"total": 3, "completed": 0, "label_tags": {}}
            assert not day.viewer.is_training()
            _label_two(day, folder)
            options = {"steps": "4", "strategy": "baseline"}  # a text, as the viewer's dialog sends it
            started = day.viewer.update_model(segmentation=options)
            assert started.json()["segmentation"]["result"]["request"]["model"] == "segmentation"
            assert day.viewer.update_model().status_code == 429
            server.until(lambda: day.viewer.is_training(two=True), 60)
            ended = ("DONE", "ERROR", "STOPPED")
            task = server.until(lambda: (t := server.get("/train/").json())["status"] in ended and t, 200)
            assert task["status"] == "DONE", task
            yield day


def _label_two(day: Day, folder: Path) -> None:
    server = day.server
    for left in (3, 2):
        sample = server.post("/activelearning/random", json={"client_id": "anna"}).json()
        image = sample["id"]
        assert (
            image in set(day.images) - set(day.drawn) and sample["PatientID"] == f"P{day.images.index(image)}"
        )
        file = folder / f"{image}.nii.gz"
        file.write_bytes(server.get("/datastore/image", image=image).content)
        read = read_image(file)
        voxels = np.zeros(read.shape[1:], np.uint8)
        voxels[2:9, 2:9, 3:6] = 1
        label = write_label(voxels, read, folder / f"label-{left}.nrrd")
        assert server.put_label(image, label, {"liver": 1}, minutes=3)["sufficiency"]["doubts"] == []
        day.drawn[image] = voxels
        # at once, and not after two hours
        assert server.get("/datastore/").json()["completed"] == len(day.drawn)


def test_what_was_labelled_comes_back_and_the_rest_is_predicted(day: Day, tmp_path: Path) -> None:
    last = day.server.post("/activelearning/random", json={}).json()["id"]
    assert last == day.last
    prediction = day.server.post("/infer/segmentation", params={"image": last, "output": "image"})
    (tmp_path / "prediction.nii.gz").write_bytes(prediction.content)
    assert read_label(tmp_path / "prediction.nii.gz").shape[1:] == (14, 12, 9)
    for image, voxels in day.drawn.items():
        back = tmp_path / "back.nii.gz"
        back.write_bytes(day.server.get("/datastore/label", label=image, tag="final").content)
        assert np.array_equal(read_label(back)[0].numpy(), voxels)
    refused = requests.delete(f"{day.server.base}/datastore/image", params={"id": last}, timeout=180)
    assert refused.status_code == 422 and "delete the series there" in refused.json()["detail"]


def test_the_ohif_viewer_finds_what_its_panel_needs(day: Day) -> None:
    info = day.viewer.info()
    moving = {name: info[name] for name in ("sufficiency", "scoring")}  # a forecast may end in between
    assert info == {**day.viewer.info(two=True), **moving}
    assert info["labels"] == ["liver"] and info["models"]["segmentation"]["labels"] == {"liver": 1}
    assert info["models"]["segmentation"]["type"] == "segmentation"
    assert info["datastore"] == {"total": 3, "completed": 2, "label_tags": {"final": 2}}
    assert set(info["trainers"]) >= {"segmentation"} and "random" in info["strategies"]
    sample = day.viewer.next_sample(unknown="option")
    series = day.series[day.images.index(day.last)][0]
    assert (sample["id"], sample["SeriesInstanceUID"]) == (day.last, day.last)
    assert sample["StudyInstanceUID"] == series.StudyInstanceUID  # by which the viewer opens it
    found = day.viewer.dicom("qido/studies", StudyInstanceUID=sample["StudyInstanceUID"]).json()
    assert [one["00100020"]["Value"] for one in found] == [[sample["PatientID"]]]
    assert day.viewer.stop_training().json() is None


def test_the_ohif_viewer_is_handed_out_with_what_it_loads(day: Day) -> None:
    for address, kind in (
        ("", "text/html"),
        ("viewer?StudyInstanceUIDs=1.2", "text/html"),
        ("app-config.js", "javascript"),
    ):
        answer = day.server.get(f"/ohif/{address}")
        assert kind in answer.headers["content-type"]
    assert "/proxy/dicom/qido" in answer.text
    others = {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
    assert requests.get(f"{day.server.base}/info/", headers=others, timeout=180).status_code == 403


def test_the_ohif_viewer_shows_the_prediction_voxel_for_voxel(day: Day, tmp_path: Path) -> None:
    (tmp_path / "p.nii.gz").write_bytes(
        day.server.post("/infer/segmentation", params={"image": day.last, "output": "image"}).content
    )
    predicted = read_label(tmp_path / "p.nii.gz")[0].numpy()
    for two in (False, True):
        assert np.array_equal(day.viewer.segment(day.last, two=two), predicted)
    both = day.viewer.infer(day.last, {"result_extension": ".nrrd"}, output="all")
    parts = email.message_from_bytes(
        f"Content-Type: {both.headers['content-type']}\n\n".encode() + both.content
    )
    kinds = [part.get_content_type() for part in parts.get_payload()]
    assert kinds == ["application/json", "application/octet-stream"]
    assert json.loads(parts.get_payload(0).get_payload())["label_names"].keys() <= {"liver"}


def test_a_label_of_the_ohif_viewer_is_kept_voxel_for_voxel_with_its_names(day: Day, tmp_path: Path) -> None:
    image, old = next(iter(day.drawn.items()))
    for kind in (np.uint8, np.uint16):
        voxels = old.astype(kind)
        voxels[1:4, 5:7, 7] = 1
        answer = day.viewer.submit(image, voxels, {"liver": 1})
        assert answer["sufficiency"]["doubts"] == []
        (tmp_path / "back.nii.gz").write_bytes(
            day.server.get("/datastore/label", label=image, tag="final").content
        )
        assert np.array_equal(read_label(tmp_path / "back.nii.gz")[0].numpy(), voxels)
        day.drawn[image] = voxels.astype(np.uint8)
    assert (
        day.server.get("/datastore/label/info", label=image, tag="final").json()["label_info"][0]["name"]
        == "liver"
    )


def test_a_prediction_as_dicom_segmentation_is_never_taken_for_a_label(day: Day) -> None:
    answer = day.viewer.infer(day.last, {}, output="dicom_seg")
    assert answer.headers["content-type"] == "application/dicom"
    instance = dcmread(io.BytesIO(answer.content))
    assert {one.SegmentAlgorithmType for one in instance.SegmentSequence} == {"AUTOMATIC"}
    series = series_of(day.series[day.images.index(day.last)])
    with pytest.raises(SegmentationError, match="prediction of a model"):
        read_segmentation(instance, series)
    day.viewer.store(answer.content)
    said = day.server.until(
        lambda: [d for d in day.server.get("/sufficiency/").json()["files"] if d["image"] == day.last], 60
    )
    assert "prediction of a model" in said[0]["sentence"]
    assert day.server.get("/datastore/").json()["completed"] == 2
    instance.ContentLabel = "LABEL"  # as a label, it is what the viewer shows of the prediction
    assert np.array_equal(read_segmentation(instance, series).voxels, day.viewer.segment(day.last))


def test_a_dicom_server_that_is_gone_takes_no_label(day: Day, tmp_path: Path) -> None:
    image, voxels = next(iter(day.drawn.items()))
    day.orthanc.process.terminate()
    day.orthanc.process.wait(timeout=20)
    silent = requests.put(
        f"{day.server.base}/datastore/label",
        params={"image": image, "tag": "final"},
        files={"label": ("label.bin", voxels.tobytes(order="F"))},
        timeout=180,
    )
    assert silent.status_code == 503 and "cannot be reached" in silent.json()["detail"]
    day.server.until(lambda: "cannot be reached" in day.server.get("/sufficiency/").text, 30)
