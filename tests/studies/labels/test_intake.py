"""Labels that come and go: through the viewer, through the folder, and through other people's tools."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from scaling_app.imaging.geometry import read_label, write_label
from scaling_app.imaging.untrusted import ImageError
from scaling_app.ledger import Observation, Run, utc_now
from scaling_app.studies.labels.checks import LabelError
from scaling_app.studies.studies import file_hash


def test_labels_put_into_the_folder_are_found_once(desk_of):
    desk = desk_of(3)
    desk.drop_into_folder("synthetic_001")
    assert desk.intake.take_stock() and not desk.intake.take_stock()
    (case,) = desk.studies.ledger.cases()
    assert (case.image_id, case.blind, case.assisted, case.doubts) == ("synthetic_001", False, False, ())
    assert desk.studies.structures() == {"structure_1": 1, "structure_2": 2}


def test_a_name_that_comes_later_replaces_the_placeholder(desk_of):
    desk = desk_of(3)
    desk.drop_into_folder("synthetic_001")
    desk.intake.take_stock()
    desk.submit("synthetic_002")
    assert desk.studies.structures() == {"organ": 1, "nodule": 2}


def test_a_label_changed_in_the_folder_is_another_label(desk_of, tmp_path):
    desk = desk_of(2)
    path = desk.drop_into_folder("synthetic_001")
    desk.intake.take_stock()
    before = desk.studies.ledger.case("synthetic_001").label_hash
    changed = np.asarray(read_label(path)[0]).copy()
    changed[changed == 2] = 1
    write_label(changed, read_label(path), path)
    os.utime(path, (time.time() + 2, time.time() + 2))
    desk.intake.take_stock()
    assert desk.studies.ledger.case("synthetic_001").label_hash != before


def test_a_label_that_goes_leaves_the_ledger(desk_of):
    desk = desk_of(2)
    path = desk.drop_into_folder("synthetic_001")
    desk.intake.take_stock()
    path.unlink()
    desk.studies.datastore.refresh()
    assert desk.intake.take_stock()
    assert desk.studies.ledger.cases() == []


def test_studies_that_are_not_there_for_a_while_cost_no_label(desk_of, tmp_path):
    desk = desk_of(2)
    desk.submit("synthetic_000", client_id="ann")
    before, store = desk.studies.ledger.cases(), desk.studies.datastore
    (tmp_path / "studies").rename(tmp_path / "away")
    (tmp_path / "studies" / "labels").mkdir(parents=True)
    store.refresh()
    assert store.list_images() == []
    assert not desk.intake.take_stock() and desk.studies.ledger.cases() == before
    shutil.rmtree(tmp_path / "studies")
    (tmp_path / "away").rename(tmp_path / "studies")
    store.refresh()
    desk.intake.take_stock()
    assert desk.studies.ledger.cases() == before


def test_a_label_that_comes_back_is_what_it_was(desk_of):
    desk = desk_of(2)
    desk.submit("synthetic_001", client_id="ann")
    before, ledger = desk.studies.ledger.case("synthetic_001"), desk.studies.ledger
    ledger.note_exposure("synthetic_001", "ann", utc_now())  # looked at once the label was there
    stored = desk.studies.stored_label("synthetic_001")
    kept = stored.read_bytes()
    stored.unlink()
    desk.studies.datastore.refresh()
    assert desk.intake.take_stock() and ledger.case("synthetic_001") is None
    stored.write_bytes(kept)
    desk.studies.datastore.refresh()
    assert desk.intake.take_stock()
    after = ledger.case("synthetic_001")
    assert (after.assisted, after.annotator, after.saved_at) == (False, "ann", before.saved_at)


def test_an_unreadable_file_in_the_folder_is_flagged_not_fatal(desk_of, tmp_path):
    desk = desk_of(2)
    content = gzip.decompress(desk.labels["synthetic_001"].read_bytes())
    broken = tmp_path / "synthetic_001.nii.gz"
    broken.write_bytes(gzip.compress(content)[:100])
    desk.drop_into_folder("synthetic_001", broken)
    desk.intake.take_stock()
    (doubt,) = desk.studies.ledger.case("synthetic_001").doubts
    assert doubt.kind == "unreadable"


def test_what_the_viewer_sent_is_kept_when_the_folder_is_looked_through(desk_of):
    desk = desk_of(2)
    desk.submit("synthetic_001", client_id="ann", minutes=4)
    before = desk.studies.ledger.case("synthetic_001")
    assert not desk.intake.take_stock()
    assert desk.studies.ledger.case("synthetic_001") == before
    assert (before.annotator, before.minutes) == ("ann", 4.0)


def test_exposure_to_a_prediction_makes_a_label_assisted(desk_of):
    desk = desk_of(4)
    ledger = desk.studies.ledger
    ledger.assign_blind("synthetic_000", True)
    ledger.assign_blind("synthetic_001", True)
    ledger.note_exposure("synthetic_000", "ann", utc_now())
    ledger.note_exposure("synthetic_002", "bob", utc_now())
    desk.submit("synthetic_000", "synthetic_001", "synthetic_002", client_id="ann")
    desk.studies.datastore.save_label("synthetic_003", str(desk.labels["synthetic_003"]), "original", {})
    desk.submit("synthetic_003", client_id="ann")
    facts = {case.image_id[-1]: (case.blind, case.assisted) for case in ledger.cases()}
    assert facts == {"0": (False, True), "1": (True, False), "2": (False, False), "3": (False, True)}


def test_names_in_the_file_itself_are_taken(desk_of, tmp_path):
    import nrrd

    desk = desk_of(1)
    array, header = nrrd.read(str(desk.labels["synthetic_000"]))
    for k, name in enumerate(("organ", "nodule")):
        header |= {f"Segment{k}_Name": name, f"Segment{k}_ID": f"s{k}", f"Segment{k}_LabelValue": str(k + 1)}
    path = tmp_path / "synthetic_000.seg.nrrd"
    nrrd.write(str(path), array, header)
    desk.intake.store("synthetic_000", path, {}, None)
    assert desk.studies.structures() == {"organ": 1, "nodule": 2}


def test_with_labels_given_an_unknown_structure_is_refused(desk_of):
    desk = desk_of(1, labels="organ,nodule")
    info = [{"name": "organ", "idx": 1}, {"name": "tumour", "idx": 2}]
    with pytest.raises(LabelError, match="tumour"):
        desk.intake.store("synthetic_000", desk.labels["synthetic_000"], {"label_info": info}, None)
    assert not desk.studies.has_label("synthetic_000") and desk.studies.ledger.cases() == []


def test_a_volume_far_outside_the_others_is_flagged(desk_of, tmp_path):
    desk = desk_of(8)
    desk.submit(*list(desk.labels)[:7])
    label = read_label(desk.labels["synthetic_007"])
    tiny = np.zeros_like(np.asarray(label[0]))
    tiny[tuple(np.argwhere(np.asarray(label[0]) == 1)[0])] = 1
    path = write_label(tiny, label, tmp_path / "synthetic_007.nii.gz")
    _, doubts = desk.intake.store("synthetic_007", path, {}, None)
    assert [doubt.kind for doubt in doubts] == ["volume"] and "organ" in doubts[0].sentence


def test_every_studies_source_keeps_its_own_history(desk_of):
    desk = desk_of(1)
    desk.submit(*desk.labels)
    assert Path(desk.studies.conf.ledger).is_file()
    assert desk_of(1).studies.ledger.cases() == desk.studies.ledger.cases()


NAMES = [{"name": "organ", "idx": 1}, {"name": "nodule", "idx": 2}]


def with_stray(desk, image: str, folder: Path, value: int = 3) -> Path:
    """The image's true label with one voxel of another value."""
    label = read_label(desk.labels[image])
    array = np.asarray(label[0]).copy()
    array[0, 0, 0] = value
    return write_label(array, label, folder / desk.labels[image].name)


