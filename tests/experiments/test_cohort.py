"""Test and training patients are disjoint, and training sets nested, whatever the folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_app.experiments.cohort import CohortError, find_cases, make_cohort, patient_of
from scaling_app.imaging.geometry import write_label
from scaling_app.imaging.grids import Grid
from scaling_app.trials.case_files import CaseFiles


def some_cases(per_patient: list[int]) -> list[CaseFiles]:
    return [
        CaseFiles(f"p{p:02d}_{i}", f"p{p:02d}", Path("i"), Path("l"))
        for p, count in enumerate(per_patient)
        for i in range(count)
    ]


@given(
    per_patient=st.lists(st.integers(1, 4), min_size=8, max_size=20),
    n_test=st.integers(1, 6),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    order=st.randoms(use_true_random=False),
)
def test_patients_are_on_one_side_and_training_sets_grow(
    per_patient: list[int], n_test: int, sizes: list[int], order
) -> None:
    cases = some_cases(per_patient)
    try:
        cohort = make_cohort(cases, n_test, sizes, draws=3)
    except CohortError:
        assert sum(per_patient) < n_test + 3 + max(sizes) + 4
        return
    shuffled = list(cases)
    order.shuffle(shuffled)
    assert make_cohort(shuffled, n_test, sizes, draws=3) == cohort
    assert len(cohort.test) == n_test
    tested = {case.patient for case in cohort.test}
    for draw in range(3):
        smaller: set[str] = set()
        for n in sorted(sizes):
            chosen = {case.case_id for case in cohort.training(n, draw)}
            assert len(chosen) == n
            assert smaller <= chosen
            assert not tested & {case.patient for case in cohort.training(n, draw)}
            smaller = chosen


def test_a_draw_takes_every_patient_before_any_comes_twice() -> None:
    cohort = make_cohort(some_cases([2] * 10), 4, [8], draws=2)
    assert len({case.patient for case in cohort.training(8, 0)}) == 8
    assert cohort.training(8, 0) != cohort.training(8, 1)


@pytest.mark.parametrize(
    ("name", "pattern", "patient"),
    [
        ("patient012_frame01", r"(patient\d+)", "patient012"),
        ("12_HC", r"^\d+", "12"),
        ("unnamed", r"(patient\d+)", "unnamed"),
        ("case", None, "case"),
    ],
)
def test_the_pattern_finds_the_patient(name: str, pattern: str | None, patient: str) -> None:
    assert patient_of(name, pattern) == patient


def test_images_and_labels_are_matched_by_name_over_kinds(tmp_path: Path) -> None:
    for folder, names in (
        ("images", ("a.nii.gz", "b.png", "c.nrrd")),
        ("labels", ("a.seg.nrrd", "b.png", "d.png")),
    ):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch()
    cases = find_cases(tmp_path / "images", tmp_path / "labels")
    assert [(case.case_id, case.label.name) for case in cases] == [("a", "a.seg.nrrd"), ("b", "b.png")]


def test_folders_that_make_no_cohort_are_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(CohortError, match="not a folder"):
        find_cases(tmp_path / "images", tmp_path / "nowhere")
    with pytest.raises(CohortError, match="0 images"):
        find_cases(tmp_path / "images", tmp_path / "images")
    for name in ("a.png", "a.nrrd"):
        (tmp_path / "images" / name).touch()
    with pytest.raises(CohortError, match="same name"):
        find_cases(tmp_path / "images", tmp_path / "images")
    with pytest.raises(CohortError, match="at least 1"):
        make_cohort(some_cases([1] * 5), 3, [0], 1)
    with pytest.raises(CohortError, match="regular expression"):
        patient_of("a", "(")


@pytest.mark.parametrize(
    ("per_patient", "n_test", "largest", "told"),
    [
        (
            [1],
            1,
            1,
            "1 case of 1 patient is too few for 1 test case and 1 training case of other patients (left: 0); "
            "add labelled cases of another patient",
        ),
        (
            [5],
            2,
            4,
            "5 cases of 1 patient are too few for 2 test cases and 4 training cases of other patients (left: 0); "
            "add labelled cases of another patient, or take a patient pattern that tells patients apart",
        ),
        (
            [1] * 5,
            3,
            4,
            "5 cases of 5 patients are too few for 3 test cases and 4 training cases of other patients "
            "(left: 2); ask for fewer test cases or smaller sizes, or add cases of other patients",
        ),
        ([1] * 5, 1, 5, "(left: 4); ask for smaller sizes, or add cases of other patients"),
        ([1] * 5, 5, 1, "(left: 0); ask for fewer test cases, or add cases of other patients"),
    ],
)
def test_too_few_cases_are_told_with_what_would_do(
    per_patient: list[int], n_test: int, largest: int, told: str
) -> None:
    with pytest.raises(CohortError) as refused:
        make_cohort(some_cases(per_patient), n_test, [largest], 1)
    assert str(refused.value).endswith(told)


def touched(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return folder


def test_a_single_channel_named_as_for_nnunet_is_the_image_of_its_case(tmp_path: Path) -> None:
    images = touched(
        tmp_path / "imagesTr", "a_0000.nii.gz", "b_0000.nii.gz", "c_0000.nii.gz", "._a_0000.nii.gz"
    )
    labels = touched(tmp_path / "labelsTr", "a.nii.gz", "b.nii.gz", "c_0000.nii.gz")
    found = find_cases(images, labels)
    assert [(case.case_id, case.image.name) for case in found] == [
        (name.partition(".")[0], image)
        for name, image in (("a", "a_0000.nii.gz"), ("b", "b_0000.nii.gz"), ("c_0000", "c_0000.nii.gz"))
    ]


def test_channels_in_files_of_their_own_are_refused_with_what_to_do(tmp_path: Path) -> None:
    images = touched(tmp_path / "images", "a_0000.nii.gz", "a_0001.nii.gz")
    labels = touched(tmp_path / "labels", "a.nii.gz")
    with pytest.raises(CohortError, match="a_0000 and a_0001 of a; join them into one file"):
        find_cases(images, labels)


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (
            ["case1.png", "case10.png"],
            ["case1_mask.png", "case10_mask.png"],
            r"2 labels named \*_mask",
        ),
        (["a.png"], ["mask_a.png"], r"named mask_\* where the image is \*, as mask_a and a"),
        (
            ["p1_image.png"],
            ["p1_label.png"],
            "have the same name, and here they are called as p1_image and p1_label",
        ),
        (["a_t1.nii.gz"], ["a.nii.gz"], r"1 image named \*_t1 where the label is \*"),
    ],
)
def test_labels_named_otherwise_get_a_hint(
    tmp_path: Path, images: list[str], labels: list[str], says: str
) -> None:
    with pytest.raises(CohortError, match=says):
        find_cases(touched(tmp_path / "images", *images), touched(tmp_path / "labels", *labels))


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["p1/a.nii.gz", "p2/b.nii.gz"], r"images holds 2 in sub-folders \(p1 and p2\), which are not read"),
        (["1.dcm", "scan/IM0001"], "images holds 2 DICOM files, which are not read"),
    ],
)
def test_images_that_lie_elsewhere_or_are_dicom_are_said(tmp_path: Path, names: list[str], says: str) -> None:
    for name in names:
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(CohortError, match=says):
        find_cases(tmp_path / "images", touched(tmp_path / "labels", "a.nii.gz"))


@pytest.mark.parametrize("unnamed", ["Segment_1", "segment 2"])
def test_a_segment_that_nobody_named_is_no_structure_beside_named_ones(tmp_path: Path, unnamed: str) -> None:
    images = touched(tmp_path / "images", "a.nrrd", "b.nrrd")
    grid = Grid((4, 4, 4), np.eye(4))
    for name, first in (("a", "organ"), ("b", unnamed)):
        write_label(np.eye(4)[None].repeat(4, 0), grid, tmp_path / "labels" / f"{name}.seg.nrrd", {1: first})
    with pytest.raises(CohortError, match=rf"b: '{unnamed}' is what a segment is called that nobody named"):
        find_cases(images, tmp_path / "labels")


def test_labels_named_otherwise_get_a_hint_where_others_fit(tmp_path: Path, caplog) -> None:
    images = touched(tmp_path / "images", "a.png", "b.png")
    find_cases(images, touched(tmp_path / "labels", "a.png", "b_mask.png"))
    assert "2 files have no counterpart" in caplog.text and "named *_mask" in caplog.text


def test_images_and_labels_in_one_folder_are_refused(tmp_path: Path) -> None:
    folder = touched(tmp_path / "both", "case.png", "case_mask.png")
    with pytest.raises(CohortError, match="put the labels into a folder of their own"):
        find_cases(folder, folder)


def test_a_pool_takes_every_patient_before_any_comes_twice_and_is_the_same_for_all_sizes() -> None:
    cohort = make_cohort(some_cases([2, 9] * 8), 4, [2, 6], draws=2)
    for draw in range(2):
        pool = cohort.pool(2, draw, 8)
        assert len({case.patient for case in pool}) == 8
        assert cohort.pool(6, draw, 8) == pool and cohort.pool(6, draw, 3) == pool[:3]
        assert all(case.label is None for case in pool)
        for n in (2, 6):
            every = cohort.pool(n, draw, 1000)
            trained = {case.patient for case in cohort.training(n, draw)}
            left = {case.case_id for case in cohort.draws[draw] if case.patient not in trained}
            assert {case.case_id for case in every} == left and len(every) == len(left)
