"""The plan of the curve's trainings: nothing twice, nobody's patient on both sides, cheapest first."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_app.curve.curve_points import (
    CURVE_SIZES,
    ArmDue,
    UsableCase,
    curve_size_of,
    deal_folds,
    fits_budget,
    nested_subset,
    runs_due,
    seconds_left,
)


def cases_of(n: int, scans: int = 1) -> list[UsableCase]:
    return [UsableCase(f"p{k // scans}_s{k % scans}", f"p{k // scans}", f"hash{k}") for k in range(n)]


def due(cases, *, done=(), settings_hash="s", seed=0, blocks=None, arms=(), again=False):
    own = ArmDue("baseline", settings_hash)
    arms = [ArmDue(name, f"{settings_hash}-{name}") for name in arms]
    return runs_due(cases, done=done, own=own, arms=arms, seed=seed, blocks=blocks or {}, again=again)


def test_the_largest_checkpoint_reached_counts():
    assert [curve_size_of(n) for n in (0, 4, 5, 7, 8, 47, 48, 500)] == [None, None, 5, 5, 8, 32, 48, 48]


def test_nothing_is_due_before_the_first_checkpoint():
    assert due(cases_of(4)) == []


@pytest.mark.parametrize("n", CURVE_SIZES)
def test_cross_validation_tests_every_case_once_and_nests_in_two_folds(n):
    runs = due(cases_of(n))
    folds = [run for run in runs if run.purpose == "fold"]
    assert sorted(i for run in folds for i in run.test_ids) == sorted(c.image_id for c in cases_of(n))
    assert len(folds) == 5
    nested = [run for run in runs if run.purpose == "nested"]
    assert {run.fold for run in nested} == {0, 1}
    for run in nested:
        whole = next(f for f in folds if f.fold == run.fold)
        assert set(run.train_ids) < set(whole.train_ids) and run.test_ids == whole.test_ids


@settings(max_examples=60, deadline=None)
@given(st.integers(5, 60), st.integers(1, 4), st.integers(0, 3), st.randoms(use_true_random=False))
def test_patients_are_never_on_both_sides_in_any_order(n, scans, seed, rng):
    cases = cases_of(n, scans)
    shuffled = list(cases)
    rng.shuffle(shuffled)
    runs = due(cases, seed=seed)
    assert runs == due(shuffled, seed=seed)
    patient = {c.image_id: c.patient for c in cases}
    for run in runs:
        assert run.train_ids and run.test_ids
        assert not {patient[i] for i in run.train_ids} & {patient[i] for i in run.test_ids}
    assert [run.n for run in runs] == sorted(run.n for run in runs)
    assert len({run.run_id for run in runs}) == len(runs)


def test_what_is_done_is_not_repeated_and_a_stopped_job_goes_on():
    cases = cases_of(12)
    everything = due(cases)
    done = {run.run_id for run in everything[:4]}
    assert due(cases, done=done) == everything[4:]
    assert due(cases, done={run.run_id for run in everything}) == []


def test_a_corrected_label_and_other_settings_make_runs_due_again():
    cases = cases_of(8)
    done = {run.run_id for run in due(cases)}
    corrected = [UsableCase(cases[0].image_id, cases[0].patient, "new"), *cases[1:]]
    assert due(corrected, done=done)
    assert len(due(cases, done=done, settings_hash="other")) == len(due(cases))
    assert len(due(cases, done=done, seed=1)) > 0


def test_labels_that_arrive_in_the_middle_of_a_job_wait_for_the_next_checkpoint():
    begun = cases_of(8)
    first = due(begun)
    blocks = {8: [c.image_id for c in begun]}
    later = cases_of(11)
    assert due(later, done={first[0].run_id}, blocks=blocks) == first[1:]
    assert {i for run in due(cases_of(12), blocks=blocks) for i in run.test_ids} == {
        c.image_id for c in cases_of(12)
    }


def test_a_block_that_lost_cases_is_begun_anew():
    blocks = {8: [c.image_id for c in cases_of(8)]}
    left = cases_of(11)[1:]
    assert {i for run in due(left, blocks=blocks) for i in run.test_ids} == {c.image_id for c in left}


def test_one_patient_cannot_be_cross_validated():
    assert due(cases_of(9, scans=9)) == []


def test_smaller_subsets_lie_in_larger_ones():
    patients = [f"p{k}" for k in range(17)]
    random.Random(0).shuffle(patients)
    quarter, half = (set(nested_subset(patients, share, 3, 1)) for share in (0.25, 0.5))
    assert quarter < half < set(patients)


@given(st.sets(st.text("abcdef", min_size=1), min_size=2, max_size=40), st.integers(0, 9))
def test_folds_are_even(patients, seed):
    folds = deal_folds(patients, seed)
    sizes = [list(folds.values()).count(f) for f in set(folds.values())]
    assert len(sizes) == min(5, len(patients)) and max(sizes) - min(sizes) <= 1


def test_the_budget_is_kept():
    assert fits_budget(0, 60, [])
    assert fits_budget(20, 60, [30, 30])
    assert not fits_budget(40, 60, [1, 1, 30, 30, 30])


def test_the_time_left_is_that_of_the_runs_for_which_the_budget_has_room():
    assert seconds_left(0, 600, [30], [60] * 3) == 210
    assert seconds_left(80, 120, [30], [40] * 9) == 30
    assert seconds_left(200, 120, [30], [40]) == 30
    assert seconds_left(0, 600, [30, 10], [60, 60]) == 90


def test_sixteen_cases_take_five_folds_and_four_nested_runs():
    assert len(due(cases_of(16))) == 9


@settings(max_examples=30, deadline=None)
@given(st.integers(5, 40), st.integers(1, 3), st.integers(0, 3))
def test_arms_train_and_test_on_the_folds_of_the_sessions_own_runs_and_come_after_them(n, scans, seed):
    cases = cases_of(n, scans)
    own, both = due(cases, seed=seed), due(cases, seed=seed, arms=["genda", "red"])
    assert both[: len(own)] == own
    arms = both[len(own) :]
    folds = {(run.train_ids, run.test_ids, run.fold, run.curve_size) for run in own if run.purpose == "fold"}
    for name in ("genda", "red"):
        mine = [run for run in arms if run.strategy == name]
        assert {(run.train_ids, run.test_ids, run.fold, run.curve_size) for run in mine} == folds
        assert all(run.purpose == "arm" and run.settings_hash == f"s-{name}" for run in mine)
    assert [run.strategy for run in arms] == ["genda"] * len(folds) + ["red"] * len(folds)
    assert len({run.run_id for run in both}) == len(both)


@settings(max_examples=30, deadline=None)
@given(st.integers(5, 40), st.integers(1, 3), st.integers(0, 3))
def test_what_is_trained_again_differs_in_its_seed_alone_and_nobody_is_paired_with_it(n, scans, seed):
    cases = cases_of(n, scans)
    once, twice = (due(cases, seed=seed, arms=["red"], again=again) for again in (False, True))
    more = [run for run in twice if run not in once]
    own = [run for run in once if run.purpose != "arm"]
    assert [run for run in twice if run not in more] == once and twice.index(more[0]) == len(own)
    folds = {run.fold: run for run in once if run.purpose == "fold"}
    assert [run.fold for run in more] == [0, 1]
    for run in more:
        fold = folds[run.fold]
        assert run.again and replace(run, seed=fold.seed, run_id=fold.run_id, again=False) == fold
        assert run.seed not in {other.seed for other in once} and run.run_id != fold.run_id


def test_other_settings_of_an_arm_make_it_due_again_and_nothing_else():
    cases = cases_of(8)
    done = {run.run_id for run in due(cases, arms=["genda"])}
    assert due(cases, done=done, arms=["genda"]) == []
    (again,) = {run.strategy for run in due(cases, done=done, arms=["genda", "red"])}
    assert again == "red"


def test_every_training_has_luck_of_its_own_and_arms_share_that_of_the_fold_they_are_paired_with():
    runs = due(cases_of(16), arms=["genda"])
    own = {(run.fold, run.n): run.seed for run in runs if run.purpose != "arm"}
    arms = {(run.fold, run.n): run.seed for run in runs if run.purpose == "arm"}
    assert len(set(own.values())) == len(own) == 9
    assert arms == {key: own[key] for key in arms} and len(arms) == 5
    later = {run.seed for run in due(cases_of(24))}
    assert not later & set(own.values())
    assert {run.seed for run in due(cases_of(16), seed=1)}.isdisjoint(own.values())
    assert all(0 <= seed < 2**31 for seed in own.values())
