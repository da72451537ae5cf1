"""Runs, their observations, and when an observation stops speaking of today's labels."""

from __future__ import annotations

import math
import multiprocessing
import os
import sqlite3
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_app.ledger import Doubt, Ledger, LedgerError, Observation, Run, utc_now
from scaling_app.ledger.records import KINDS

scores = st.none() | st.floats(0, 1)
observation_records = st.builds(
    Observation,
    run_id=st.just("r"),
    image_id=st.sampled_from("abc"),
    structure=st.sampled_from(["liver", "Milz <b>", "σ"]),
    kind=st.sampled_from(KINDS),
    dice=scores,
    nsd=scores,
    nsd_tolerance_mm=st.none() | st.floats(0, 10),
    hd95_mm=st.none() | st.floats(0, 500),
    bce=st.none() | st.floats(0, 50),
    missed=st.booleans(),
    hallucinated=st.booleans(),
    assisted=st.booleans(),
    label_hash=st.sampled_from(["h1", "h2"]),
)


@given(
    seen=st.lists(
        observation_records,
        max_size=8,
        unique_by=lambda o: (o.image_id, o.structure, o.kind, o.label_hash),
    )
)
@settings(max_examples=20, deadline=None)
def test_observations_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, seen: list[Observation]
) -> None:
    with Ledger(tmp_path_factory.mktemp("round") / "ledger.sqlite") as ledger:
        run = Run("r", "fold", "genda", "unet", ("a", "b"), 2, 7, 3, "s", utc_now())
        ledger.start_run(run)
        assert ledger.run("r") == run
        ledger.finish_run("r", seen)
        assert ledger.observations(current=False) == seen


def test_a_finished_run_says_what_became_of_it(ledger: Ledger, new_run) -> None:
    ledger.start_run(new_run("r", ["a", "b"], purpose="published"))
    ledger.finish_run("r", state="failed", message="out of memory")
    ended = ledger.run("r")
    assert (ended.state, ended.message, ended.train_ids) == ("failed", "out of memory", ("a", "b"))
    assert ended.finished_at is not None
    assert ledger.runs("published") == [ended]
    assert ledger.runs("fold") == []


def test_an_end_with_a_bad_observation_leaves_the_run_running(ledger: Ledger, new_run) -> None:
    ledger.start_run(new_run("r"))
    before = ledger.revision()
    good, bad = Observation("r", "a", "liver", "fold", dice=0.5), Observation("other", "a", "liver", "fold")
    with pytest.raises(LedgerError, match="other"):
        ledger.finish_run("r", [good, bad])
    assert ledger.run("r").state == "running"
    assert ledger.observations(current=False) == []
    assert ledger.revision() == before


def test_ends_that_make_no_sense_are_refused(ledger: Ledger, new_run) -> None:
    with pytest.raises(LedgerError, match="no run 'ghost'"):
        ledger.finish_run("ghost")
    ledger.start_run(new_run("r"))
    with pytest.raises(LedgerError, match="running"):
        ledger.finish_run("r", state="running")
    ledger.finish_run("r")
    with pytest.raises(LedgerError, match="is done"):
        ledger.finish_run("r")
    with pytest.raises(LedgerError, match="done already"):
        ledger.start_run(new_run("r"))
    with pytest.raises(LedgerError, match="parent"):
        ledger.start_run(new_run("s", parent_run="ghost"))


def test_a_run_whose_n_is_not_its_number_of_cases_is_refused() -> None:
    with pytest.raises(ValueError, match="n is 3 but it names 1"):
        Run("r", "fold", "baseline", "resunet", ["a"], 3, 0, 0, "s", utc_now())