def test_a_scan_submitted_as_its_own_label_leaves_the_structures_alone(desk_of, tmp_path):
    desk = desk_of(3)
    desk.submit("synthetic_000")
    label = read_label(desk.labels["synthetic_001"])
    scan = np.arange(label[0].numel(), dtype=np.int16).reshape(label[0].shape) % 900
    nib.save(nib.Nifti1Image(scan, np.asarray(label.affine)), tmp_path / "scan.nii.gz")
    _, (doubt,) = desk.intake.store("synthetic_001", tmp_path / "scan.nii.gz", {}, None)
    assert doubt.kind == "not_a_label_map" and "--conf labels" in doubt.sentence
    desk.studies.ledger.confirm_label("synthetic_001")
    desk.intake.take_stock()
    assert desk.studies.structures() == {"organ": 1, "nodule": 2}
    assert [case.image_id for case in desk.studies.ledger.usable_cases()] == ["synthetic_000"]


def test_many_structures_are_usable_once_conf_names_them(desk_of, tmp_path):
    desk = desk_of(2)
    label = read_label(desk.labels["synthetic_001"])
    many = np.arange(label[0].numel(), dtype=np.uint8).reshape(label[0].shape) % 70
    path = write_label(many, label, tmp_path / "synthetic_001.nii.gz")
    _, (doubt,) = desk.intake.store("synthetic_001", path, {}, None)
    assert doubt.kind == "not_a_label_map" and desk.studies.structures() == {}
    named = desk_of(2, labels=",".join(f"s{value}={value}" for value in range(1, 70)))
    assert named.intake.take_stock() and not named.intake.take_stock()
    assert [case.image_id for case in named.studies.ledger.usable_cases()] == ["synthetic_001"]


