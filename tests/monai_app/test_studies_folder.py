"""What lies in a studies folder is served, or named; no label is lost, whatever it is called and whoever replaces it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import nrrd
import numpy as np
import pytest

from scaling_app.imaging.geometry import read_label, write_label
from scaling_app.imaging.image_files import label_names
from scaling_app.monai_app import studies_index
from scaling_app.monai_app.index_and_files import counted
from scaling_app.monai_app.studies_folder import StudiesFolder

NAME = "synthetic_000"


def place(desk) -> Path:
    return Path(desk.studies.datastore._datastore_path)


def labels(desk) -> Path:
    folder = place(desk) / "labels" / "final"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def listed(folder: Path) -> tuple[list[str], str]:
    """The images of a studies folder, and all that it says of other files."""
    store = StudiesFolder(folder)
    return sorted(store.list_images()), " ".join(problem.sentence for problem in store.problems)


def contents(folder: Path) -> set[bytes]:
    """What the files there hold, hidden ones among them."""
    return {file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def with_names(path: Path, source: Path, names: dict[int, str]) -> Path:
    """The label as a `.seg.nrrd` that calls its values so."""
    label = read_label(source)
    return write_label(label, label, path, names)


# labels that must not be lost


@pytest.mark.parametrize("other", [f"{NAME}.nii", f"{NAME}.seg", f"{NAME}.v2"])
def test_the_label_of_an_image_whose_name_begins_alike_is_left_alone(desk_of, other) -> None:
    desk = desk_of(2)
    desk.submit(NAME)
    first = desk.studies.label_paths()[NAME].read_bytes()
    desk.studies.datastore.add_image(other, str(desk.studies.image_path("synthetic_001")), {})
    desk.intake.store(other, desk.labels[NAME], {}, None)
    desk.studies.datastore.refresh()
    assert desk.studies.label_paths().keys() == {NAME, other}
    desk.studies.datastore.remove_label(other, "final")
    desk.studies.datastore.refresh()
    assert desk.studies.label_paths()[NAME].read_bytes() == first
    desk.intake.store(other, desk.labels[NAME], {}, None)
    desk.studies.datastore.remove_label(NAME, "final")
    desk.studies.datastore.refresh()
    assert desk.studies.label_paths().keys() == {other}


@pytest.mark.parametrize("kind", [".seg.nrrd", ".nrrd", ".mha", ".nii", ".nii.gz"])
def test_a_label_of_any_kind_that_is_read_is_taken_up_and_stays_recoverable(desk_of, kind) -> None:
    desk = desk_of(1)
    label = read_label(desk.labels[NAME])
    drawn = write_label(label, label, labels(desk) / f"{NAME}{kind}").read_bytes()
    desk.studies.datastore.refresh()
    assert desk.studies.label_paths()[NAME].name == f"{NAME}{kind}"
    assert desk.studies.datastore.problems == ()
    better = np.asarray(label[0]).copy()
    better[0, 0, 0] = 1
    desk.intake.store(NAME, write_label(better, label, place(desk).parent / "better.nii.gz"), {}, None)
    assert np.array_equal(read_label(desk.studies.label_paths()[NAME])[0], better)
    assert drawn in contents(labels(desk).parent / ".history" / "final" / NAME)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (f"{NAME}.nhdr", "keeps its voxels in a file of their own"),
        (f"{NAME}.mhd", "keeps its voxels in a file of their own"),
        (f"{NAME}.vtk", "of a kind that is not read as a label"),
        ("nobody.nii.gz", "is the label of no image"),
    ],
)
def test_a_file_that_is_not_taken_up_as_a_label_is_named_and_outlives_every_save(
    desk_of, name, words
) -> None:
    desk = desk_of(1)
    (labels(desk) / name).write_bytes(b"somebody's work")
    desk.studies.datastore.refresh()
    said = " ".join(problem.sentence for problem in desk.studies.datastore.problems)
    assert name in said and words in said
    for _ in range(2):
        desk.submit(NAME)
        desk.studies.datastore.refresh()
    desk.studies.datastore.remove_label(NAME, "final")
    assert (labels(desk) / name).read_bytes() == b"somebody's work"


def test_of_two_labels_of_one_image_the_newest_counts_and_the_other_is_named_and_kept(desk_of) -> None:
    desk = desk_of(1)
    label = read_label(desk.labels[NAME])
    first = write_label(label, label, labels(desk) / f"{NAME}.nrrd")
    desk.studies.datastore.refresh()
    second = write_label(label, label, labels(desk) / f"{NAME}.mha")
    desk.studies.datastore.refresh()
    (problem,) = desk.studies.datastore.problems
    assert f"{NAME}.nrrd is the label in use" in problem.sentence and f"{NAME}.mha" in problem.sentence
    desk.submit(NAME)
    assert first.exists() and second.exists()


def test_the_newest_replaced_labels_are_kept_up_to_the_bound(desk_of, tmp_path) -> None:
    desk = desk_of(1)
    store = StudiesFolder(place(desk), kept_labels=3)
    label = read_label(desk.labels[NAME])
    made = []
    for value in range(6):
        array = np.asarray(label[0]).copy()
        array[0, 0, 0] = value
        made.append(write_label(array, label, tmp_path / f"{value}.nrrd").read_bytes())
        store.save_label(NAME, str(tmp_path / f"{value}.nrrd"), "final", {})
    assert (labels(desk) / f"{NAME}.nrrd").read_bytes() == made[5]
    assert contents(labels(desk).parent / ".history" / "final" / NAME) == set(made[2:5])
    store.remove_label(NAME, "final")
    assert contents(labels(desk).parent / ".history" / "final" / NAME) == set(made[3:6])


def test_the_bound_stands_in_the_documents_with_the_place() -> None:
    page = (Path(__file__).parents[2] / "apps" / "scaling_app" / "README.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith("| `label_history`")]
    assert "`10`" in row and "`labels/.history`" in row and "oldest go first" in row


def test_names_in_a_segmentation_decide_and_another_order_is_doubted(desk_of, tmp_path) -> None:
    desk = desk_of(2)
    usual = with_names(tmp_path / "a.seg.nrrd", desk.labels[NAME], {1: "organ", 2: "nodule"})
    desk.intake.store(NAME, usual, {}, None)
    assert desk.studies.structures() == {"organ": 1, "nodule": 2}
    other = with_names(tmp_path / "b.seg.nrrd", desk.labels["synthetic_001"], {1: "nodule", 2: "organ"})
    _, doubts = desk.intake.store("synthetic_001", other, {}, None)
    assert [doubt.kind for doubt in doubts] == ["permuted"] and "organ" in doubts[0].sentence
    assert [case.image_id for case in desk.studies.ledger.usable_cases()] == [NAME]
    assert label_names(desk.studies.label_paths()["synthetic_001"]) == {1: "nodule", 2: "organ"}


# images


@pytest.fixture
def image(desk_of) -> bytes:
    """The bytes of a small NRRD."""
    return desk_of(1).studies.image_path(NAME).read_bytes()


@pytest.fixture
def folder(tmp_path) -> Path:
    """An empty studies folder."""
    made = tmp_path / "others"
    made.mkdir()
    return made


@pytest.mark.parametrize("name", ["._a.nrrd", ".DS_Store", "._.DS_Store", "Thumbs.db", "notes.txt"])
def test_what_no_person_put_there_is_no_case(folder, image, name) -> None:
    (folder / "a.nrrd").write_bytes(image)
    (folder / name).write_bytes(image)
    (folder / "labels" / "final").mkdir(parents=True)
    (folder / "labels" / "final" / name).write_bytes(image)
    assert listed(folder) == (["a"], "")
    assert StudiesFolder(folder).get_labeled_images() == []


@pytest.mark.parametrize("ending", ["_mask.png", "-label.nrrd", "_SEG.nii.gz", " labels.nii.gz"])
def test_an_image_that_is_called_like_the_label_of_another_is_named(folder, image, ending) -> None:
    for case in ("case1", "case2"):
        (folder / f"{case}.png").write_bytes(image)
        (folder / f"{case}{ending}").write_bytes(image)
    (folder / "unmask.png").write_bytes(image)
    store = StudiesFolder(folder)
    assert len(store.list_images()) == 5
    (problem,) = store.problems
    kind = ending[ending.index(".") :]
    assert problem.sentence.startswith(
        f"case1{ending}, as 1 more do, looks by its name like the label of case1.png"
    )
    assert f"move it there as case1{kind}" in problem.sentence


@pytest.mark.parametrize("name", ["UPPER.NII.GZ", "a.mha", "A.NRRD", "Scan.Png", "b.TIFF", "c.JPEG"])
def test_every_kind_that_is_read_is_listed_however_it_is_spelled(folder, image, name) -> None:
    (folder / name).write_bytes(image)
    found, said = listed(folder)
    assert found == [name.split(".")[0]] and said == ""
    assert Path(StudiesFolder(folder).get_image_uri(found[0])).name == name


def test_of_two_files_of_one_name_none_is_served_and_both_are_named_and_kept(folder, image) -> None:
    names = ["a.nii.gz", "a.nrrd", "b.nrrd"]
    (folder / "labels" / "final").mkdir(parents=True)
    for name in (*names, "labels/final/a.nii.gz"):
        (folder / name).write_bytes(image)
    found, said = listed(folder)
    assert found == ["b"] and "a.nii.gz and a.nrrd have the same name" in said
    assert "a.nii.gz in the folder of labels stays there until its image a is served" in said
    assert all((folder / name).exists() for name in (*names, "labels/final/a.nii.gz"))
    (folder / "a.nrrd").rename(folder / "c.nrrd")
    assert listed(folder) == (["a", "b", "c"], "")
    assert StudiesFolder(folder).get_labeled_images() == ["a"]


def test_an_image_that_is_served_stays_so_when_another_file_takes_its_name(folder, image) -> None:
    (folder / "a.nrrd").write_bytes(image)
    assert listed(folder) == (["a"], "")
    (folder / "a.mha").write_bytes(image)
    found, said = listed(folder)
    assert found == ["a"] and "a.nrrd is served" in said and "a.mha" in said
    assert Path(StudiesFolder(folder).get_image_uri("a")).name == "a.nrrd"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["p1/ct.nii.gz", "p2/ct.nii.gz"], "2 in sub-folders (p1 and p2)"),
        (["p1/deep/er/ct.nrrd"], "1 in sub-folders (p1)"),
        (["1.dcm", "2.DCM", "3.IMA"], "3 DICOM files"),
        (["scan/IM0001", "scan/IM0002"], "2 DICOM files"),
        (["a.nhdr"], "a.nhdr keeps its voxels in a file of their own"),
        (["a.seg.nrrd"], "a.seg.nrrd is a segmentation and no image"),
        ([], "None was found below it either"),
    ],
)
def test_a_folder_without_an_image_says_what_it_holds_and_what_is_read(folder, names, words) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\0" * 128 + b"DICM")
    (folder / "labels" / "final").mkdir(parents=True)
    (folder / "labels" / "final" / "x.nii.gz").write_bytes(b"no image of anybody")
    store = StudiesFolder(folder)
    sentence = store.nothing_to_serve()
    assert sentence.startswith("There is no image") and words in sentence
    assert store.problems[0].sentence == sentence


def test_the_sentence_goes_as_soon_as_there_is_an_image(folder, image) -> None:
    store = StudiesFolder(folder)
    assert store.nothing_to_serve() is not None
    (folder / "a.nrrd").write_bytes(image)
    store.refresh()
    assert store.nothing_to_serve() is None and store.problems == ()


def test_pairs_of_files_that_a_server_would_tear_apart_are_no_cases(folder, image) -> None:
    nrrd.write(str(folder / "a.nhdr"), np.zeros((3, 3, 3), np.int16), detached_header=True)
    shutil.copy(folder / "a.nhdr", folder / "b.nhdr")
    (folder / "c.nrrd").write_bytes(image)
    found, said = listed(folder)
    assert found == ["c"] and "a.nhdr" in said and "b.nhdr" in said


# names and links that are no images


def test_a_name_that_is_no_text_is_said_and_stops_nothing(desk_of) -> None:
    desk = desk_of(2)
    desk.submit(NAME, minutes=7)
    image, label = desk.studies.image_path(NAME), desk.studies.stored_label(NAME)
    strange = [os.fsencode(f.parent) + b"/l\xff\xfe.nrrd" for f in (image, label)]
    for source, goal in zip((image, label), strange, strict=True):
        shutil.copy(source, goal)
    (place(desk) / "labels" / os.fsdecode(b"\xff")).mkdir()
    for _ in range(2):
        again = desk_of(2).studies.datastore
        assert not again.was_rebuilt and again.list_images() == ["synthetic_000", "synthetic_001"]
        assert again.get_label_info(NAME, "final")["minutes"] == 7
    said = [problem.sentence for problem in again.problems]
    assert len(said) == 2 and all("l\ufffd\ufffd.nrrd has a name that is no text" in words for words in said)
    assert again.json() and json.dumps(said, ensure_ascii=False).encode()


def test_a_folder_whose_name_is_no_text_can_be_told_of(tmp_path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    (folder / "a.nii.gz").touch()
    assert "\ufffd" in (StudiesFolder(tmp_path).nothing_to_serve() or "")


def test_a_link_in_a_circle_stops_nothing(desk_of) -> None:
    desk = desk_of(1)
    desk.submit(NAME)
    for folder in (place(desk), labels(desk)):
        (folder / "circle.nii.gz").symlink_to("circle.nii.gz")
    assert listed(place(desk))[0] == [NAME]


# what grows with the images


def test_what_is_counted_on_from_before_is_what_is_counted_anew(desk_of) -> None:
    desk = desk_of(4)
    store = desk.studies.datastore
    images = list(desk.labels)
    before = counted(store._datastore)

    def agrees() -> bool:
        nonlocal before
        before, anew = counted(store._datastore, before), counted(store._datastore)
        same = {*before.unlabelled} == {*anew.unlabelled} and {*before.labelled} == {*anew.labelled}
        return same and before.tags == anew.tags and store.status()["completed"] == len(anew.labelled)

    for image in (images[1], images[0], images[1]):
        store.save_label(image, str(desk.labels[images[2]]), "final", {})
        assert agrees()
    store.save_label(images[3], str(desk.labels[images[3]]), "original", {})
    assert agrees() and before.tags == {"final": 2, "original": 1}
    store.remove_label(images[3], "original")
    store.remove_label(images[1], "final")
    assert agrees() and before.tags == {"final": 1}
    store.remove_image(images[2])
    assert agrees() and images[2] not in before.unlabelled


def test_the_index_says_the_same_whether_its_lines_are_kept_or_made_anew(desk_of) -> None:
    desk = desk_of(3)
    store, folder = desk.studies.datastore, place(desk)
    desk.submit(*desk.labels)
    store.update_label_info(NAME, "final", {"seen": "yes"})
    store.remove_label("synthetic_001", "final")
    store.remove_image("synthetic_002")
    said = (folder / "datastore_v2.json").read_bytes()
    again = StudiesFolder(folder)
    again.set_description(again.description())  # written by one that has kept no lines
    assert (folder / "datastore_v2.json").read_bytes() == said


def test_a_saved_label_writes_the_line_of_its_own_image_alone(desk_of, monkeypatch) -> None:
    desk, made = desk_of(6), []
    desk.submit(NAME)
    real = studies_index._line
    monkeypatch.setattr(
        studies_index, "_line", lambda image, entry: (made.append(image), real(image, entry))[1]
    )
    desk.submit("synthetic_003")
    assert made == ["synthetic_003"]
