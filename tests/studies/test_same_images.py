"""One image under two names never stands on two sides of a split, and is named."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from scaling_app.imaging.geometry import read_image, read_label
from scaling_app.studies import same_images, splits
from scaling_app.studies.studies import Published
from scaling_app.studies.train_runs import gather

NAME, TWIN = "synthetic_000", "synthetic_003"


@pytest.fixture
def desk(desk_of, tmp_path):
    """Six images, of which the fourth is the first again: another kind of file, its voxels packed otherwise."""
    desk = desk_of(6)
    for folder, read in (("studies", read_image), ("truth", read_label)):
        first, twin = (next((tmp_path / folder).glob(f"{name}.*")) for name in (NAME, TWIN))
        assert first.suffix != twin.suffix
        nib.save(nib.Nifti1Image(np.asarray(read(first)[0]), nib.load(twin).affine), twin)
    return desk


def twins_in(patients):
    return patients[NAME] == patients[TWIN]


def test_the_patients_of_one_image_become_one_and_its_second_label_is_doubted(desk) -> None:
    desk.submit(*sorted(desk.labels)[:5])
    material = gather(desk.studies)
    assert TWIN not in material.cases and NAME in material.cases
    (doubt,) = desk.studies.ledger.case(TWIN).doubts
    assert (doubt.kind, doubt.sentence.count(NAME), doubt.sentence.count(TWIN)) == ("same_image", 1, 1)
    desk.studies.ledger.confirm_label(TWIN)
    material = gather(desk.studies)
    assert twins_in({i: case.patient for i, case in material.cases.items()})
    assert twins_in({i: files.patient for i, files in material.files.items()})
    assert len({case.patient for case in material.cases.values()}) == 4


def test_an_unlabelled_twin_of_a_test_case_is_kept_from_its_training(desk) -> None:
    desk.submit(NAME, "synthetic_001")
    material = gather(desk.studies)
    assert TWIN in [files.case_id for files in material.pool]
    assert TWIN not in [files.case_id for files in material.pool_beside([NAME])]
    desk.submit(TWIN)
    assert twins_in({case.image_id: case.patient for case in desk.studies.ledger.cases()})


def test_a_model_that_has_seen_one_twin_is_not_tested_on_the_other(desk, tmp_path) -> None:
    (tmp_path / "app").mkdir(exist_ok=True)
    model = desk.studies.new_model_file("m")
    model.touch()
    held = Published("m", model, "none", "resunet", {"synthetic_001": "synthetic_001"}, (), "t", {TWIN: TWIN})
    desk.studies.publish(held)
    desk.submit(NAME, "synthetic_001", "synthetic_002")
    cases = gather(desk.studies).cases
    published = desk.studies.published()
    patients = {**published.seen, **{i: case.patient for i, case in cases.items()}}
    assert splits.unseen(cases, patients, published.seen) == ["synthetic_002"]


def test_the_doubt_goes_with_the_twin(desk, tmp_path) -> None:
    desk.submit(NAME, TWIN)
    gather(desk.studies)
    twin = next((tmp_path / "studies").glob(f"{TWIN}.*"))
    image = nib.load(twin)
    nib.save(nib.Nifti1Image(image.get_fdata() + np.arange(8), image.affine), twin)
    assert set(gather(desk.studies).cases) == {NAME, TWIN}


def test_images_that_differ_change_nothing(desk_of) -> None:
    desk = desk_of(4)
    desk.submit(*desk.labels)
    before = desk.studies.ledger.cases()
    revision = desk.studies.ledger.revision()
    same_images.keep_together(desk.studies)
    assert desk.studies.ledger.cases() == before and desk.studies.ledger.revision() == revision