def test_a_structure_that_appears_late_is_taken_up_when_somebody_confirms_it(desk_of, tmp_path):
    desk = desk_of(6)
    images = sorted(desk.labels)
    desk.submit(*images[:3])
    doubts = [
        desk.intake.store(
            i, with_stray(desk, i, tmp_path), {"label_info": [*NAMES, {"name": "tail", "idx": 3}]}, None
        )[1]
        for i in images[3:5]
    ]
    assert [[doubt.kind for doubt in one] for one in doubts] == [["new_structure"], ["new_structure"]]
    assert "3 ('tail')" in doubts[0][0].sentence and desk.studies.structures() == {"organ": 1, "nodule": 2}
    desk.studies.ledger.confirm_label(images[3])
    desk.intake.take_stock()
    assert desk.studies.structures() == {"organ": 1, "nodule": 2, "tail": 3}
    desk.intake.take_stock()  # the other one's doubt is settled with it
    assert len(desk.studies.ledger.usable_cases()) == 5


def test_a_structure_goes_with_the_last_label_that_holds_it(desk_of, tmp_path):
    desk = desk_of(3)
    desk.submit("synthetic_000")
    stray = with_stray(desk, "synthetic_001", tmp_path)
    desk.intake.store("synthetic_001", stray, {}, None)
    assert set(desk.studies.structures().values()) == {1, 2, 3}
    desk.submit("synthetic_001")
    assert desk.studies.structures() == {"organ": 1, "nodule": 2}
    assert desk_of(3, labels="organ,nodule").studies.structures() == {"organ": 1, "nodule": 2}


def test_a_structure_stays_while_a_label_names_it_or_no_label_is_there(desk_of, tmp_path):
    desk = desk_of(2)
    desk.submit("synthetic_000", "synthetic_001")
    path = desk.studies.label_paths()["synthetic_001"]
    label = read_label(path)
    only_organ = write_label(np.asarray(label[0] == 1), label, tmp_path / path.name)
    desk.studies.datastore.remove_label("synthetic_000", "final")
    desk.intake.store("synthetic_001", only_organ, {"label_info": NAMES}, None)
    desk.intake.take_stock()
    assert desk.studies.structures() == {"organ": 1, "nodule": 2}
    desk.studies.datastore.remove_label("synthetic_001", "final")
    desk.intake.take_stock()
    assert desk.studies.ledger.cases() == [] and desk.studies.structures() == {"organ": 1, "nodule": 2}


