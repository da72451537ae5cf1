"""What a published training takes up: its own checkpoint after a kill, and what GenSeg learned before."""

from __future__ import annotations

import gc
import os
import signal
import weakref
from contextlib import contextmanager, suppress

import nrrd
import numpy as np
import pytest
import torch

from scaling_app.imaging.untrusted import ImageError
from scaling_app.ledger import LedgerError
from scaling_app.monai_app.train_tasks import SegmentationTrainer
from scaling_app.studies import curve_job, curve_run, curve_work, splits, train_runs, train_stats
from scaling_app.studies.curve_job import run_curve_job
from scaling_app.studies.interrupted import close_interrupted_runs
from scaling_app.studies.train_options import parse_options
from scaling_app.studies.train_runs import train_and_publish
from scaling_app.studies.train_stats import TrainStats
from scaling_app.studies.unfinished import MOST_OTHERS, sweep_curve_checkpoints
from scaling_app.trials import testing, training, workplace
from scaling_app.trials.failures import TrainingError
from scaling_app.trials.model import TrainedModel

pytestmark = pytest.mark.slow_training

STEPS = 6
KILLED_AT = 3


def options_for(desk, **request):
    return parse_options({"steps": STEPS, **request}, desk.studies.conf)


def unfinished(desk):
    return list((desk.studies.folder / "unfinished").glob("*"))


def killed_training(desk, options, monkeypatch) -> None:
    """A training in a process of its own that is killed (-9) at a step, its checkpoints as they are."""

    def step(self, report):
        if report.step == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patched:
        patched.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
        patched.setattr(TrainStats, "step", step)
        child = os.fork()
        if child == 0:
            try:
                train_and_publish(desk.studies, options)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    desk.studies.ledger.close_unfinished_runs("interrupted: the process ended")


@pytest.fixture
def steps(monkeypatch) -> list[int]:
    """The steps that trainings tell of."""
    told: list[int] = []
    monkeypatch.setattr(
        TrainStats,
        "step",
        lambda self, report: told.append(report.step) if report.phase == "training" else None,
    )
    return told


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks and kills")


@needs_fork
@pytest.mark.parametrize("strategy", ["baseline", "genseg"])
def test_a_killed_training_goes_on_where_its_checkpoint_stands(desk_of, monkeypatch, steps, strategy):
    desk = desk_of(3)
    desk.submit(*desk.labels)
    options = options_for(desk, strategy=strategy)
    killed_training(desk, options, monkeypatch)
    assert desk.studies.published() is None and len(unfinished(desk)) == 1
    train_and_publish(desk.studies, options)
    assert steps == list(range(KILLED_AT + 1, STEPS + 1))
    assert [run.state for run in desk.studies.ledger.runs("published")] == ["stopped", "done"]
    assert desk.studies.published().strategy == strategy and unfinished(desk) == []


@needs_fork
def test_a_corrected_label_begins_the_training_anew(desk_of, monkeypatch, steps):
    desk = desk_of(3)
    desk.submit(*desk.labels)
    killed_training(desk, options_for(desk), monkeypatch)
    label = desk.labels["synthetic_000"]
    voxels, header = nrrd.read(str(label))
    voxels[tuple(np.argwhere(voxels == 1)[0])] = 0
    nrrd.write(str(label), voxels, header)
    desk.submit("synthetic_000")
    assert len(desk.studies.ledger.usable_cases()) == 3
    train_and_publish(desk.studies, options_for(desk))
    assert steps == list(range(1, STEPS + 1)) and unfinished(desk) == []


def failing_at(step, error, monkeypatch):
    def explode(self, report):
        if report.step == step:
            raise error

    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    return monkeypatch.setattr(TrainStats, "step", explode)


def test_a_training_that_would_fail_again_leaves_nothing_to_go_on_with(desk_of, monkeypatch):
    desk = desk_of(3)
    desk.submit(*desk.labels)
    failing_at(KILLED_AT, TrainingError("the loss was undefined"), monkeypatch)
    with pytest.raises(TrainingError):
        train_and_publish(desk.studies, options_for(desk))
    assert unfinished(desk) == []


