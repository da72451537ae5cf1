"""Strategies compared on the session's own folds, and what `auto` makes of it."""

from __future__ import annotations

import json

import pytest

from scaling_app.curve import ledger_curve
from scaling_app.curve.ledger_curve import forecast_from
from scaling_app.ledger import Observation, Run, utc_now
from scaling_app.monai_app.train_tasks import CurveTrainer
from scaling_app.strategies.catalogue import compared_by_auto
from scaling_app.studies import curve_job, curve_run, curve_work, train_runs
from scaling_app.studies.conf import ConfError, read_conf
from scaling_app.studies.curve_job import run_curve_job
from scaling_app.studies.train_options import (
    OptionError,
    config_of,
    longer_to_try,
    parse_options,
    strategies_to_compare,
)
from scaling_app.studies.train_runs import train_and_publish

pytestmark = pytest.mark.slow_training

STEPS = 2


@pytest.fixture(autouse=True)
def steady(monkeypatch):
    """No fold is trained again, however lucky so short trainings are."""
    monkeypatch.setattr(ledger_curve, "LARGE_LUCK", 1.0)


def options_for(desk, **request):
    return parse_options({"steps": STEPS, **request}, desk.studies.conf)


def finished(desk, purpose):
    return [run for run in desk.studies.ledger.runs(purpose) if run.state == "done"]


def test_arms_are_trained_on_the_sessions_folds_and_tested_on_the_same_cases(desk_of):
    desk = desk_of(5)
    desk.submit(*desk.labels)
    result = run_curve_job(desk.studies, options_for(desk), 10, ["none"])
    folds, arms = finished(desk, "fold"), finished(desk, "arm")
    assert result["done"] == result["total"] == len(folds) + len(finished(desk, "nested")) + len(arms)
    assert {run.strategy for run in arms} == {"none"} and {run.strategy for run in folds} == {"baseline"}
    assert {run.train_ids for run in arms} == {run.train_ids for run in folds} and len(arms) == 5
    assert {run.network for run in arms} == {"resunet"}
    assert {(run.fold, run.seed) for run in arms} == {(run.fold, run.seed) for run in folds}
    assert len({run.seed for run in folds}) == 5
    tested = {
        kind: {(o.image_id, o.structure) for o in desk.studies.ledger.observations(kind=kind)}
        for kind in ("fold", "arm")
    }
    assert tested["arm"] == tested["fold"] != set()
    last_own = max(run.started_at for purpose in ("fold", "nested") for run in finished(desk, purpose))
    assert last_own < min(run.started_at for run in arms)
    again = run_curve_job(desk.studies, options_for(desk), 10, ["none"])
    assert again == result and finished(desk, "arm") == arms


def test_folds_are_trained_again_where_luck_is_large_with_weights_of_their_own(desk_of, monkeypatch):
    desk = desk_of(5)
    desk.submit(*desk.labels)
    without = run_curve_job(desk.studies, options_for(desk), 10)
    assert len(finished(desk, "fold")) == 5
    monkeypatch.setattr(ledger_curve, "LARGE_LUCK", 0.0)
    result = run_curve_job(desk.studies, options_for(desk), 10)
    folds = finished(desk, "fold")
    assert result["done"] == result["total"] == without["total"] + 2 and len(folds) == 7
    twice = [run for run in folds if run.fold in (0, 1)]
    assert len({run.seed for run in twice}) == 4 and len({(run.fold, run.train_ids) for run in twice}) == 2
    observed = ledger_curve.curve_observations(desk.studies.ledger)
    seen = {(o.run, o.seed) for o in observed if o.kind == "fold"}
    assert len(seen) == 7 and {run.seed for run in twice} <= {seed for _, seed in seen}
    assert len({name for name, _ in seen}) == 5, "what was trained again shares its cases"


def test_a_fold_that_was_begun_again_is_ended_even_where_luck_looks_small_now(desk_of, monkeypatch):
    desk = desk_of(5)
    desk.submit(*desk.labels)
    run_curve_job(desk.studies, options_for(desk), 10)
    monkeypatch.setattr(ledger_curve, "LARGE_LUCK", 0.0)
    cut = run_curve_job(desk.studies, options_for(desk), 0.0001)
    assert cut["done"] == cut["total"] - 1
    monkeypatch.setattr(ledger_curve, "LARGE_LUCK", 1.0)
    result = run_curve_job(desk.studies, options_for(desk), 10)
    assert result["done"] == result["total"] == cut["total"] and len(finished(desk, "fold")) == 7


