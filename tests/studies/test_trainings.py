"""Trainings and curve jobs as the ledger sees them, without a server around them."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from scaling_app.curve.ledger_curve import curve_csv, curve_observations, forecast_from
from scaling_app.forecast.scores import read_curve
from scaling_app.imaging import synthetic
from scaling_app.ledger import Doubt, Ledger
from scaling_app.monai_app.infer_task import Segmentation
from scaling_app.studies import curve_job, curve_run, splits, train_runs
from scaling_app.studies.curve_job import run_curve_job
from scaling_app.studies.planning import plan_for
from scaling_app.studies.train_options import OptionError, config_of, parse_options
from scaling_app.studies.train_runs import gather, train_and_publish
from scaling_app.studies.train_stats import latest_accuracy
from scaling_app.trials import pace, run_settings

pytestmark = pytest.mark.slow_training

STEPS = 4


def options_for(desk, **request):
    return parse_options({"steps": STEPS, **request}, desk.studies.conf)


def finished(desk, purpose=None):
    return [run for run in desk.studies.ledger.runs(purpose) if run.state == "done"]


def test_the_next_training_first_tests_the_model_on_what_it_has_not_seen(desk_of):
    desk = desk_of(6)
    images = sorted(desk.labels)
    desk.submit(*images[:3])
    train_and_publish(desk.studies, options_for(desk))
    first = desk.studies.published()
    assert desk.studies.ledger.observations() == []
    desk.submit(*images[3:5])
    stats = train_and_publish(desk.studies, options_for(desk))
    seen = desk.studies.ledger.observations(kind="prequential")
    assert {o.image_id for o in seen} == set(images[3:5]) and {o.run_id for o in seen} == {first.run_id}
    assert 0 <= stats["best_metric"] <= 1 and json.loads(desk.studies.stats_file.read_text()) == stats
    assert desk.studies.published().train_ids == tuple(images[:5])


def test_models_of_other_cases_begin_with_other_weights_and_one_of_the_same_cases_with_the_same(desk_of):
    desk = desk_of(4)
    desk.submit(*list(desk.labels)[:3])
    for _ in range(2):
        train_and_publish(desk.studies, options_for(desk, seed=7))
    desk.submit(list(desk.labels)[3])
    train_and_publish(desk.studies, options_for(desk, seed=7))
    train_and_publish(desk.studies, options_for(desk, seed=8))
    first, again, larger, other = (run.seed for run in finished(desk, "published"))
    assert first == again and len({first, larger, other}) == 3
    assert desk.studies.published().load("cpu").report["seed"] == other


def test_a_patient_trained_on_never_tests_the_model(desk_of):
    desk = desk_of(4, patient_pattern="^(synthetic)_00[0-2]")
    images = sorted(desk.labels)
    desk.submit(images[0])
    train_and_publish(desk.studies, options_for(desk))
    desk.submit(*images[1:])
    train_and_publish(desk.studies, options_for(desk))
    assert {o.image_id for o in desk.studies.ledger.observations()} == {images[3]}


def test_patients_are_held_out_once_there_are_enough(desk_of, monkeypatch):
    monkeypatch.setattr(splits, "HOLD_OUT_FROM", 6)
    images = [f"synthetic_{k:03d}" for k in range(8)]
    drawn = {seed: sum(splits.drawn_role(i, seed) == splits.VALIDATION for i in images) for seed in range(99)}
    desk = desk_of(8, seed=str(next(seed for seed, held_out in drawn.items() if held_out == 3)))
    desk.submit(*desk.labels)
    stats = train_and_publish(desk.studies, options_for(desk))
    published = desk.studies.published()
    assert len(published.held_out) == 3 and not set(published.held_out) & set(published.train_ids)
    assert stats["n_val"] == len(published.held_out)
    seen = desk.studies.ledger.observations(run_id=published.run_id)
    assert {o.image_id for o in seen} == set(published.held_out)
    assert latest_accuracy(desk.studies.ledger) == pytest.approx(stats["best_metric"], abs=1e-3)


def test_a_training_that_fails_leaves_the_model_in_use(desk_of, monkeypatch):
    desk = desk_of(4)
    desk.submit(*desk.labels)
    train_and_publish(desk.studies, options_for(desk))
    before = desk.studies.published()

    def explode(*_args, **_more):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(train_runs, "train", explode)
    with pytest.raises(RuntimeError):
        train_and_publish(desk.studies, options_for(desk))
    assert desk.studies.published() == before
    assert [run.state for run in desk.studies.ledger.runs("published")] == ["done", "failed"]


def test_only_the_last_two_models_are_kept(desk_of):
    desk = desk_of(2)
    desk.submit(*desk.labels)
    for _ in range(3):
        train_and_publish(desk.studies, options_for(desk))
    assert len(list(desk.studies.folder.glob("*.pt"))) == 2
    assert desk.studies.published().model_file.is_file()


def test_a_curve_job_is_cheapest_first_resumable_and_leaves_the_model_alone(desk_of):
    desk = desk_of(7)
    desk.submit(*desk.labels)
    train_and_publish(desk.studies, options_for(desk))
    files = {
        p: hashlib.sha256(p.read_bytes()).digest()
        for p in (desk.studies.published().model_file, desk.studies.published_file, desk.studies.stats_file)
    }
    first = run_curve_job(desk.studies, options_for(desk), budget_minutes=0.0001)
    assert first["done"] == 1 and "wait for the next job" in first["message"]
    (smallest,) = finished(desk, "nested")
    rest = run_curve_job(desk.studies, options_for(desk), budget_minutes=10)
    assert rest["done"] == rest["total"] == len(finished(desk, "fold")) + len(finished(desk, "nested"))
    sizes = [run.n for run in desk.studies.ledger.runs() if run.purpose != "published"]
    once = len({run.fold for run in finished(desk, "fold")}) + len(finished(desk, "nested"))
    assert sizes[:once] == sorted(sizes[:once]) and smallest.n == min(sizes)
    runs = desk.studies.ledger.runs()
    assert run_curve_job(desk.studies, options_for(desk), budget_minutes=10)["done"] == rest["done"]
    assert desk.studies.ledger.runs() == runs
    assert files == {p: hashlib.sha256(p.read_bytes()).digest() for p in files}
    assert {o.image_id for o in desk.studies.ledger.observations(kind="fold")} == set(desk.labels)


def test_how_long_each_training_was_is_kept_and_said_with_how_many_wanted_time(
    desk_of, monkeypatch, tmp_path
):
    monkeypatch.setattr(run_settings, "steps_for", lambda cases: 2 * cases)
    begun: list[pace.Pace] = []

    def long_ones_after_a_step(self: pace.Pace, seconds: float) -> bool:
        if any(known is self for known in begun):
            return self.steps == 8
        begun.append(self)
        return False

    monkeypatch.setattr(pace.Pace, "is_out_of_time", long_ones_after_a_step)
    desk = desk_of(5)
    desk.submit(*desk.labels)
    options = options_for(desk, steps="auto")
    train_and_publish(desk.studies, options)
    run_curve_job(desk.studies, options, budget_minutes=10)
    ledger = desk.studies.ledger
    assert [(run.steps, run.ended) for run in ledger.runs("published")] == [(10, "finished")]
    assert {(run.steps, run.ended) for run in ledger.runs("nested")} == {(2, "finished"), (4, "finished")}
    folds = ledger.runs("fold")
    assert {(run.steps, run.ended) for run in folds} == {(1, "time")}
    seen = curve_observations(ledger)
    told = {o.run: o.steps for o in seen}
    assert told == {run.run_id: run.steps for run in ledger.runs() if run.run_id in told}
    said = forecast_from(ledger)["message"]
    assert "The trainings of this curve took " in said
    trainings = {(o.run, o.seed) for o in seen}
    assert f"{len(folds)} of {len(trainings)} ended when their minutes were over" in said
    table = tmp_path / "curve.csv"
    table.write_text(curve_csv(seen), encoding="utf-8")
    assert {o.run: o.steps for o in read_curve(table)} == told


def test_the_last_word_on_a_training_that_its_minutes_cut_short_are_the_steps_made(desk_of, monkeypatch):
    desk = desk_of(2, mlflow="http://127.0.0.1:1")
    desk.submit(*desk.labels)
    told: list[int] = []
    monkeypatch.setattr(train_runs, "tell", lambda _, run, steps, *more: told.append(steps))
    over = iter([False, True])
    monkeypatch.setattr(pace.Pace, "is_out_of_time", lambda self, seconds: next(over))
    stats = train_and_publish(desk.studies, options_for(desk))
    assert (stats["epoch"], stats["total_epochs"], told) == (1, 1, [1])
    assert [(run.steps, run.ended) for run in finished(desk)] == [(1, "time")]


def test_a_run_cut_off_by_a_kill_is_done_again(desk_of, monkeypatch):
    desk = desk_of(5)
    desk.submit(*desk.labels)
    trained = curve_run.train

    def killed(*_args, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr(curve_run, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        run_curve_job(desk.studies, options_for(desk), budget_minutes=10)
    assert [run.state for run in desk.studies.ledger.runs()] == ["running"]
    monkeypatch.setattr(curve_run, "train", trained)
    result = run_curve_job(desk.studies, options_for(desk), budget_minutes=10)
    assert result["done"] == result["total"] == len(finished(desk))


def test_runs_that_keep_failing_end_the_job_and_say_so(desk_of, monkeypatch):
    desk = desk_of(5)
    desk.submit(*desk.labels)

    def explode(*_args, **_more):
        raise RuntimeError("no memory")

    monkeypatch.setattr(curve_run, "train", explode)
    result = run_curve_job(desk.studies, options_for(desk), budget_minutes=10)
    assert result["done"] == 0 and "failed" in result["message"]
    assert desk.studies.ledger.job()["message"] == result["message"]
    assert {(run.state, run.message) for run in desk.studies.ledger.runs()} == {
        ("failed", "RuntimeError: no memory")
    }


def test_no_network_of_a_curve_run_is_kept(desk_of):
    desk = desk_of(5)
    desk.submit(*desk.labels)
    run_curve_job(desk.studies, options_for(desk), budget_minutes=10)
    assert list(desk.studies.folder.rglob("*.pt")) == []
    assert desk.studies.published() is None


def test_too_few_cases_for_the_curve_are_counted(desk_of):
    desk = desk_of(3)
    desk.submit(*desk.labels)
    assert (
        "begins at 5 cases; this measurement found 3 usable cases"
        in run_curve_job(desk.studies, options_for(desk), 1)["message"]
    )


def test_flagged_cases_are_left_out_and_may_leave_nothing(desk_of):
    desk = desk_of(2)
    desk.submit(*desk.labels)
    ledger = desk.studies.ledger
    for case in ledger.cases():
        ledger.save_case(replace(case, doubts=(Doubt("volume", "odd"),)))
    with pytest.raises(OptionError, match="confirm those in doubt"):
        train_and_publish(desk.studies, options_for(desk))
    ledger.confirm_label(sorted(desk.labels)[0])
    train_and_publish(desk.studies, options_for(desk))
    assert desk.studies.published().train_ids == (sorted(desk.labels)[0],)


def test_a_damaged_image_is_left_out_with_a_sentence_until_it_is_replaced(desk_of):
    desk = desk_of(3)
    desk.submit(*desk.labels)
    broken = desk.studies.image_path("synthetic_001")
    whole = broken.read_bytes()
    broken.write_bytes(whole[:2000])
    train_and_publish(desk.studies, options_for(desk))
    (doubt,) = desk.studies.ledger.case("synthetic_001").doubts
    assert doubt.kind == "unreadable_image" and "truncated" in doubt.sentence
    assert "synthetic_001" not in desk.studies.published().train_ids
    desk.intake.verify_images()
    assert desk.studies.ledger.case("synthetic_001").doubts == (doubt,)
    broken.write_bytes(whole)
    desk.intake.verify_images()
    assert desk.studies.ledger.case("synthetic_001").doubts == ()


@pytest.mark.parametrize("off_mm", [0.2, 5.0])
def test_every_label_that_counts_as_usable_can_be_trained_on(desk_of, tmp_path, off_mm):
    desk = desk_of(0)
    rng = np.random.default_rng(0)
    for index in range(3):
        label = np.zeros((16, 16, 12), np.uint8)
        label[4:12, 4 + index : 12, 3:9] = 1
        image = (rng.normal(60, 8, label.shape) + 90 * label).astype(np.float32)
        affine = np.diag([3.0, 3.0, 5.0, 1.0])
        nib.save(nib.Nifti1Image(image, affine), tmp_path / "studies" / f"case_{index}.nii.gz")
        affine[0, 3] = off_mm * (index == 2)
        desk.labels[f"case_{index}"] = tmp_path / f"case_{index}.nii.gz"
        nib.save(nib.Nifti1Image(label, affine), desk.labels[f"case_{index}"])
    desk.studies.datastore.refresh()
    for image in desk.labels:
        desk.intake.store(image, desk.labels[image], {}, None)
    desk.studies.ledger.confirm_label("case_2")
    assert len(desk.studies.ledger.usable_cases()) == (3 if off_mm < 0.3 else 2)
    train_and_publish(desk.studies, options_for(desk))


def test_the_options_table_can_be_sent_back_as_it_is(desk_of):
    conf = desk_of(1).studies.conf
    assert parse_options(config_of(conf), conf) == parse_options({}, conf)
    assert parse_options({"steps": "12", "max_minutes": "", "client_id": "x"}, conf).steps == 12


def test_settings_but_the_strategy_make_up_the_recipe_that_strategies_share(desk_of):
    conf = desk_of(1, size=8).studies.conf
    asked = ({"strategy": "red"}, {"strategy": "genda"}, {"strategy": "red", "steps": 7})
    red, genda, short = (
        parse_options(request, conf).settings_hash({"a": 1}, 3).partition(":") for request in asked
    )
    assert red[0] == genda[0] != short[0]
    assert (red[2], genda[2]) == ("red", "genda")


def test_other_label_values_are_another_recipe_and_other_names_are_not(desk_of):
    options = options_for(desk_of(1, size=8))
    recipes = [options.settings_hash(map_, 3) for map_ in ({"b": 1, "a": 2}, {"c": 2, "d": 1}, {"a": 1})]
    assert recipes[0] == recipes[1] != recipes[2]


def test_naming_the_structures_keeps_what_was_measured(desk_of, monkeypatch):
    monkeypatch.setattr(curve_job, "look_at_pool", lambda *_args, **_more: None)
    desk = desk_of(6)
    images = sorted(desk.labels)
    for image in images[:5]:
        desk.drop_into_folder(image)
    train_and_publish(desk.studies, options_for(desk))
    run_curve_job(desk.studies, options_for(desk), budget_minutes=10)
    assert set(desk.studies.structures()) == {"structure_1", "structure_2"}
    measured = curve_observations(desk.studies.ledger)
    runs = desk.studies.ledger.runs()
    desk.submit(images[5])
    names = {*synthetic.STRUCTURES}
    assert set(desk.studies.structures()) == names
    result = run_curve_job(desk.studies, options_for(desk), budget_minutes=10)
    assert result["done"] == result["total"] and desk.studies.ledger.runs() == runs
    after = curve_observations(desk.studies.ledger)
    assert {seen.structure for seen in after} == names
    new = [seen for seen in after if seen.case == images[5]]
    assert len(new) == len(names) and len(after) == len(measured) + len(new)


def test_two_processes_do_not_train_for_one_ledger_at_once(desk_of, monkeypatch):
    desk = desk_of(3)
    desk.submit(*desk.labels)
    monkeypatch.setattr(Ledger, "trainers", lambda _self: {4711})
    with pytest.raises(OptionError, match="process 4711"):
        train_and_publish(desk.studies, options_for(desk))
    assert desk.studies.ledger.runs() == []


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"strategy": "magic"}, "there are: .*baseline"),
        ({"strategy": {"red": 1}}, "there are: .*baseline"),
        ({"network": ["alexnet"]}, "there are: resenc, resunet"),
        ({"steps": 1.5}, "whole number"),
        ({"max_minutes": "nan"}, "from 0.05"),
    ],
)
def test_unusable_options_say_what_is_possible(desk_of, request_, words):
    with pytest.raises(OptionError, match=words):
        parse_options(request_, desk_of(1).studies.conf)


def test_no_memory_for_a_step_is_refused_with_the_option_that_would_do(desk_of):
    desk = desk_of(3, memory_gb="0.25", capacity="64")
    desk.submit(*desk.labels)
    with pytest.raises(ValueError, match=r"MiB are allowed.*--conf memory_gb [\d.]+ would do") as refused:
        train_and_publish(desk.studies, options_for(desk, network="swinunetr", max_minutes=0.05))
    enough = re.search(r"memory_gb ([\d.]+) would do", str(refused.value)).group(1)
    roomy = desk_of(3, memory_gb=enough, capacity="64")
    options = parse_options({"network": "swinunetr"}, roomy.studies.conf)
    assert plan_for(roomy.studies, options, gather(roomy.studies).of(desk.labels)).batch == 1


def test_a_curve_that_no_memory_allows_says_what_would_do(desk_of):
    desk = desk_of(5, memory_gb="0.25", capacity="64")
    desk.submit(*desk.labels)
    made = run_curve_job(desk.studies, options_for(desk, network="swinunetr"), 1)
    assert made["done"] == 0 < made["total"]
    assert re.match(r"Two trainings in a row failed: .*--conf memory_gb [\d.]+ would do\.$", made["message"])


def test_pictures_train_and_are_segmented_as_pictures(desk_of, tmp_path):
    desk = desk_of(0, dimension="2")
    rng = np.random.default_rng(0)
    for index in range(4):
        label = np.zeros((40, 32), np.uint8)
        label[8:24, 10 + index : 26] = 1
        image = rng.normal(60, 8, (40, 32)) + 90 * label
        for folder, array in (("studies", image.clip(0, 255)), ("truth", label)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(array.astype(np.uint8)).save(tmp_path / folder / f"picture_{index}.png")
        desk.labels[f"picture_{index}"] = tmp_path / "truth" / f"picture_{index}.png"
    desk.studies.datastore.refresh()
    for image in desk.labels:
        desk.intake.store(image, desk.labels[image], {}, None)
    train_and_publish(desk.studies, options_for(desk))
    path, facts = Segmentation(desk.studies)({"image": str(tmp_path / "studies" / "picture_0.png")})
    assert path.endswith(".png") and Image.open(path).size == (32, 40)
    assert set(facts["label_names"]) <= {"structure_1"}