@pytest.mark.parametrize(
    "error", [RuntimeError("a fault of the GPU"), OSError(28, "No space left on device")]
)
def test_a_training_that_failed_otherwise_goes_on_where_its_checkpoint_stands(desk_of, monkeypatch, error):
    desk = desk_of(3)
    desk.submit(*desk.labels)
    with monkeypatch.context() as patched, pytest.raises(type(error)):
        failing_at(KILLED_AT, error, patched)
        train_and_publish(desk.studies, options_for(desk))
    assert len(unfinished(desk)) == 1
    told: list[int] = []
    monkeypatch.setattr(TrainStats, "step", lambda _, report: told.append(report.step))
    train_and_publish(desk.studies, options_for(desk))
    assert told[:2] == [0, KILLED_AT + 1] and unfinished(desk) == []


def test_a_progress_file_that_cannot_be_written_ends_no_training(desk_of, monkeypatch, caplog):
    desk = desk_of(3)
    desk.submit(*desk.labels)

    def full(path, text):
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(train_stats, "WRITE_EVERY_SECONDS", 0.0)
        patched.setattr(train_stats, "write_whole_text", full)
        train_and_publish(desk.studies, options_for(desk))
    assert desk.studies.published() is not None
    assert caplog.text.count("The progress of the training cannot be shown") == 1


FULL_LEDGER = LedgerError("the ledger refused: database or disk is full")


def refused(*_, **__):
    raise FULL_LEDGER


@needs_fork
def test_a_run_whose_end_no_ledger_can_note_counts_as_stopped_and_goes_on(desk_of, monkeypatch, caplog):
    """The error that ended it is told, and not the ledger's."""
    desk = desk_of(3)
    desk.submit(*desk.labels)
    child = os.fork()
    if child == 0:
        failing_at(KILLED_AT, RuntimeError("a fault of the GPU"), monkeypatch)
        monkeypatch.setattr(type(desk.studies.ledger), "finish_run", refused)
        try:
            train_and_publish(desk.studies, options_for(desk))
        except RuntimeError as error:
            os._exit(7 if str(error) == "a fault of the GPU" else 8)
        finally:
            os._exit(9)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert [run.state for run in desk.studies.ledger.runs("published")] == ["running"]
    assert len(unfinished(desk)) == 1
    close_interrupted_runs(desk.studies.ledger, "interrupted: the server was stopped", elsewhere=True)
    assert [run.state for run in desk.studies.ledger.runs("published")] == ["stopped"]
    train_and_publish(desk.studies, options_for(desk))
    assert [run.state for run in desk.studies.ledger.runs("published")] == ["stopped", "done"]


def test_a_result_that_no_ledger_takes_is_there_for_the_next_try(desk_of, monkeypatch, steps):
    desk = desk_of(3)
    desk.submit(*desk.labels)
    with monkeypatch.context() as patched, pytest.raises(LedgerError):
        patched.setattr(type(desk.studies.ledger), "finish_run", refused)
        train_and_publish(desk.studies, options_for(desk))
    train_and_publish(desk.studies, options_for(desk))
    assert steps == list(range(1, STEPS + 1)) and desk.studies.published() is not None


def test_a_curve_goes_on_where_its_progress_cannot_be_noted(desk_of, monkeypatch, caplog):
    desk = desk_of(5, size=12)
    desk.submit(*desk.labels)
    monkeypatch.setattr(curve_work, "EVERY_SECONDS", 0.0)
    ledger = type(desk.studies.ledger)
    real = ledger.set_job

    def full(self, job):
        if job.get("total"):
            raise FULL_LEDGER
        real(self, job)

    with monkeypatch.context() as patched, suppress(LedgerError):
        patched.setattr(ledger, "set_job", full)
        run_curve_job(desk.studies, options_for(desk, steps=2), 10.0)
    runs = desk.studies.ledger.runs()
    assert runs and {run.state for run in runs} == {"done"}
    assert caplog.text.count("How far the curve is cannot be noted") == 1


