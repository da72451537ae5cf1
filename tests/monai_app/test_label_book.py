"""Labels that come and go: through the viewer, through the folder, and through other people's tools."""

from __future__ import annotations

import gzip
import os
import time
from pathlib import Path

import numpy as np
import pytest

from scaling_app.imaging.geometry import read_label, write_label
from scaling_app.ledger import utc_now
from scaling_app.monai_app.label_checks import LabelError


def test_labels_put_into_the_folder_are_found_once(desk_of):
    desk = desk_of(3)
    desk.drop_into_folder("synthetic_001")
    assert desk.book.take_stock() and not desk.book.take_stock()
    (case,) = desk.session.ledger.cases()
    assert (case.image_id, case.blind, case.assisted, case.flags) == ("synthetic_001", False, False, ())
    assert desk.session.structures() == {"structure_1": 1, "structure_2": 2}


def test_a_name_that_comes_later_replaces_the_placeholder(desk_of):
    desk = desk_of(3)
    desk.drop_into_folder("synthetic_001")
    desk.book.take_stock()
    desk.submit("synthetic_002")
    assert desk.session.structures() == {"organ": 1, "nodule": 2}


def test_a_label_changed_in_the_folder_is_another_label(desk_of, tmp_path):
    desk = desk_of(2)
    path = desk.drop_into_folder("synthetic_001")
    desk.book.take_stock()
    before = desk.session.ledger.case("synthetic_001").label_hash
    changed = np.asarray(read_label(path)[0]).copy()
    changed[changed == 2] = 1
    write_label(changed, read_label(path), path)
    os.utime(path, (time.time() + 2, time.time() + 2))
    desk.book.take_stock()
    assert desk.session.ledger.case("synthetic_001").label_hash != before


def test_a_label_that_goes_leaves_the_ledger(desk_of):
    desk = desk_of(2)
    path = desk.drop_into_folder("synthetic_001")
    desk.book.take_stock()
    path.unlink()
    desk.session.datastore.refresh()
    assert desk.book.take_stock()
    assert desk.session.ledger.cases() == []


def test_an_unreadable_file_in_the_folder_is_flagged_not_fatal(desk_of, tmp_path):
    desk = desk_of(2)
    content = gzip.decompress(desk.labels["synthetic_001"].read_bytes())
    broken = tmp_path / "synthetic_001.nii.gz"
    broken.write_bytes(gzip.compress(content)[:100])
    desk.drop_into_folder("synthetic_001", broken)
    desk.book.take_stock()
    (flag,) = desk.session.ledger.case("synthetic_001").flags
    assert flag.kind == "unreadable"


def test_what_the_viewer_sent_is_kept_when_the_folder_is_looked_through(desk_of):
    desk = desk_of(2)
    desk.submit("synthetic_001", client_id="ann", minutes=4)
    before = desk.session.ledger.case("synthetic_001")
    assert not desk.book.take_stock()
    assert desk.session.ledger.case("synthetic_001") == before
    assert (before.annotator, before.minutes) == ("ann", 4.0)


def test_exposure_to_a_prediction_makes_a_label_assisted(desk_of):
    desk = desk_of(4)
    ledger = desk.session.ledger
    ledger.assign_blind("synthetic_000", True)
    ledger.assign_blind("synthetic_001", True)
    ledger.note_exposure("synthetic_000", "ann", utc_now())
    ledger.note_exposure("synthetic_002", "bob", utc_now())
    desk.submit("synthetic_000", "synthetic_001", "synthetic_002", client_id="ann")
    desk.session.datastore.save_label("synthetic_003", str(desk.labels["synthetic_003"]), "original", {})
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
    desk.book.store("synthetic_000", path, {}, None)
    assert desk.session.structures() == {"organ": 1, "nodule": 2}


def test_with_labels_given_an_unknown_structure_is_refused(desk_of):
    desk = desk_of(1, labels="organ,nodule")
    info = [{"name": "organ", "idx": 1}, {"name": "tumour", "idx": 2}]
    with pytest.raises(LabelError, match="tumour"):
        desk.book.store("synthetic_000", desk.labels["synthetic_000"], {"label_info": info}, None)
    assert not desk.session.has_label("synthetic_000") and desk.session.ledger.cases() == []


def test_a_volume_far_outside_the_others_is_flagged(desk_of, tmp_path):
    desk = desk_of(8)
    desk.submit(*list(desk.labels)[:7])
    label = read_label(desk.labels["synthetic_007"])
    tiny = np.zeros_like(np.asarray(label[0]))
    tiny[tuple(np.argwhere(np.asarray(label[0]) == 1)[0])] = 1
    path = write_label(tiny, label, tmp_path / "synthetic_007.nii.gz")
    _, flags = desk.book.store("synthetic_007", path, {}, None)
    assert [flag.kind for flag in flags] == ["volume"] and "organ" in flags[0].sentence


def test_every_studies_source_keeps_its_own_history(desk_of):
    desk = desk_of(1)
    desk.submit(*desk.labels)
    assert Path(desk.session.conf.ledger).is_file()
    assert desk_of(1).session.ledger.cases() == desk.session.ledger.cases()
