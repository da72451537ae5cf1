"""A case's role never changes, whatever happens to the labels around it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scaling_app.ledger import Ledger
from scaling_app.studies.conf import DEFAULT_PATIENT_PATTERN
from scaling_app.studies.splits import HOLD_OUT_FROM, VALIDATION, drawn_role, patient_of, split_cases, unseen

IDS = [f"case_{k:03d}" for k in range(60)]


@given(st.lists(st.tuples(st.sampled_from(IDS), st.booleans()), max_size=150), st.integers(0, 5))
def test_no_order_of_adding_and_removing_labels_changes_a_role(changes, seed):
    roles: dict[str, str] = {}
    labelled: set[str] = set()
    seen: dict[str, str] = {}
    for image_id, added in changes:
        (labelled.add if added else labelled.discard)(image_id)
        split = split_cases({i: i for i in labelled}, lambda p: roles.setdefault(p, drawn_role(p, seed)))
        if split.validation:
            for part in ("training", "validation"):
                for i in getattr(split, part):
                    assert seen.setdefault(i, part) == part
        assert sorted((*split.training, *split.validation)) == sorted(labelled)


def test_a_role_outlives_the_seed_it_was_drawn_with(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    before = {p: ledger.assign_role(p, drawn_role(p, seed=0)) for p in IDS}
    again = {
        p: Ledger(tmp_path / "ledger.sqlite").assign_role(p, drawn_role(p, seed=1)) for p in reversed(IDS)
    }
    assert before == again
    assert before != {p: drawn_role(p, seed=1) for p in IDS}


def test_about_one_patient_in_five_is_held_out():
    share = sum(drawn_role(f"p{k}", 0) == VALIDATION for k in range(2000)) / 2000
    assert 0.17 < share < 0.23


def test_few_patients_are_all_trained_on():
    patients = {i: i for i in IDS[: HOLD_OUT_FROM - 1]}
    assert split_cases(patients, lambda p: drawn_role(p, 0)).validation == ()


def test_patients_once_held_out_stay_out_when_labels_are_removed():
    patients = {i: i for i in IDS}
    held_out = split_cases(patients, lambda p: drawn_role(p, 0)).validation
    fewer = {i: i for i in [*held_out[:2], *IDS[:8]]}
    later = split_cases(fewer, lambda p: drawn_role(p, 0), held_out_before=True)
    assert set(held_out[:2]) <= set(later.validation)


def test_the_images_of_a_patient_stay_together():
    patients = {f"sub-{p:02d}_ses-{s}": f"sub-{p:02d}" for p in range(30) for s in range(3)}
    split = split_cases(patients, lambda p: drawn_role(p, 0))
    assert split.validation
    assert not {patients[i] for i in split.training} & {patients[i] for i in split.validation}


def test_the_patient_of_an_image():
    assert patient_of("sub-07_ses-2_T1w", DEFAULT_PATIENT_PATTERN) == "sub-07"
    assert patient_of("hippocampus_123", DEFAULT_PATIENT_PATTERN) == "hippocampus_123"
    assert patient_of("a_12_left", r"_(\d+)_") == "12"
    assert patient_of("1.2.840", DEFAULT_PATIENT_PATTERN, {"PatientID": "MRN-5"}) == "MRN-5"
    assert patient_of("1.2.840", DEFAULT_PATIENT_PATTERN, {"PatientID": "UNK"}) == "1.2.840"


def test_a_model_is_never_tested_on_a_patient_it_was_trained_on():
    patients = {"a_1": "a", "a_2": "a", "b_1": "b", "c_1": "c"}
    assert unseen(["a_1", "a_2", "b_1", "c_1"], patients, ["a_1", "c_1"]) == ["b_1"]
