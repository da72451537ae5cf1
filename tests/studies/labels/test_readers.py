"""Two readers of a case: both labels are kept, and how far they agree is known only where each read alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from scaling_app.curve.ledger_curve import readers_in
from scaling_app.imaging.geometry import grid_of, read_label, write_label
from scaling_app.ledger import utc_now
from scaling_app.studies.labels.agreement import AgreementBook
from scaling_app.studies.labels.checks import LabelError
from scaling_app.studies.labels.readers import is_being_read, second_reading_for, tag_of
from scaling_app.studies.next_case import RandomCase
from scaling_app.studies.studies import file_hash

from ...desk import LABEL_INFO

CASE = "synthetic_000"


def redrawn(desk, image: str, folder: Path, *, without: int | None = None, shift: int = 1) -> Path:
    """The label as another person would draw it: a voxel further along the first axis."""
    label = read_label(desk.labels[image])
    voxels = np.roll(label[0].numpy(), shift, axis=0)
    voxels[voxels == without] = 0
    return write_label(voxels, grid_of(label), folder / f"redrawn_{without}_{shift}_{image}.nii.gz")


def send(desk, image: str, file: Path, reader: str, **params: object):
    return desk.intake.store(image, file, {"label_info": LABEL_INFO, "client_id": reader, **params}, None)


def ask(desk, reader: str) -> dict:
    return RandomCase(desk.studies)({"reader": reader, "client_id": reader})


def measured(desk):
    AgreementBook(desk.studies, desk.intake.files).measure()
    return desk.studies.ledger.reading_scores()


@pytest.fixture
def desk(desk_of):
    """Four images, one of them read by anna."""
    made = desk_of(4, second_readers="1")
    made.submit(CASE, client_id="anna")
    return made


def test_another_person_is_handed_the_case_and_its_reader_is_not(desk) -> None:
    assert ask(desk, "anna")["id"] != CASE
    sample = ask(desk, "ben")
    assert sample["id"] == CASE and sample["blind"] is True and "somebody else" in sample["message"]
    assert is_being_read(desk.studies, CASE, "ben")
    assert ask(desk, "carl")["id"] != CASE, "ben reads it now"
    assert ask(desk, "")["id"] != CASE, "nobody knows who that is"


def test_a_second_reading_lies_beside_and_the_first_stays_the_label_that_trains(desk, tmp_path) -> None:
    ask(desk, "ben")
    before = desk.studies.ledger.case(CASE)
    file = redrawn(desk, CASE, tmp_path)
    send(desk, CASE, file, "ben", minutes=3)
    case = desk.studies.ledger.case(CASE)
    assert (case.label_hash, case.annotator, case.minutes) == (before.label_hash, "anna", before.minutes)
    assert file_hash(desk.studies.stored_label(CASE)) == before.label_hash
    assert file_hash(desk.studies.stored_label(CASE, tag_of("ben"))) == file_hash(file)
    assert desk.studies.ledger.reading(CASE, "ben").minutes == 3
    found = measured(desk)
    assert {one.structure for one in found} == {"organ", "nodule"}
    assert all(one.reader == "ben" and one.against_reader == "anna" for one in found)
    assert all(0 < one.dice < 1 and 0 < one.nsd <= 1 and one.nsd_tolerance_mm == 2.0 for one in found)
    assert not is_being_read(desk.studies, CASE, "ben")


def test_a_reader_who_saves_twice_is_one_reader(desk, tmp_path) -> None:
    send(desk, CASE, redrawn(desk, CASE, tmp_path), "Anna ")
    assert len(desk.studies.ledger.readings(CASE)) == 1 and measured(desk) == []
    ask(desk, "ben")
    first = redrawn(desk, CASE, tmp_path, shift=2)
    send(desk, CASE, first, "ben")
    coarse = measured(desk)
    better = redrawn(desk, CASE, tmp_path, shift=0, without=2)
    send(desk, CASE, better, "ben")
    fine = measured(desk)
    assert len(fine) == len(coarse) == 2 and fine != coarse
    assert file_hash(desk.studies.stored_label(CASE, tag_of("ben"))) == file_hash(better)


def test_a_label_without_a_name_counts_as_nobodys_reading(desk, tmp_path) -> None:
    send(desk, CASE, redrawn(desk, CASE, tmp_path), "")
    assert desk.studies.ledger.case(CASE).annotator is None
    assert measured(desk) == []
    assert desk.studies.stored_label(CASE, tag_of("anna")) is not None, "what was replaced is kept"


def test_a_copy_of_the_first_label_is_no_second_reading(desk) -> None:
    ask(desk, "ben")
    send(desk, CASE, desk.labels[CASE], "ben")
    assert (
        measured(desk) == [] and readers_in(desk.studies.ledger, desk.studies.ledger.usable_cases()) is None
    )


def test_a_second_reading_on_another_grid_is_refused_and_changes_nothing(desk, tmp_path) -> None:
    ask(desk, "ben")
    label = read_label(desk.labels[CASE])
    smaller = write_label(label[0].numpy()[:-2], grid_of(label[:, :-2]), tmp_path / "smaller.nii.gz")
    elsewhere = grid_of(label)
    moved = np.array(elsewhere.affine)
    moved[:3, 3] += 40
    away = write_label(label[0].numpy(), type(elsewhere)(elsewhere.shape, moved), tmp_path / "away.nii.gz")
    empty = write_label(np.zeros_like(label[0].numpy()), elsewhere, tmp_path / "empty.nii.gz")
    for file, says in ((smaller, "voxels, its image"), (away, "mm away"), (empty, "empty")):
        with pytest.raises(ValueError, match=says):
            send(desk, CASE, file, "ben")
    assert is_being_read(desk.studies, CASE, "ben") and desk.studies.stored_label(CASE, tag_of("ben")) is None
    with pytest.raises(LabelError, match="has to be compared with the first"):
        send(desk, CASE, empty, "ben")


def test_a_structure_that_only_the_first_drew_scores_zero_and_one_that_only_the_second_drew_none(
    desk, tmp_path
) -> None:
    ask(desk, "ben")
    send(desk, CASE, redrawn(desk, CASE, tmp_path, without=2), "ben")
    found = {one.structure: one for one in measured(desk)}
    assert (found["nodule"].dice, found["nodule"].one_only) == (0.0, True)
    assert found["organ"].dice > 0 and not found["organ"].one_only
    send(desk, "synthetic_001", redrawn(desk, "synthetic_001", tmp_path, without=2), "anna")
    assert ask(desk, "ben")["id"] == "synthetic_001"
    send(desk, "synthetic_001", desk.labels["synthetic_001"], "ben")
    found = {one.structure: one for one in measured(desk) if one.image_id == "synthetic_001"}
    assert (found["nodule"].dice, found["nodule"].one_only) == (None, True)


def test_who_was_shown_the_first_label_corrects_it_and_both_are_kept(desk, tmp_path) -> None:
    ledger = desk.studies.ledger
    first = ledger.case(CASE).label_hash
    ledger.note_exposure(CASE, "ben", utc_now(), label_by="anna")
    send(desk, CASE, redrawn(desk, CASE, tmp_path), "ben")
    assert ledger.case(CASE).annotator == "ben"
    assert file_hash(desk.studies.stored_label(CASE, tag_of("anna"))) == first
    assert measured(desk) == []
    assert [one.independent for one in ledger.readings(CASE)] == [True, False]


def test_a_label_drawn_over_a_prediction_is_no_independent_reading(desk, tmp_path) -> None:
    ask(desk, "ben")
    desk.studies.ledger.note_exposure(CASE, "ben", utc_now())
    send(desk, CASE, redrawn(desk, CASE, tmp_path), "ben")
    assert desk.studies.stored_label(CASE, tag_of("ben")) is not None and measured(desk) == []


def test_an_uninvited_label_by_another_person_trains_and_the_first_is_kept_and_compared(
    desk, tmp_path
) -> None:
    send(desk, CASE, redrawn(desk, CASE, tmp_path), "ben")
    assert desk.studies.ledger.case(CASE).annotator == "ben"
    found = measured(desk)
    assert {(one.reader, one.against_reader) for one in found} == {("anna", "ben")}


def test_who_corrects_after_looking_at_the_other_has_still_read_the_case_alone_before(desk, tmp_path) -> None:
    ledger = desk.studies.ledger
    ask(desk, "ben")
    send(desk, CASE, redrawn(desk, CASE, tmp_path), "ben")
    before = measured(desk)
    ledger.note_exposure(CASE, "anna", utc_now(), label_by="ben")
    for shift in (2, 3):
        send(desk, CASE, redrawn(desk, CASE, tmp_path, shift=shift), "anna")
        assert [(one.dice, one.label_hash, one.against_hash) for one in measured(desk)] == [
            (one.dice, one.label_hash, one.against_hash) for one in before
        ]
    ledger.note_exposure(CASE, "ben", utc_now(), label_by="anna")
    agreed = redrawn(desk, CASE, tmp_path, shift=4)
    send(desk, CASE, agreed, "ben")
    assert file_hash(desk.studies.stored_label(CASE)) == file_hash(agreed), "now it is a correction"
    assert len(measured(desk)) == len(before)


def test_a_reading_whose_label_was_deleted_agrees_with_nobody(desk, tmp_path) -> None:
    ask(desk, "ben")
    send(desk, CASE, redrawn(desk, CASE, tmp_path), "ben")
    assert measured(desk)
    desk.studies.datastore.remove_label(CASE, tag_of("ben"))
    assert measured(desk) == [], "noticed at the next start"


def test_an_image_that_goes_takes_both_labels_along(desk, tmp_path) -> None:
    ask(desk, "ben")
    send(desk, CASE, redrawn(desk, CASE, tmp_path), "ben")
    desk.studies.datastore.remove_image(CASE)
    desk.intake.take_stock()
    assert measured(desk) == []
    assert list((tmp_path / "studies").rglob(f"*{CASE}*")) == []


def test_a_changed_tolerance_is_measured_anew(desk_of, desk, tmp_path) -> None:
    ask(desk, "ben")
    send(desk, CASE, redrawn(desk, CASE, tmp_path), "ben")
    before = measured(desk)
    after = measured(desk_of(4, tolerance_mm="0.1"))
    assert {one.nsd_tolerance_mm for one in after} == {0.1}
    assert [one.dice for one in after] == [one.dice for one in before]
    assert all(fine.nsd < coarse.nsd for fine, coarse in zip(after, before, strict=True))


def test_as_many_are_asked_for_as_the_share_says(desk_of) -> None:
    desk = desk_of(8, second_readers="25%")
    images = list(desk.labels)
    for done, image in enumerate(images, start=1):
        desk.submit(image, client_id="anna")
        asked = second_reading_for(desk.studies, "ben", "ben")
        assert (asked is not None) == (done >= 4), done
    served = [ask(desk, reader).get("id") for reader in ("ben", "carl", "dora")]
    assert served[0] != served[1] and None not in served[:2] and served[2] is None
    again = desk_of(8, second_readers="25%")
    assert second_reading_for(again.studies, "emil", "emil") is None, "leases outlive the server"


def test_only_labels_drawn_alone_by_somebody_known_are_read_twice(desk_of) -> None:
    desk = desk_of(4, second_readers="1")
    desk.studies.ledger.note_exposure("synthetic_000", "anna", utc_now())
    desk.submit("synthetic_000", client_id="anna")
    desk.submit("synthetic_001")
    desk.drop_into_folder("synthetic_002")
    desk.intake.take_stock()
    assert second_reading_for(desk.studies, "ben", "ben") is None
    desk.submit("synthetic_003", client_id="anna")
    desk.studies.ledger.note_exposure("synthetic_003", "ben", utc_now())
    assert second_reading_for(desk.studies, "ben", "ben") is None, "ben has seen a prediction of it"
    assert second_reading_for(desk.studies, "carl", "carl") == "synthetic_003"


def test_a_label_sent_long_after_it_was_asked_for_still_lies_beside(desk_of, desk, tmp_path) -> None:
    ask(desk, "ben")
    desk.studies.leases.end(CASE, "ben")
    again = desk_of(4, second_readers="0")
    send(again, CASE, redrawn(again, CASE, tmp_path), "ben")
    assert again.studies.ledger.case(CASE).annotator == "anna"
    assert len(measured(again)) == 2


def test_two_readers_who_save_at_the_same_moment_lose_nothing(desk, tmp_path) -> None:
    ask(desk, "ben")
    people = ("anna", "ben", "carl", "dora")
    files = {who: redrawn(desk, CASE, tmp_path, shift=1 + k) for k, who in enumerate(people)}
    start = Barrier(len(people))

    def save(who: str) -> None:
        start.wait()
        send(desk, CASE, files[who], who)

    with ThreadPoolExecutor(len(people)) as pool:
        list(pool.map(save, people))
    case = desk.studies.ledger.case(CASE)
    last, kept = case.annotator, {who: file_hash(files[who]) for who in people}
    assert last != "ben" and case.label_hash == kept[last] == file_hash(desk.studies.stored_label(CASE))
    readings = {one.reader: one.label_hash for one in desk.studies.ledger.readings(CASE)}
    assert readings == kept
    for who in set(people) - {last}:
        assert file_hash(desk.studies.stored_label(CASE, tag_of(who))) == kept[who]
    assert {one.reader for one in measured(desk)} == set(people) - {last}


def test_a_reading_that_comes_while_others_are_compared_is_compared_next(desk, tmp_path, monkeypatch) -> None:
    ask(desk, "ben")
    send(desk, CASE, redrawn(desk, CASE, tmp_path), "ben")
    book = AgreementBook(desk.studies, desk.intake.files)
    compare = desk.intake.files.agreement
    other = next(image for image in desk.labels if image != CASE)

    def meanwhile(*args):
        monkeypatch.undo()
        desk.submit(other, client_id="anna")
        assert ask(desk, "ben")["id"] == other
        send(desk, other, redrawn(desk, other, tmp_path), "ben")
        return compare(*args)

    monkeypatch.setattr(desk.intake.files, "agreement", meanwhile)
    for _ in range(2):
        book.measure()
    assert {one.image_id for one in desk.studies.ledger.reading_scores()} == {CASE, other}
