"""One image that is not like the others is named and left out; it never ends what the others are used for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from fastapi import HTTPException

from scaling_app.imaging.geometry import grid_of, read_image, write_label
from scaling_app.imaging.grids import Grid
from scaling_app.monai_app.infer_task import Segmentation
from scaling_app.studies.curve_job import run_curve_job
from scaling_app.studies.next_case import FirstCase
from scaling_app.studies.train_options import parse_options
from scaling_app.studies.train_runs import gather, train_and_publish

ODD = "odd"
CHANNELS, FLAT, HOLED, EMPTY = "channels", "dimensions", "one value is NaN", "every value is NaN"
CONSTANT, ZERO, DAMAGED = "constant", "all zero", "unreadable"

DOUBTS = {
    CHANNELS: ("odd_image", "3D with 3 channels, the others are 3D with 1 channel"),
    FLAT: ("odd_image", "2D with 1 channel, the others are 3D with 1 channel"),
    HOLED: ("not_finite", "1 values that are no numbers"),
    EMPTY: ("unreadable_image", "no voxel with a finite value"),
    CONSTANT: ("odd_image", "Every voxel of the image is 7"),
    ZERO: ("odd_image", "Every voxel of the image is 0"),
    DAMAGED: ("unreadable_image", "truncated"),
}


def odd_voxels(voxels: np.ndarray, kind: str) -> np.ndarray:
    """An ordinary image, with one property of its own."""
    voxels = voxels.astype(np.float32)
    if kind == CHANNELS:
        return np.stack([voxels] * 3, axis=-1)
    if kind == FLAT:
        return voxels[..., 4]
    if kind in (CONSTANT, ZERO):
        return np.full_like(voxels, 7 if kind == CONSTANT else 0)
    if kind == HOLED:
        voxels[0, 0, 0] = np.nan
    elif kind == EMPTY:
        voxels[:] = np.nan
    return voxels


@pytest.fixture
def with_odd(desk_of, tmp_path) -> Callable[..., object]:
    """A desk of ordinary cases, and an odd image of each kind asked for, with a label unless told."""

    def make(n: int, *kinds: str, labelled: bool = True):
        desk = desk_of(n)
        plain = read_image(desk.studies.image_path("synthetic_000"))
        folder = desk.studies.image_path("synthetic_000").parent
        for index, kind in enumerate(kinds):
            name = f"{ODD}_{index}"
            voxels = odd_voxels(plain[0].numpy(), kind)
            nib.save(nib.Nifti1Image(voxels, grid_of(plain).affine), folder / f"{name}.nii.gz")
            shape = plain.shape[1:3] if kind == FLAT else tuple(plain.shape[1:])
            drawn = np.zeros(shape, np.uint8)
            drawn[2:6, 2:6] = 1
            label = write_label(drawn, Grid(shape, grid_of(plain).affine), tmp_path / f"{name}.nii.gz")
            if labelled:
                desk.drop_into_folder(name, label)
        desk.studies.datastore.refresh()
        desk.submit(*desk.labels)
        desk.intake.take_stock()
        for index, kind in enumerate(kinds):
            if kind == DAMAGED:
                path = folder / f"{ODD}_{index}.nii.gz"
                path.write_bytes(path.read_bytes()[:600])
        return desk

    return make


@pytest.mark.parametrize("kind", DOUBTS)
def test_a_labelled_image_with_a_property_of_its_own_is_named_and_left_out(with_odd, kind) -> None:
    desk = with_odd(3, kind)
    material = gather(desk.studies)
    assert set(material.cases) == set(desk.labels)
    (doubt,) = desk.studies.ledger.case(f"{ODD}_0").doubts
    found, words = DOUBTS[kind]
    assert doubt.kind == found and words in doubt.sentence
    assert all(not case.doubts for case in desk.studies.ledger.cases() if case.image_id != f"{ODD}_0")
    json.dumps(doubt.sentence, allow_nan=False)


@pytest.mark.parametrize("kind", [CHANNELS, FLAT, DAMAGED])
def test_an_unlabelled_image_that_no_model_could_use_is_passed_over_and_named(with_odd, kind) -> None:
    desk = with_odd(3, kind, labelled=False)
    desk.intake.verify_images()
    later = desk.studies.image_path("synthetic_000").parent
    (later / "z_plain.nii.gz").write_bytes(desk.studies.image_path("synthetic_001").read_bytes())
    if kind == DAMAGED:  # so that its header cannot be read
        (later / f"{ODD}_0.nii.gz").write_bytes(b"no image at all")
    desk.studies.datastore.refresh()
    served = FirstCase(desk.studies)({})
    assert served["id"] == "z_plain" and f"{ODD}_0" in served["message"]
    (later / "z_plain.nii.gz").unlink()
    desk.studies.datastore.refresh()
    alone = FirstCase(desk.studies)({})
    assert alone["id"] == f"{ODD}_0" and "No model of this task can learn from this image" in alone["message"]


@pytest.mark.slow_training
def test_trainings_and_the_curve_go_on_without_the_odd_ones_which_get_no_prediction(with_odd) -> None:
    desk = with_odd(5, *DOUBTS)
    options = parse_options({"steps": 2}, desk.studies.conf)
    train_and_publish(desk.studies, options)
    done = run_curve_job(desk.studies, options, 10)
    ledger = desk.studies.ledger
    assert done["done"] == done["total"] > 0
    assert {run.state for run in ledger.runs()} == {"done"}
    used = {image for run in ledger.runs() for image in run.train_ids}
    tested = {seen.image_id for seen in ledger.observations(current=False)}
    assert used | tested == set(desk.labels)
    infer = Segmentation(desk.studies)
    for index, kind in enumerate(DOUBTS):
        path = desk.studies.image_path(f"{ODD}_{index}")
        if kind == HOLED:
            Path(infer({"image": str(path)})[0]).unlink()
        else:
            with pytest.raises(HTTPException) as refused:
                infer({"image": str(path)})
            assert refused.value.status_code == 422 and path.name in refused.value.detail
    Path(infer({"image": str(desk.studies.image_path("synthetic_000"))})[0]).unlink()