def test_a_strategy_that_is_another_one_here_is_not_trained_beside_it(desk_of, caplog):
    desk = desk_of(5)
    desk.submit(*desk.labels)  # no image is left without a label
    with caplog.at_level("INFO"):
        run_curve_job(desk.studies, options_for(desk), 10, ["genda+pool", "genda"])
    assert {run.strategy for run in finished(desk, "arm")} == {"genda"}
    assert "genda+pool is not compared: it is genda here" in caplog.text


def test_arms_share_the_budget_and_the_next_job_goes_on_with_them(desk_of):
    desk = desk_of(5)
    desk.submit(*desk.labels)
    run_curve_job(desk.studies, options_for(desk), 10)
    first = run_curve_job(desk.studies, options_for(desk), 0.0001, ["none"])
    assert len(finished(desk, "arm")) == 1 and "4 of" in first["message"]
    run_curve_job(desk.studies, options_for(desk), 10, ["none"])
    assert len(finished(desk, "arm")) == 5


def test_longer_trains_the_own_strategy_four_times_as_long_on_the_same_folds(desk_of, monkeypatch):
    desk = desk_of(5)
    desk.submit(*desk.labels)
    trained, steps = curve_run.train, []

    def train(cases, train_ids, settings, **more):
        steps.append((settings.strategy, settings.times * settings.steps))
        return trained(cases, train_ids, settings, **more)

    monkeypatch.setattr(curve_run, "train", train)
    compared = strategies_to_compare({"compare": "longer"}, desk.studies.conf)
    run_curve_job(desk.studies, options_for(desk), 10, compared)
    arms = finished(desk, "arm")
    assert {run.strategy for run in arms} == {"baseline+longer"} and len(arms) == 5
    assert steps[-5:] == 5 * [("baseline", 4 * STEPS)] and set(steps[:-5]) == {("baseline", STEPS)}
    assert {run.recipe for run in arms} == {run.recipe for run in finished(desk, "fold")}
    (effect,) = forecast_from(desk.studies.ledger)["strategies"]
    assert effect["name"] == "baseline+longer" and effect["dice_difference"]["n_cases"] == 5


@pytest.mark.parametrize(("cases", "little", "tried"), [(5, False, False), (5, True, True), (8, False, True)])
def test_longer_trainings_are_tried_once_and_before_a_session_is_told_to_stop(
    desk_of, monkeypatch, cases, little, tried
):
    desk = desk_of(cases)
    desk.submit(*desk.labels)
    monkeypatch.setattr(curve_job, "little_to_gain", lambda ledger: little)
    longer = longer_to_try({}, desk.studies.conf)
    result = run_curve_job(desk.studies, options_for(desk), 10, longer=longer)
    arms = finished(desk, "arm")
    assert {run.strategy for run in arms} == ({"baseline+longer"} if tried else set())
    assert result["done"] == result["total"] and len(arms) == 5 * tried


def test_longer_trainings_that_the_budget_cut_short_are_taken_up_by_the_next_job(desk_of):
    desk = desk_of(8)
    desk.submit(*desk.labels)
    longer = longer_to_try({}, desk.studies.conf)
    run_curve_job(desk.studies, options_for(desk), 10)
    cut = run_curve_job(desk.studies, options_for(desk), 0.0001, longer=longer)
    assert len(finished(desk, "arm")) == 1 and cut["done"] < cut["total"]
    run_curve_job(desk.studies, options_for(desk), 10, longer=longer)
    assert len(finished(desk, "arm")) == 5


def test_a_strategy_that_keeps_failing_does_not_hold_up_the_others(desk_of, monkeypatch):
    desk = desk_of(5)
    desk.submit(*desk.labels)
    trained = curve_run.train

    def train(cases, train_ids, settings, **more):
        if settings.strategy == "red":
            raise RuntimeError("red cannot")
        return trained(cases, train_ids, settings, **more)

    monkeypatch.setattr(curve_run, "train", train)
    result = run_curve_job(desk.studies, options_for(desk), 10, ["red", "none"])
    assert len(finished(desk, "arm")) == 5 and {run.strategy for run in finished(desk, "arm")} == {"none"}
    assert (
        sum(run.state == "failed" for run in desk.studies.ledger.runs("arm")) == curve_work.FAILURES_ALLOWED
    )
    assert "failed" in result["message"]


