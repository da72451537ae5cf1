"""From the first label to the forecast on a real DICOM server: train, curve, comparison, prediction, a lost cache."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from label_server import LabelServer, labelling
from orthanc import running_orthanc

from benchmarks.common.made_series import OBLIQUE, make_series
from scaling_app.imaging.geometry import read_image, read_label, write_label
from scaling_app.ledger import Ledger

pytest.importorskip("highdicom", reason="highdicom is not installed: pip install '.[dicom]'")

pytestmark = [pytest.mark.slow_server, pytest.mark.timeout(900)]

NAMES = {"liver": 1, "tumour": 5, "cyst": 3}
"""Nobody draws the last one."""

SMALL = {"network": "resunet", "curve_minutes": "3", "strategy": "baseline"}
CASES = 6


def draw(server: LabelServer, number: int, folder: Path) -> tuple[str, np.ndarray]:
    """Labels the next case: the end slices are empty, and one case has no tumour; the image and its voxels."""
    image = server.post("/activelearning/random", json={"client_id": "anna"}).json()["id"]
    file = folder / "image.nii.gz"
    file.write_bytes(server.get("/datastore/image", image=image).content)
    read = read_image(file)
    voxels = np.zeros(read.shape[1:], np.uint8)
    voxels[2:9, 2:9, 3:6] = 1
    if number:
        voxels[9:13, 8:11, 2:5] = 5
    kind = (".nii.gz", ".nrrd", ".seg.nrrd")[number % 3]
    label = write_label(voxels, read, folder / f"label{kind}", {v: n for n, v in NAMES.items()})
    assert server.put_label(image, label, NAMES, minutes=2)["sufficiency"]["doubts"] == []
    return image, voxels


def settled(server: LabelServer) -> dict:
    """The forecast, once it is up to date."""
    said: list[dict] = [{}]

    def same_twice() -> bool:
        said.append(server.get("/sufficiency/").json())
        return said[-1]["status"] not in ("computing", "too_few") and said[-1]["evidence"] == said[-2].get(
            "evidence"
        )

    server.until(same_twice, 120)
    return said[-1]


def test_a_curve_a_comparison_and_a_forecast_outlive_a_lost_cache(tmp_path: Path) -> None:
    with running_orthanc(tmp_path / "orthanc") as orthanc:
        for n in range(CASES + 1):
            kind = ({}, {"modality": "MR", "axes": OBLIQUE}, {"modality": "MR", "multi_frame": True})[n % 3]
            orthanc.send(make_series(patient=f"P{n}", seed=n, **kind))
        with labelling(orthanc.url, tmp_path, **SMALL) as server:
            drawn = dict(draw(server, number, tmp_path) for number in range(CASES))
            assert server.trained("segmentation", steps=2)["status"] == "DONE"
            curve = server.trained("learning_curve", steps=2, compare="red")
            assert curve["status"] == "DONE", curve["details"]
            before = settled(server)
            predicted = server.post(
                "/infer/segmentation", params={"image": next(iter(drawn)), "output": "image"}
            )
            place = next(server.served.app_dir.glob("model/*/ledger.sqlite"))
        with Ledger(place) as ledger:
            assert {run.state for run in ledger.runs()} == {"done"}
            assert {seen.kind for seen in ledger.observations()} >= {"fold", "arm"}
            seen = len(ledger.observations())
        shutil.rmtree(place.parent / "dicom")
        with labelling(orthanc.url, tmp_path, **SMALL) as server:
            assert server.get("/datastore/").json() == {
                "total": CASES + 1, "completed": CASES, "label_tags": {"final": CASES},
            }  # fmt: skip
            for image, voxels in drawn.items():
                (tmp_path / "back.nii.gz").write_bytes(
                    server.get("/datastore/label", label=image, tag="final").content
                )
                assert np.array_equal(read_label(tmp_path / "back.nii.gz")[0].numpy(), voxels)
            after = settled(server)
            for key in ("n_labelled", "n_in_curve", "n_pool", "doubts", "evidence"):
                assert after[key] == before[key], key
            again = server.post("/infer/segmentation", params={"image": next(iter(drawn)), "output": "image"})
            assert again.content == predicted.content
        with Ledger(place) as ledger:
            assert len(ledger.observations()) == seen  # nothing counts as new, and nothing is gone
