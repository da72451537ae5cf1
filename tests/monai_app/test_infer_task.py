"""Predictions: what no model of the task could use is refused from its header."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK
from fastapi import HTTPException

from benchmarks.hostile.files import nrrd_of, packed, volume
from scaling_app.imaging import geometry
from scaling_app.monai_app import infer_task
from scaling_app.trials.image_facts import ImageFacts, Usual

USUAL = Usual(ImageFacts((16, 16, 16), (1.0, 1.0, 1.0), 1), tied=False)


def colour_volume(path) -> None:
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(np.ones((9, 9, 9, 3), np.uint8), isVector=True), str(path)
    )


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        (
            "wide.nii.gz",
            lambda path: path.write_bytes(volume((16, 16, 16), spacing=30.0)),
            "measures 480 x 480 x 480 mm, the others about 16 x 16 x 16",
        ),
        ("far.nii.gz", lambda path: path.write_bytes(volume((16, 16, 16), spacing=1e6)), "voxels are 1e"),
        ("large.nrrd", lambda path: path.write_bytes(
            nrrd_of("encoding: gzip", packed(b"", 400**3, "gzip"), "400 400 400")
        ), "400 x 400 x 400 voxels"),
        ("many.seg.nrrd", lambda path: path.write_bytes(
            nrrd_of("encoding: raw\nkinds: list domain domain domain", bytes(2000 * 8), "2000 2 2 2")
        ), "2000 channels"),
        ("colour.mha", colour_volume, "3 channels"),
    ],
)  # fmt: skip
def test_an_image_unlike_all_others_is_refused_before_it_is_read(name, make, words, tmp_path, monkeypatch):
    make(tmp_path / name)

    def read(path: object) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr(geometry, "read_image", read)
    monkeypatch.setattr(infer_task, "usual_image", lambda ledger: USUAL)
    conf = SimpleNamespace(dimension=3)
    studies = SimpleNamespace(structures=dict, conf=conf, ledger=None, published=lambda: SimpleNamespace())
    with pytest.raises(HTTPException, match=words) as refused:
        infer_task.Segmentation(studies)({"image": str(tmp_path / name)})
    assert refused.value.status_code == 422 and str(tmp_path) not in refused.value.detail