@pytest.fixture
def desk_that_holds_out(desk_of, monkeypatch):
    """The first of four patients is held out."""
    monkeypatch.setattr(splits, "HOLD_OUT_FROM", 4)
    monkeypatch.setattr(splits, "HOLD_OUT_AT_LEAST", 1)
    desk = desk_of(4)
    for index, image in enumerate(sorted(desk.labels)):
        desk.studies.ledger.assign_role(image, splits.TRAINING if index else splits.VALIDATION)
    desk.submit(*desk.labels)
    return desk


def failing(monkeypatch, error, *names):
    """Testing fails with it, on these cases or on all, as long as the list that this returns is empty."""
    mended: list[bool] = []
    real = testing.test

    def test(model, cases, **more):
        if not mended and (not names or {case.case_id for case in cases} & set(names)):
            raise error
        return real(model, cases, **more)

    monkeypatch.setattr(testing, "test", test)
    return mended


def test_a_training_whose_test_found_no_memory_is_not_made_again(desk_that_holds_out, monkeypatch, steps):
    desk = desk_that_holds_out
    mended = failing(monkeypatch, torch.OutOfMemoryError("out of memory"))
    with pytest.raises(torch.OutOfMemoryError):
        train_and_publish(desk.studies, options_for(desk))
    assert desk.studies.published() is None and len(unfinished(desk)) == 1
    mended.append(True)
    train_and_publish(desk.studies, options_for(desk))
    assert steps == list(range(1, STEPS + 1))
    assert desk.studies.published() is not None and unfinished(desk) == []


def test_a_held_out_image_that_cannot_be_read_any_more_costs_its_score_alone(
    desk_that_holds_out, monkeypatch, caplog
):
    desk = desk_that_holds_out
    failing(monkeypatch, ImageError("the file is not there"))
    train_and_publish(desk.studies, options_for(desk))
    assert desk.studies.published() is not None
    assert "cannot test the model: the file is not there" in caplog.text


def test_a_tested_case_that_cannot_be_read_any_more_costs_its_score_alone(desk_of, monkeypatch, caplog):
    """It is one of two in its fold."""
    desk = desk_of(8, size=12)
    desk.submit(*desk.labels)
    lost, beside = "synthetic_005", "synthetic_006"
    failing(monkeypatch, ImageError("the file is not there"), lost)
    whole = run_curve_job(desk.studies, options_for(desk, steps=2), 10.0, compared=["none"])
    assert whole["done"] == whole["total"]
    ledger = desk.studies.ledger
    alone = [
        run
        for run in ledger.runs()
        if {o.image_id for o in ledger.observations(run_id=run.run_id)} == {beside}
    ]
    assert {run.purpose for run in alone} == {"nested", "fold", "arm"}
    assert {o.image_id for o in ledger.observations()} == set(desk.labels) - {lost}
    assert caplog.text.count(f"{lost} cannot test the model: the file is not there") == len(alone)


def test_runs_of_the_curve_side_by_side_share_the_ram_for_cases(desk_of, monkeypatch):
    desk = desk_of(5, memory_gb="2")
    desk.submit(*desk.labels)
    given: list[int] = []

    def carry_out(run, **_):
        given.append(run.memory_bytes)
        return curve_run.CurveResult([], 1, "finished", None)

    monkeypatch.setattr(curve_work, "carry_out", carry_out)

    @contextmanager
    def four_here(workers: int | None = None):
        yield workplace.Workplace(
            workplace.AtOnce(), "here", lambda: 1, lambda: 4, is_cluster=False, shared=False
        )

    monkeypatch.setattr(workplace, "here", four_here)
    run_curve_job(desk.studies, options_for(desk), 10.0)
    assert set(given) == {2**30 // 4}


def test_a_fold_none_of_whose_cases_can_be_read_fails(desk_of, monkeypatch):
    desk = desk_of(5)
    desk.submit(*desk.labels)
    failing(monkeypatch, ImageError("the file is not there"))
    assert run_curve_job(desk.studies, options_for(desk), 10.0)["done"] == 0
    assert {run.state for run in desk.studies.ledger.runs()} == {"failed"}
    assert desk.studies.ledger.observations() == []


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (torch.OutOfMemoryError("out of memory"), 2),
        (OSError(28, "No space left on device"), 2),
        (TrainingError("the loss was undefined"), 0),
    ],
)
def test_runs_of_the_curve_go_on_once_the_machine_is_well_again(desk_of, monkeypatch, error, kept):
    desk = desk_of(5)
    desk.submit(*desk.labels)
    mended = failing(monkeypatch, error)
    options = options_for(desk)
    assert run_curve_job(desk.studies, options, 10.0)["done"] == 0
    assert len(unfinished(desk)) == kept
    mended.append(True)
    whole = run_curve_job(desk.studies, options, 10.0)
    assert whole["done"] == whole["total"] and unfinished(desk) == []


