"""The demonstration keeps the patients of its truth out of its session."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scaling_app.commands.demo_data import prepare_cases
from scaling_app.imaging.image_files import stem_of
from scaling_app.imaging.synthetic import make_case, write_case


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twenty images of ten patients, two each."""
    folder = tmp_path / "data"
    for patient in range(10):
        for visit in (1, 2):
            case = make_case(2 * patient + visit, size=10)
            path = write_case(case, folder / "images", folder / "labels")
            for kind in ("images", "labels"):
                (folder / kind / path.name).rename(folder / kind / f"p{patient}_v{visit}.nii.gz")
    return folder


def test_no_patient_is_both_labelled_and_tested_on(data: Path, tmp_path: Path) -> None:
    cases = prepare_cases(data, tmp_path / "work", n_cases=8, n_pool=2, n_truth=4, patient=r"^(p\d+)_")
    in_session = {name.split("_")[0] for name in cases.labels}
    tested = {stem_of(image).split("_")[0] for image, _ in cases.truth}
    assert len(cases.labels) == 10
    assert len(cases.truth) == 4
    assert not in_session & tested


def test_the_same_image_under_two_names_is_not_both_labelled_and_tested_on(
    data: Path, tmp_path: Path
) -> None:
    for kind in ("images", "labels"):
        for patient in range(0, 10, 2):
            shutil.copy(data / kind / f"p{patient}_v1.nii.gz", data / kind / f"p{patient + 1}_v2.nii.gz")
    cases = prepare_cases(data, tmp_path / "work", n_cases=5, n_pool=2, n_truth=5, patient=r"^(p\d+)_")
    in_session = {int(name[1]) // 2 for name in cases.labels}
    assert not in_session & {int(image.name[1]) // 2 for image, _ in cases.truth}


def test_the_studies_hold_images_and_no_labels(data: Path, tmp_path: Path) -> None:
    cases = prepare_cases(data, tmp_path / "work", n_cases=5, n_pool=1, n_truth=2)
    assert sorted(stem_of(p) for p in cases.studies.iterdir()) == sorted(cases.labels)


def test_too_few_cases_are_refused_with_their_number(data: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"20 labelled images.*16 are left.*session of 19.*or say --cases 16$"
    ):
        prepare_cases(data, tmp_path / "work", n_cases=19, n_pool=0, n_truth=4)


def test_fewer_cases_than_any_session_has_are_no_matter_of_an_option(data: Path, tmp_path: Path) -> None:
    for file in [*data.rglob("p*.nii.gz")]:
        if not file.name.startswith("p0_v1"):
            file.unlink()
    with pytest.raises(ValueError, match=r"1 labelled image,.*1 is left.*add cases of other patients$"):
        prepare_cases(data, tmp_path / "work", n_cases=5, n_pool=0, n_truth=4)


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(FileNotFoundError, match="images/ and labels/"):
        prepare_cases(tmp_path, tmp_path / "work", n_cases=5, n_pool=0, n_truth=2)