def compared(desk, *, dice: dict[str, float], noise: float = 0.002) -> None:
    """Writes folds of the baseline and arms of others on the labelled cases, with these mean Dice."""
    cases = desk.studies.ledger.cases()
    for strategy, mean in dice.items():
        for index, case in enumerate(cases):
            kind = "fold" if strategy == "baseline" else "arm"
            rest = [other.image_id for other in cases if other is not case]
            name = f"{strategy}-{index}"
            desk.studies.ledger.start_run(
                Run(name, kind, strategy, "resunet", rest, len(rest), 0, index, "s", utc_now())
            )
            score = mean + noise * ((index * len(strategy)) % 3 - 1)
            desk.studies.ledger.finish_run(
                name, [Observation(name, case.image_id, "organ", kind, dice=score, nsd=score)]
            )


def test_auto_publishes_with_the_winner_and_says_why(desk_of):
    desk = desk_of(5, strategy="auto")
    desk.submit(*desk.labels)
    compared(desk, dice={"baseline": 0.7, "none": 0.74, "red": 0.72})
    stats = train_and_publish(desk.studies, options_for(desk))
    (run,) = desk.studies.ledger.runs("published")
    assert run.strategy == desk.studies.published().strategy == stats["strategy"] == "none"
    assert run.message == stats["strategy_reason"] and "none: +4.0 points" in run.message
    assert json.loads(desk.studies.stats_file.read_text()) == stats


@pytest.mark.parametrize(
    ("dice", "words"),
    [
        ({}, "no other strategy has been compared"),
        ({"baseline": 0.7, "none": 0.66}, "no other strategy is better beyond doubt"),
    ],
)
def test_auto_falls_back_to_the_baseline_without_evidence(desk_of, dice, words):
    desk = desk_of(5)
    desk.submit(*desk.labels)
    compared(desk, dice=dice)
    train_and_publish(desk.studies, options_for(desk, strategy="auto"))
    (run,) = desk.studies.ledger.runs("published")
    assert run.strategy == "baseline" and words in run.message


def test_patients_held_out_from_the_published_model_have_no_say_in_its_strategy(desk_of):
    desk = desk_of(6, strategy="auto")
    desk.submit(*desk.labels)
    compared(desk, dice={"baseline": 0.7, "none": 0.74})
    material, options = train_runs.gather(desk.studies), options_for(desk)
    held_out = list(material.cases)[:4]
    assert train_runs._settled(desk.studies, options, material, []).strategy == "none"
    choice = train_runs._settled(desk.studies, options, material, held_out)
    assert choice.strategy == "baseline" and "no other strategy has been compared" in choice.reason


def test_auto_never_trains_longer_by_itself(desk_of):
    desk = desk_of(5, strategy="auto")
    desk.submit(*desk.labels)
    compared(desk, dice={"baseline": 0.7, "baseline+longer": 0.8, "red": 0.72})
    train_and_publish(desk.studies, options_for(desk))
    assert desk.studies.published().strategy == "red"


def test_the_curve_of_auto_is_the_baselines(desk_of):
    desk = desk_of(5, strategy="auto")
    desk.submit(*desk.labels)
    run_curve_job(desk.studies, options_for(desk), 10)
    plain = options_for(desk, strategy="baseline")
    runs = finished(desk, "fold")
    assert {run.strategy for run in runs} == {"baseline"}
    run_curve_job(desk.studies, plain, 10)
    assert finished(desk, "fold") == runs