def test_a_run_of_the_curve_that_failed_holds_nothing_while_the_next_one_is_made(desk_of, monkeypatch):
    desk = desk_of(5)
    desk.submit(*desk.labels)
    train_and_publish(
        desk.studies, options_for(desk)
    )  # what torch imports at the first training keeps that one
    models: list[weakref.ref] = []
    held: list[bool] = []
    real = curve_run.train

    def train(*args, **more):
        held.extend(model() is not None for model in models)
        model = real(*args, **more)
        models.append(weakref.ref(model))
        return model

    monkeypatch.setattr(curve_run, "train", train)
    failing(monkeypatch, torch.OutOfMemoryError("out of memory"))
    gc.collect()
    gc.disable()
    try:
        run_curve_job(desk.studies, options_for(desk), 10.0)
    finally:
        gc.enable()
    assert len(models) == 2 and held == [False]


@pytest.fixture
def started_from(monkeypatch) -> list:
    """The model that each training of this test took something up from, or None."""
    found: list = []
    for module in (train_runs, curve_run):
        whole = module.train

        def train(*args, whole=whole, **more):
            found.append(more.get("warm_start"))
            assert more.get("warm_start") is None or more["fresh_weights"]
            return whole(*args, **more)

        monkeypatch.setattr(module, "train", train)
    return found


def test_genseg_trains_through_the_trainer_and_takes_its_generator_over(desk_of, started_from):
    desk = desk_of(4)
    images = sorted(desk.labels)
    trainer = SegmentationTrainer(desk.studies, lambda: True)
    assert "genseg" in trainer.config()["strategy"]
    desk.submit(*images[:3])
    request = {"strategy": "genseg", "steps": STEPS}
    stats = trainer(request, desk.studies.datastore)
    assert stats["strategy"] == "genseg" and stats["epoch"] == STEPS
    first = desk.studies.published()
    assert first.strategy == "genseg" and TrainedModel.load(first.model_file, "cpu").strategy_state
    desk.submit(images[3])
    trainer(request, desk.studies.datastore)
    second = desk.studies.published()
    assert started_from == [None, first.model_file]
    assert desk.studies.ledger.run(second.run_id).parent_run == first.run_id
    before, after = (TrainedModel.load(model.model_file, "cpu").report for model in (first, second))
    assert after["strategy_generator_steps"] > before["strategy_generator_steps"]


def test_only_the_same_strategy_takes_up_what_it_learned_and_curve_runs_never_do(desk_of, started_from):
    desk = desk_of(5)
    desk.submit(*desk.labels)
    for strategy in ("baseline", "baseline", "genseg"):
        train_and_publish(desk.studies, options_for(desk, strategy=strategy))
    run_curve_job(desk.studies, options_for(desk, strategy="genseg", steps=2), 10)
    assert len(started_from) > 3 and set(started_from) == {None}


def test_a_strategy_that_learns_nothing_for_later_takes_up_nothing(desk_of, started_from):
    """Else the images that an earlier training looked at would never test a later one."""
    desk = desk_of(3)
    desk.submit(*desk.labels)
    for _ in range(2):
        train_and_publish(desk.studies, options_for(desk, strategy="regda"))
    assert started_from == [None, None]
    assert [run.parent_run for run in desk.studies.ledger.runs("published")] == [None, None]