@pytest.mark.parametrize("field", ["purpose", "state"])
def test_unknown_words_are_refused(new_run, field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be one of"):
        new_run("r", **{field: "guess"})


posix = pytest.mark.skipif(os.name != "posix", reason="only POSIX tells whether a process lives")


@pytest.fixture
def trainer(ledger: Ledger, new_run) -> Iterator[BaseProcess]:
    """Another process, in the middle of the run `r`."""
    fork = multiprocessing.get_context("fork")  # has its libraries loaded
    here, there = fork.Pipe()

    def train() -> None:
        Ledger(ledger.path).start_run(new_run("r", ["a"]))
        there.send("started")
        there.recv()

    process = fork.Process(target=train)
    process.start()
    assert here.poll(60) and here.recv() == "started"
    yield process
    process.kill()
    process.join()


@posix
def test_an_interrupted_run_can_be_started_over(ledger: Ledger, new_run, trainer) -> None:
    trainer.kill()
    trainer.join()
    assert ledger.close_unfinished_runs() == 1
    assert ledger.run("r").state == "stopped"
    ledger.start_run(new_run("r", ["b", "c"]))
    assert ledger.run("r").train_ids == ("b", "c")
    ledger.finish_run("r")
    assert ledger.close_unfinished_runs() == 0


@posix
def test_a_run_is_not_closed_while_its_process_lives(ledger: Ledger, new_run, trainer) -> None:
    ledger.start_run(new_run("mine"))
    assert ledger.close_unfinished_runs(elsewhere=True) == 0
    assert ledger.trainers() == {trainer.pid}
    ledger.finish_run("r")
    assert ledger.trainers() == set()


@posix
def test_a_killed_process_that_nobody_has_waited_for_does_not_live(ledger: Ledger, trainer) -> None:
    trainer.kill()
    deadline = time.monotonic() + 10
    while ledger.trainers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ledger.trainers() == set()
    assert ledger.close_unfinished_runs() == 1


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells when a process began")
def test_a_process_that_was_given_the_same_id_later_is_another(ledger: Ledger, trainer) -> None:
    with sqlite3.connect(ledger.path) as raw:
        raw.execute("UPDATE runs SET process = json_set(process, '$.began', '1')")
    assert ledger.trainers() == set()
    assert ledger.close_unfinished_runs() == 1


@pytest.mark.parametrize("process", ["NULL", "json_set(process, '$.host', 'far away')"])
def test_a_run_of_a_process_that_cannot_be_seen_is_closed_only_when_asked(
    ledger: Ledger, new_run, process: str
) -> None:
    ledger.start_run(new_run("r"))
    with sqlite3.connect(ledger.path) as raw:
        raw.execute(f"UPDATE runs SET process = {process}")
    assert ledger.trainers() == set()
    assert ledger.close_unfinished_runs() == 0
    assert ledger.close_unfinished_runs("the server was stopped", elsewhere=True) == 1
    assert ledger.run("r").message == "the server was stopped"


def test_observations_follow_a_finished_run_and_replace_the_same_test(ledger: Ledger, new_run) -> None:
    ledger.start_run(new_run("r", purpose="published"))
    ledger.finish_run("r")
    for dice in (0.4, 0.6):
        ledger.add_observations("r", [Observation("r", "a", "liver", "prequential", dice=dice)])
    assert [seen.dice for seen in ledger.observations()] == [0.6]


def test_scores_that_are_no_numbers_are_kept_as_unknown(ledger: Ledger, new_run) -> None:
    ledger.start_run(new_run("r"))
    ledger.finish_run("r", [Observation("r", "a", "liver", "fold", dice=math.nan, hd95_mm=math.inf)])
    (seen,) = ledger.observations()
    assert seen.dice is None
    assert seen.hd95_mm is None


@pytest.fixture
def tested(ledger: Ledger, new_case, new_run) -> Ledger:
    """Twelve cases; `small` was trained on 3 of them and `large` on 10, both tested on the last."""
    for k in range(12):
        ledger.save_case(new_case(f"c{k}"))
    for name, size in (("small", 3), ("large", 10)):
        ledger.start_run(new_run(name, [f"c{k}" for k in range(size)]))
        ledger.finish_run(name, [Observation(name, "c11", "liver", "fold", dice=0.5)])
    return ledger


def current_runs(ledger: Ledger) -> list[str]:
    return [seen.run_id for seen in ledger.observations(current=True)]


def test_a_new_label_of_the_tested_case_makes_its_observations_stale(tested: Ledger, new_case) -> None:
    tested.save_case(new_case("c11", "another"))
    assert current_runs(tested) == []
    assert len(tested.observations(current=False)) == 2
    tested.save_case(new_case("c11"))
    assert current_runs(tested) == ["small", "large"]


def test_the_same_label_saved_again_keeps_them(tested: Ledger, new_case) -> None:
    tested.save_case(new_case("c11"))
    tested.save_case(new_case("c0"))
    assert current_runs(tested) == ["small", "large"]


def test_one_new_training_label_outdates_a_small_run_and_two_a_run_of_ten(tested: Ledger, new_case) -> None:
    tested.save_case(new_case("c0", "another"))
    assert current_runs(tested) == ["large"]
    tested.remove_case("c1")
    assert current_runs(tested) == []


def test_a_doubt_about_the_tested_case_hides_its_observations_until_resolved(
    tested: Ledger, new_case
) -> None:
    tested.save_case(new_case("c11", doubts=(Doubt("volume", "Too large."),)))
    assert current_runs(tested) == []
    tested.confirm_label("c11")
    assert current_runs(tested) == ["small", "large"]


def test_a_doubt_about_a_training_case_outdates_a_small_run(tested: Ledger, new_case) -> None:
    tested.save_case(new_case("c2", doubts=(Doubt("volume", "Too large."),)))
    assert current_runs(tested) == ["large"]


def test_observations_of_cases_outside_the_ledger_stay_current(ledger: Ledger, new_run) -> None:
    ledger.start_run(new_run("r", ["x", "y"], purpose="replay"))
    ledger.finish_run("r", [Observation("r", "z", "liver", "nested", dice=0.5)])
    assert current_runs(ledger) == ["r"]


def test_observations_can_be_asked_for_by_kind_and_run(tested: Ledger) -> None:
    assert len(tested.observations(kind="fold")) == 2
    assert tested.observations(kind="nested") == []
    assert [seen.run_id for seen in tested.observations(run_id="small")] == ["small"]


def test_a_renamed_structure_is_renamed_everywhere(tested: Ledger) -> None:
    assert tested.rename_structure("liver", "Leber") == 2
    assert {seen.structure for seen in tested.observations()} == {"Leber"}
