"""Studies on a real DICOM server: no label is lost or moved, and what others do there is seen at the next look."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from orthanc import running_orthanc
from other_program import by_dcmqi
from pydicom.dataset import Dataset

from benchmarks.common.made_series import OBLIQUE, as_bytes, make_series, voxels_of
from scaling_app.backups.making import back_up
from scaling_app.backups.restoring import restore
from scaling_app.imaging.geometry import read_image, read_label, write_label
from scaling_app.monai_app.dicom import pacs
from scaling_app.monai_app.dicom.connection import PacsError
from scaling_app.studies.labels.readers import TAG, reader_with

pytest.importorskip("highdicom", reason="highdicom is not installed: pip install '.[dicom]'")

pytestmark = pytest.mark.slow_processes


def test_labels_survive_the_server_and_a_lost_cache(orthanc, ward_of) -> None:
    sent = {
        orthanc.send(series): series
        for series in (
            make_series(patient="A"),
            make_series(patient="A", modality="MR", axes=OBLIQUE, seed=1),
            make_series(patient="B", spacing=(0.4, 1.7, 6.0), seed=2),
            make_series(patient="C", modality="MR", multi_frame=True, seed=3),
        )
    }
    ward = ward_of()
    assert set(ward.store.list_images()) == set(sent) and ward.store.problems == ()
    drawn = {}
    for number, (image, series) in enumerate(sent.items()):
        if len(series) > 1:
            assert np.array_equal(read_image(ward.store.get_image_uri(image))[0].numpy(), voxels_of(series))
        file = ward.draw(image, kind=(".nii.gz", ".nrrd", ".seg.nrrd")[number % 3])
        ward.submit(image, file, minutes=4, blind=number == 0)
        drawn[image] = read_label(file)[0].numpy()
    assert ward.store.get_unlabeled_images() == [] and ward.store.status()["completed"] == 4
    cases = {case.image_id: case for case in ward.studies.ledger.cases()}
    assert [cases[image].patient for image in sent] == ["A", "A", "B", "C"]
    assert not any(case.doubts for case in cases.values())
    ward.look()

    shutil.rmtree(ward.folder / "cache")
    again = ward_of()
    again.look()
    assert cases == {c.image_id: c for c in again.studies.ledger.cases()}
    for image, voxels in drawn.items():
        assert np.array_equal(again.label(image), voxels)

    second = ward_of("two")
    second.look()
    assert second.studies.structures() == {"liver": 1, "tumour": 5}
    for case in second.studies.ledger.cases():
        assert (case.annotator, case.minutes, case.doubts) == ("anna", 4, ())
        assert np.array_equal(second.label(case.image_id), drawn[case.image_id])
    held = orthanc.segmentations()
    assert {str(one.ContentCreatorName) for one in held} == {"anna^"}
    assert {str(s.SegmentLabel) for s in held[0].SegmentSequence} == {"liver", "tumour"}


def test_the_newest_label_counts_and_what_is_deleted_there_is_gone_here(orthanc, ward_of) -> None:
    image, other = orthanc.send(make_series(patient="A")), orthanc.send(make_series(patient="B"))
    one, two = ward_of("one"), ward_of("two")
    one.submit(image, one.draw(image))
    one.submit(other, one.draw(other))
    two.look()
    assert set(two.studies.label_paths()) == {image, other}
    two.submit(image, two.draw(image, value=2), client_id="berta", label_info=[{"name": "liver", "idx": 2}])
    one.look()
    (case,) = [case for case in one.studies.ledger.cases() if case.image_id == image]
    assert case.annotator == "berta" and set(np.unique(one.label(image))) == {0, 2, 5}
    assert len(one.studies.ledger.cases()) == 2  # a second label of a case is no second case
    assert len(orthanc.segmentations()) == 3  # the older stays on the server
    assert len(list((one.folder / "cache").glob("labels/.history/final/*/*"))) == 1  # and its copy here

    newest = max(orthanc.segmentations(), key=lambda seg: seg.ContentDate + seg.ContentTime)
    orthanc.delete(str(newest.SeriesInstanceUID))
    one.look()
    assert set(np.unique(one.label(image))) == {0, 1, 5}

    orthanc.delete(other)
    for seg in orthanc.segmentations():
        if seg.ReferencedSeriesSequence[0].SeriesInstanceUID == other:
            orthanc.delete(str(seg.SeriesInstanceUID))
    one.look()
    assert one.store.list_images() == [image]
    assert [case.image_id for case in one.studies.ledger.cases()] == [image]
    assert not list((one.folder / "cache").glob(f"{other}*"))


@pytest.mark.parametrize("restarted", [False, True])
def test_a_correction_that_takes_the_place_of_a_label_in_its_series_is_seen(
    orthanc, ward_of, monkeypatch, tmp_path: Path, restarted: bool
) -> None:
    """The series had as many instances as before, so nobody looked into it again."""
    monkeypatch.setattr(pacs, "LISTED_SECONDS", 0.0)
    monkeypatch.setattr(pacs, "LISTED_TIMES", 0.0)
    image = orthanc.send(make_series())
    ward, elsewhere = ward_of(), ward_of("elsewhere")
    ward.submit(image, ward.draw(image))
    ward.look()
    (first,) = orthanc.segmentations()
    elsewhere.submit(image, elsewhere.draw(image, value=2), label_info=[{"name": "liver", "idx": 2}])
    (other,) = [seg for seg in orthanc.segmentations() if seg.SOPInstanceUID != first.SOPInstanceUID]
    for series in (first.SeriesInstanceUID, other.SeriesInstanceUID):
        orthanc.delete(str(series))
    other.SeriesInstanceUID, other.ContentCreatorName = first.SeriesInstanceUID, "Another"
    orthanc.send([other])
    if restarted:
        ward = ward_of()
    ward.look()
    assert set(np.unique(ward.label(image))) == {0, 2, 5}


def test_a_label_of_a_series_that_grows_stays_where_it_was_drawn(orthanc, ward_of, monkeypatch) -> None:
    monkeypatch.setattr(pacs, "LISTED_SECONDS", 0.0)
    monkeypatch.setattr(pacs, "LISTED_TIMES", 0.0)
    instances = sorted(make_series(), key=lambda one: int(one.InstanceNumber))
    image = orthanc.send(instances[1:8])
    ward = ward_of()
    ward.submit(image, ward.draw(image))
    before = ward.label(image)
    orthanc.send([instances[0], instances[8]])
    ward.look()
    assert np.array_equal(read_image(ward.store.get_image_uri(image))[0].numpy(), voxels_of(instances))
    assert np.array_equal(ward.label(image), np.pad(before, ((0, 0), (0, 0), (1, 1))))
    (case,) = ward.studies.ledger.cases()
    assert case.annotator == "anna" and not case.doubts


@pytest.mark.skipif(shutil.which("itkimage2segimage") is None, reason="dcmqi is not installed")
def test_a_correction_by_another_program_is_taken_up_by_its_names(orthanc, ward_of, tmp_path: Path) -> None:
    instances = make_series(axes=OBLIQUE)
    image, source = orthanc.send(instances), tmp_path / "source"
    ward = ward_of()
    ward.submit(image, ward.draw(image))
    source.mkdir()
    for number, instance in enumerate(instances):
        (source / f"{number}.dcm").write_bytes(as_bytes(instance))
    correction = read_label(ward.draw(image))
    correction[0, 6, 8, 6] = 1
    file = write_label(correction * 2, correction, tmp_path / "label.nii.gz")
    orthanc.send([by_dcmqi(file, source, {2: "liver", 10: "tumour"})])
    ward.look()
    (case,) = ward.studies.ledger.cases()
    assert case.annotator == "Another" and case.doubts == ()
    assert np.array_equal(ward.label(image), correction[0].numpy())


def test_what_is_no_volume_or_no_label_of_its_series_is_named_and_left_out(orthanc, ward_of, caplog) -> None:
    good = orthanc.send(make_series(patient="DOE^JANE"))
    gap = orthanc.send(make_series(change=lambda one: one.pop(2)))
    turned = orthanc.send(
        make_series(change=lambda one: setattr(one[0], "ImageOrientationPatient", list(OBLIQUE)))
    )
    ward = ward_of()
    assert ward.store.list_images() == [good]
    said = {problem.image: problem.sentence for problem in ward.store.problems}
    assert "a slice is missing" in said[gap] and "more than one orientation" in said[turned]

    ward.submit(good, ward.draw(good))
    strange = orthanc.segmentations()[0]
    for frame in strange.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence[0].ImagePositionPatient[2] += 1
    strange.SOPInstanceUID = strange.file_meta.MediaStorageSOPInstanceUID = f"{strange.SOPInstanceUID[:-2]}1"
    strange.SeriesInstanceUID, strange.ContentDate = f"{strange.SeriesInstanceUID[:-2]}1", "20990101"
    orthanc.send([strange])
    before = ward.label(good)
    ward.look()
    (said,) = [problem.sentence for problem in ward.store.problems if problem.image == good]
    assert "lies at no slice" in said and "DOE^JANE" in said
    assert "lies at no slice" in caplog.text and "DOE" not in caplog.text
    assert np.array_equal(ward.label(good), before)


def test_a_segmentation_of_which_nobody_can_tell_whose_it_is_is_named_and_left_out(orthanc, ward_of) -> None:
    study = make_series()[0].StudyInstanceUID
    image, other = (orthanc.send(make_series(study=study, seed=seed)) for seed in (0, 1))
    ward = ward_of()
    ward.submit(image, ward.draw(image))
    before = ward.label(image)
    for number, references in enumerate((None, [image, other]), start=1):
        strange = orthanc.segmentations()[0]
        strange.pop("ReferencedSeriesSequence", None)
        if references:
            strange.ReferencedSeriesSequence = [Dataset() for _ in references]
            for item, uid in zip(strange.ReferencedSeriesSequence, references, strict=True):
                item.SeriesInstanceUID = uid
        strange.SOPInstanceUID = strange.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.{number}"
        strange.SeriesInstanceUID, strange.ContentDate = f"1.2.826.0.2.{number}", "20990101"
        orthanc.send([strange])
    ward.look()
    said = " ".join(problem.sentence for problem in ward.store.problems)
    assert "does not say which series it was drawn on" in said and "names several series" in said
    assert list(ward.studies.label_paths()) == [image] and np.array_equal(ward.label(image), before)
    again = ward_of()  # what is known of the server is kept
    again.look()
    assert len(again.store.problems) == 2


def test_a_backup_brings_back_what_no_dicom_server_holds(orthanc, ward_of, tmp_path: Path) -> None:
    image = orthanc.send(make_series())
    ward = ward_of()
    ward.submit(image, ward.draw(image))
    ward.submit(image, ward.draw(image, value=2), client_id="berta", label_info=[{"name": "liver", "idx": 2}])
    (tag,) = [tag for tag in ward.store.get_labels_by_image_id(image) if tag.startswith(TAG)]
    assert reader_with(ward.studies, image, tag) == "anna"
    held = ward.store.get_label_uri(image, tag)
    file, ledger = tmp_path / "backup.tar", ward.studies.conf.ledger
    back_up(file, ledger=ledger, studies=ward.folder / "cache", remote=True)

    home = tmp_path / "elsewhere"
    restore(file, ledger=home / ledger.relative_to(ward.folder), studies=home / "cache", remote=True)
    again = ward_of("elsewhere")
    again.look()
    assert again.studies.ledger.cases() == ward.studies.ledger.cases()
    assert again.studies.ledger.readings() == ward.studies.ledger.readings()
    assert np.array_equal(again.label(image), ward.label(image))
    assert Path(again.store.get_label_uri(image, tag)).read_bytes() == Path(held).read_bytes()
    assert reader_with(again.studies, image, tag) == "anna" and again.store.problems == ()


def test_a_silent_server_changes_nothing_and_a_label_can_be_sent_again(
    orthanc, ward_of, tmp_path: Path
) -> None:
    image = orthanc.send(make_series())
    ward = ward_of()
    file = ward.draw(image)
    orthanc.process.terminate()
    orthanc.process.wait(timeout=20)
    with pytest.raises(PacsError, match="cannot be reached"):
        ward.submit(image, file)
    ward.look()
    assert ward.store.list_images() == [image] and not ward.studies.label_paths()
    assert "cannot be reached" in ward.store.problems[0].sentence
    with running_orthanc(tmp_path / "orthanc", int(orthanc.base.rsplit(":", 1)[1])):
        ward.submit(image, file)
        ward.look()
    assert list(ward.studies.label_paths()) == [image] and not ward.store.problems