def test_a_label_replaced_by_an_older_file_is_noticed(desk_of, tmp_path):
    desk = desk_of(2)
    desk.submit("synthetic_001")
    stored = desk.studies.label_paths()["synthetic_001"]
    other = with_stray(desk, "synthetic_001", tmp_path)
    yesterday = time.time() - 86400
    os.utime(other, (yesterday, yesterday))
    shutil.copy2(other, stored)
    assert desk.intake.take_stock() and not desk.intake.take_stock()
    assert desk.studies.ledger.case("synthetic_001").label_hash == file_hash(other)


def test_a_label_that_was_only_touched_keeps_what_is_known_of_it(desk_of):
    desk = desk_of(2)
    desk.submit("synthetic_001", client_id="ann")
    before = desk.studies.ledger.case("synthetic_001")
    os.utime(desk.studies.label_paths()["synthetic_001"], (time.time() + 9, time.time() + 9))
    assert not desk.intake.take_stock() and desk.studies.ledger.case("synthetic_001") == before


def test_labels_of_a_ledger_without_notes_are_read_again_and_keep_their_annotator(desk_of):
    desk = desk_of(3)
    desk.submit("synthetic_000", "synthetic_001", client_id="ann")
    before = desk.studies.ledger.cases()
    desk.studies.ledger.forget_label_notes(["synthetic_000", "synthetic_001"])
    assert not desk.intake.take_stock()
    assert desk.studies.ledger.cases() == before and set(desk.studies.ledger.label_notes()) == {
        c.image_id for c in before
    }


@pytest.mark.parametrize("tag", ["final", "original"])
def test_a_label_saved_as_another_kind_of_file_replaces_the_old_one(desk_of, tmp_path, tag):
    desk = desk_of(2)
    label = read_label(desk.labels["synthetic_001"])
    for kind in (".nii.gz", ".nrrd"):
        path = write_label(label, label, tmp_path / f"again{kind}")
        desk.studies.save_label("synthetic_001", path, tag, {})
    desk.studies.save_label("synthetic_000", desk.labels["synthetic_000"], tag, {})
    folder = tmp_path / "studies" / "labels" / tag
    assert sorted(file.name for file in folder.iterdir()) == ["synthetic_000.nrrd", "synthetic_001.nrrd"]
    desk.studies.datastore.remove_label("synthetic_001", tag)
    assert not desk.studies.has_label("synthetic_001", tag)


def test_the_labels_of_an_image_with_a_longer_name_stay(desk_of, tmp_path):
    desk = desk_of(2)
    image = desk.studies.image_path("synthetic_001")
    for name in ("a", "a.seg", "a.b"):
        desk.studies.datastore.add_image(name, str(image), {})
        desk.studies.save_label(name, desk.labels["synthetic_000"], "final", {})
    desk.studies.save_label("a", desk.labels["synthetic_000"], "final", {})
    names = sorted(file.name for file in (tmp_path / "studies" / "labels" / "final").iterdir())
    assert names == ["a.b.nrrd", "a.nrrd", "a.seg.nrrd"]


def test_a_label_saved_while_the_folder_is_looked_through_stays(desk_of, monkeypatch):
    desk = desk_of(2)
    desk.submit("synthetic_000")
    look = desk.studies.label_paths

    def look_then_save():
        labels = look()
        desk.submit("synthetic_001", client_id="ann")
        return labels

    monkeypatch.setattr(desk.studies, "label_paths", look_then_save)
    desk.intake.take_stock()
    monkeypatch.undo()
    desk.intake.take_stock()
    assert desk.studies.ledger.case("synthetic_001").annotator == "ann"