def test_nothing_is_taken_up_from_a_model_that_has_seen_who_is_held_out_now(
    desk_of, started_from, monkeypatch
):
    desk = desk_of(6)
    images = sorted(desk.labels)
    desk.submit(*images[:5])
    train_and_publish(desk.studies, options_for(desk, strategy="genseg"))
    monkeypatch.setattr(splits, "HOLD_OUT_FROM", 6)
    monkeypatch.setattr(splits, "HOLD_OUT_AT_LEAST", 1)
    for index, image in enumerate(images):
        desk.studies.ledger.assign_role(image, splits.VALIDATION if index == 0 else splits.TRAINING)
    desk.submit(images[5])
    train_and_publish(desk.studies, options_for(desk, strategy="genseg"))
    published = desk.studies.published()
    assert published.held_out == (images[0],) and images[0] not in published.train_ids
    assert started_from == [None, None]


def test_a_label_removed_since_still_counts_as_seen_by_what_was_taken_up(desk_of, started_from):
    desk = desk_of(4)
    images = sorted(desk.labels)
    desk.submit(*images[:3])
    train_and_publish(desk.studies, options_for(desk, strategy="genseg"))
    desk.studies.datastore.remove_label(images[0], "final")
    train_and_publish(desk.studies, options_for(desk, strategy="genseg"))
    published = desk.studies.published()
    assert started_from[1] is not None and images[0] in published.train_ids
    desk.submit(images[0])
    train_and_publish(desk.studies, options_for(desk, strategy="genseg"))
    assert desk.studies.ledger.observations(run_id=published.run_id) == []


@pytest.mark.parametrize("damage", ["of another version", "no model at all"])
def test_a_model_that_cannot_be_read_any_more_is_replaced_by_the_next_training(desk_of, damage):
    desk = desk_of(8)
    desk.submit(*list(desk.labels)[:6])
    train_and_publish(desk.studies, options_for(desk))
    published = desk.studies.published()
    if damage == "of another version":
        torch.save({"format": 2}, published.model_file)
    else:
        published.model_file.write_text("this is text")
    desk.submit(*list(desk.labels)[6:])
    train_and_publish(desk.studies, options_for(desk))
    assert desk.studies.published().run_id != published.run_id
    assert desk.studies.published().load("cpu") is not None


def test_checkpoints_that_no_run_asks_for_are_bounded(desk_of):
    desk = desk_of(3)
    folder = desk.studies.folder / "unfinished"
    folder.mkdir(parents=True)
    names = ["due", "done", "published-now", *(f"other-{n}" for n in range(9)), ".part-0123456789ab-due"]
    for age, name in enumerate(names):
        file = folder / f"{name}.pt"
        file.write_bytes(b"checkpoint")
        os.utime(file, (10_000 - age, 10_000 - age))
    model = desk.studies.folder / ".part-0123456789ab-published-then.pt"
    model.write_bytes(b"half")
    os.utime(model, (0, 0))
    sweep_curve_checkpoints(desk.studies, {"due"}, {"done"})
    assert sorted(file.stem for file in unfinished(desk)) == sorted(
        ["due", "published-now", *(f"other-{n}" for n in range(MOST_OTHERS))]
    )
    assert not model.exists()


def test_a_curve_job_leaves_no_checkpoints_of_runs_that_are_over(desk_of, monkeypatch):
    desk = desk_of(6, patient_pattern=r"\d+")
    desk.submit(*list(desk.labels)[:5])
    folder = desk.studies.folder / "unfinished"
    folder.mkdir(parents=True)
    for n in range(MOST_OTHERS + 5):
        (folder / f"fold-5-0-4-{n:012x}.pt").write_bytes(b"of a label that was corrected since")
    monkeypatch.setattr(curve_job.CurveWork, "all_of", lambda _, due, total: ("None is begun.", 0, total))
    run_curve_job(desk.studies, options_for(desk), 1.0)
    assert len(unfinished(desk)) == MOST_OTHERS