def test_what_is_compared_comes_from_the_request_then_the_conf_then_the_strategy(desk_of, tmp_path):
    conf = desk_of(1).studies.conf
    assert strategies_to_compare({}, conf) == ()
    assert strategies_to_compare({"strategy": "auto"}, conf) == ("regda+pool", "genda+pool", "genda")
    assert strategies_to_compare({"strategy": "auto", "compare": ""}, conf) == ()
    assert strategies_to_compare({"compare": "red, genda,red"}, conf) == ("red", "genda")
    assert strategies_to_compare({"compare": "red,baseline"}, conf) == ("red",)
    assert strategies_to_compare({"compare": "longer", "strategy": "red"}, conf) == ("red+longer",)
    assert longer_to_try({"strategy": "red"}, conf) == ("red+longer",)
    assert longer_to_try({"strategy": "auto"}, conf) == ("baseline+longer",)
    assert longer_to_try({"compare": "red"}, conf) == ("baseline+longer",)
    assert longer_to_try({"compare": ""}, conf) == ()
    told = read_conf({"compare": "none,red"}, app_dir=tmp_path, studies="s")
    assert strategies_to_compare({"strategy": "auto"}, told) == ("none", "red")
    table = CurveTrainer(desk_of(1).studies, lambda: False).config()
    assert strategies_to_compare(table, conf) == strategies_to_compare({}, conf)
    assert config_of(conf)["strategy"][-1] == "auto"


def test_steps_set_in_the_meantime_are_the_default_of_every_trainer(desk_of):
    desk = desk_of(1)
    trainer = CurveTrainer(desk.studies, lambda: False)
    assert (trainer.config()["steps"], desk.studies.conf.steps) == ("auto", None)
    desk.studies.ledger.set_setting("steps", 1600)
    assert trainer.config()["steps"] == 1600
    assert parse_options({}, desk.studies.training_conf).steps == 1600
    assert parse_options({"steps": 9}, desk.studies.training_conf).steps == 9
    desk.studies.ledger.set_setting("steps", "auto")
    assert trainer.config()["steps"] == "auto"
    assert parse_options({}, desk.studies.training_conf).steps is None
    assert parse_options({"steps": ["auto", 9]}, desk.studies.conf).steps is None


@pytest.mark.parametrize("compare", ["nonsense", "genda,nonsense", "auto,genda"])
def test_unknown_strategies_to_compare_are_refused_with_those_there_are(desk_of, tmp_path, compare):
    with pytest.raises(OptionError, match=r"compare.*baseline"):
        strategies_to_compare({"compare": compare}, desk_of(1).studies.conf)
    with pytest.raises(ConfError, match=r"--conf compare.*baseline"):
        read_conf({"compare": compare}, app_dir=tmp_path, studies="s")


def test_a_whole_round_of_auto_compares_its_strategies_and_the_forecast_names_them(desk_of):
    desk = desk_of(5, size=12, strategy="auto")
    desk.submit(*desk.labels)  # no image is left without a label, where genda+pool is genda
    compared = {*compared_by_auto()} - {"genda+pool"}
    job = CurveTrainer(desk.studies, lambda: True)({"steps": STEPS}, desk.studies.datastore)
    assert job["done"] == job["total"]
    assert {run.strategy for run in finished(desk, "arm")} == compared
    arms = {arm["name"]: arm for arm in forecast_from(desk.studies.ledger)["strategies"]}
    assert set(arms) == compared
    for arm in arms.values():
        assert arm["dice_difference"]["n_cases"] == 5 and arm["kappa"]["lo80"] < arm["kappa"]["hi80"]
        assert arm["nsd_difference"]["lo80"] <= arm["nsd_difference"]["hi80"]
    train_and_publish(desk.studies, options_for(desk))
    assert desk.studies.published().strategy in {"baseline", *compared}


def test_arms_that_fail_do_not_keep_folds_from_being_trained_again(desk_of, monkeypatch):
    desk = desk_of(5)
    desk.submit(*desk.labels)
    monkeypatch.setattr(ledger_curve, "LARGE_LUCK", 0.0)
    trained, told = curve_run.train, []

    def train(cases, train_ids, settings, **more):
        if settings.strategy == "none":
            raise ValueError("no such luck")
        told.append(desk.studies.ledger.job()["message"])
        return trained(cases, train_ids, settings, **more)

    monkeypatch.setattr(curve_run, "train", train)
    result = run_curve_job(desk.studies, options_for(desk), 10, ["none"])
    assert len(finished(desk, "fold")) == 7
    assert (result["done"], result["total"]) == (result["total"] - 5, len(told) + 5)
    assert [" once more (fold" in message for message in told] == [False] * (len(told) - 2) + [True] * 2