def test_a_process_with_an_older_index_removes_no_label_that_another_one_saved(desk_of):
    server, trainer = desk_of(2), desk_of(2)
    server.submit("synthetic_001")
    assert not trainer.studies.has_label("synthetic_001")
    trainer.intake.take_stock()
    assert trainer.studies.ledger.case("synthetic_001") is not None


def test_a_doubt_about_a_label_that_cannot_be_used_goes_with_a_better_file(desk_of, tmp_path):
    desk = desk_of(2)
    label = read_label(desk.labels["synthetic_001"])
    cut = label[:, :-1]
    path = desk.drop_into_folder("synthetic_001", write_label(cut, cut, tmp_path / "synthetic_001.nii.gz"))
    desk.intake.take_stock()
    desk.studies.ledger.confirm_label("synthetic_001")
    (doubt,) = desk.studies.ledger.case("synthetic_001").doubts
    assert doubt.kind == "geometry" and "save it again" in doubt.sentence
    shutil.copy(desk.labels["synthetic_001"], path)
    desk.intake.take_stock()
    assert desk.studies.ledger.case("synthetic_001").doubts == ()


@pytest.mark.parametrize(
    "damaged",
    [
        b"NRRD0004\ntype: float\ndimension: 3\n\n",
        b"NRRD0004\ntype: float\ndimension: 3\nsizes: 4 4 4\nspace directions: x\n\n",
    ],
)
def test_an_image_with_a_damaged_header_keeps_no_other_label_out(desk_of, damaged):
    desk = desk_of(3)
    desk.studies.image_path("synthetic_000").write_bytes(damaged)
    for image in desk.labels:
        desk.drop_into_folder(image)
    desk.intake.take_stock()
    doubts = {case.image_id: [doubt.kind for doubt in case.doubts] for case in desk.studies.ledger.cases()}
    assert doubts == {"synthetic_000": ["unreadable_image"], "synthetic_001": [], "synthetic_002": []}
    with pytest.raises(ValueError, match=r"synthetic_000\.nrrd cannot be read"):
        desk.submit("synthetic_000")


def test_what_is_said_of_a_damaged_image_tells_nothing_of_the_server_s_folders(desk_of, tmp_path):
    desk = desk_of(2)
    desk.studies.image_path("synthetic_001").write_bytes(b"no image at all")
    with pytest.raises(ValueError, match=r"synthetic_001\.nii\.gz cannot be read") as refused:
        desk.submit("synthetic_001")
    assert str(tmp_path) not in str(refused.value)


def test_a_second_look_at_an_image_leaves_a_label_saved_meanwhile_alone(desk_of, tmp_path, monkeypatch):
    desk = desk_of(1)
    desk.submit("synthetic_000")
    label = read_label(desk.labels["synthetic_000"])
    label[0, 0, 0, 0] = 1
    corrected = write_label(label, label, tmp_path / "synthetic_000.nrrd")

    def save_while_reading(path):
        desk.intake.store("synthetic_000", corrected, {"minutes": 4}, "ann")
        raise ImageError("damaged")

    monkeypatch.setattr("scaling_app.imaging.geometry.read_image", save_while_reading)
    desk.intake.verify_images()
    case = desk.studies.ledger.case("synthetic_000")
    stored = desk.studies.stored_label("synthetic_000")
    assert (case.label_hash, case.annotator, case.minutes) == (file_hash(stored), "ann", 4)


def test_a_note_that_another_process_put_back_costs_no_structure(desk_of, tmp_path):
    desk = desk_of(2)
    desk.submit("synthetic_000", "synthetic_001")
    notes = desk.studies.ledger.label_notes()
    label = read_label(desk.labels["synthetic_000"])
    label[0, :4, :4, :4] = 9
    larger = write_label(label, label, tmp_path / "synthetic_000.nrrd")
    desk.intake.store("synthetic_000", larger, {}, None)
    assert 9 in desk.studies.structures().values()
    desk.studies.ledger.keep_label_notes(notes)
    for _ in range(2):
        desk.intake.take_stock()
    assert 9 in desk.studies.structures().values()


@pytest.mark.parametrize("dies_in", ["set_setting", "rename_structure"])
def test_a_structure_and_its_scores_have_one_name_also_after_a_kill(desk_of, monkeypatch, dies_in):
    desk = desk_of(1)
    ledger = desk.studies.ledger
    ledger.start_run(Run("r", "fold", "baseline", "resunet", ["b"], 1, 0, None, "s", utc_now()))
    ledger.finish_run("r", [Observation("r", "a", "structure_1", "fold", dice=0.5)])
    desk.studies.keep_structures({"structure_1": 1})
    with monkeypatch.context() as killed:
        killed.setattr(ledger, dies_in, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            desk.studies.keep_structures({"liver": 1})
    desk.studies.keep_structures({"liver": 1})
    assert [seen.structure for seen in ledger.observations(current=False)] == ["liver"]


def test_a_label_is_held_against_its_image_once_that_can_be_read(desk_of, tmp_path):
    desk = desk_of(2)
    image = desk.studies.image_path("synthetic_001")
    whole = image.read_bytes()
    image.write_bytes(b"no image at all")
    label = read_label(desk.labels["synthetic_001"])[:, :-1]
    desk.drop_into_folder("synthetic_001", write_label(label, label, tmp_path / "synthetic_001.nii.gz"))
    desk.intake.take_stock()
    image.write_bytes(whole)
    desk.intake.verify_images()
    assert [doubt.kind for doubt in desk.studies.ledger.case("synthetic_001").doubts] == ["geometry"]


def test_a_damaged_label_is_not_blamed_on_its_image(desk_of):
    desk = desk_of(1)
    image = desk.studies.image_path("synthetic_000")
    whole = image.read_bytes()
    desk.drop_into_folder("synthetic_000")
    image.write_bytes(b"no image at all")
    desk.intake.take_stock()
    image.write_bytes(whole)
    desk.studies.stored_label("synthetic_000").write_bytes(b"no label at all")
    desk.intake.verify_images()
    assert desk.studies.ledger.case("synthetic_000").doubts == ()
    desk.intake.take_stock()
    assert [doubt.kind for doubt in desk.studies.ledger.case("synthetic_000").doubts] == ["unreadable"]


def test_a_label_of_another_kind_is_the_only_one_also_when_a_kill_came_before_the_old_one_was_removed(
    desk_of, monkeypatch
):
    desk = desk_of(1)
    desk.submit("synthetic_000")
    old = desk.studies.stored_label("synthetic_000")
    new = write_label(
        read_label(old), read_label(old), desk.labels["synthetic_000"].with_name("synthetic_000.nii.gz")
    )
    with monkeypatch.context() as killed:
        killed.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(OSError("killed before this")))
        desk.intake.store("synthetic_000", new, {}, None)
    assert old.exists() and desk.studies.stored_label("synthetic_000").read_bytes() == new.read_bytes()
    again = desk_of(1).studies
    assert not old.exists() and again.datastore.problems == ()
    assert again.stored_label("synthetic_000").read_bytes() == new.read_bytes()


def test_a_name_without_end_is_refused_and_nothing_stored(desk_of, tmp_path) -> None:
    desk = desk_of(1)
    image, label = "synthetic_000", desk.labels["synthetic_000"]
    long = "N" * 201
    with pytest.raises(ValueError, match="a name of 201 characters"):
        desk.intake.store(image, label, {"label_info": [{"name": long, "idx": 1}]}, None)
    array = read_label(label)
    named = write_label(array, array, tmp_path / "a.seg.nrrd", {1: long, 2: "b"})
    with pytest.raises(ValueError, match="a name of 201 characters"):
        desk.intake.store(image, named, {}, None)
    assert not desk.studies.has_label(image) and desk.studies.structures() == {}
