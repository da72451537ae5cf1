"""From the ledger to the forecast's terms."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling_app.curve.ledger_curve import (
    annotation_time,
    curve_csv,
    curve_observations,
    forecast_from,
    overall_scores,
)
from scaling_app.forecast.forecaster import answer_question
from scaling_app.forecast.scores import read_curve
from scaling_app.ledger import Case, Doubt, Ledger, Observation, Run, utc_now
from scaling_app.service.table_lengths import counts_cut


def start(ledger: Ledger, name: str, train_ids: list[str], **more: object) -> None:
    values = {"purpose": "fold", "strategy": "genda", "network": "unet", "seed": 7, "fold": 0, **more}
    values.setdefault("settings_hash", "s")
    ledger.start_run(
        Run(name, train_ids=train_ids, n=len(train_ids), started_at=utc_now(), **values)  # type: ignore[arg-type]
    )


def test_an_observation_carries_the_size_of_its_run_and_how_its_label_was_made(ledger: Ledger) -> None:
    ledger.save_case(Case("blind", "h", utc_now(), "p", blind=True, sampling_weight=2.5))
    ledger.save_case(Case("seen", "h", utc_now(), "q", blind=True, assisted=True))
    start(ledger, "r", ["a", "b", "c"])
    ledger.finish_run(
        "r", [Observation("r", image, "liver", "fold", dice=0.5) for image in ("blind", "seen")]
    )
    blind, seen = curve_observations(ledger)
    assert (blind.n, blind.strategy, blind.network, blind.seed) == (3, "genda", "unet", 7)
    assert (blind.case, blind.run, blind.kind, blind.dice) == ("blind", "r", "fold", 0.5)
    assert (blind.blind, blind.assisted, blind.weight) == (True, False, 2.5)
    assert (seen.blind, seen.assisted, seen.weight) == (False, True, 1.0)


def test_untrained_models_and_stale_labels_are_no_points_of_a_curve(ledger: Ledger) -> None:
    ledger.save_case(Case("a", "h", utc_now(), "p"))
    start(ledger, "untrained", [])
    start(ledger, "r", ["b"])
    for run in ("untrained", "r"):
        ledger.finish_run(run, [Observation(run, "a", "liver", "fold", dice=0.5)])
    assert [seen.run for seen in curve_observations(ledger)] == ["r"]
    ledger.save_case(Case("a", "other", utc_now(), "p"))
    assert curve_observations(ledger) == []


def test_scores_under_other_settings_are_another_curve(ledger: Ledger) -> None:
    made = [("old", "fold", "short:genda"), ("new", "nested", "long:genda"), ("arm", "arm", "long:red")]
    made += [("published", "published", "short:genda"), ("old-arm", "arm", "short:red")]
    shown = []
    for name, purpose, settings in made:
        kind = "prequential" if purpose == "published" else purpose
        start(
            ledger, name, ["b"], purpose=purpose, settings_hash=settings, strategy=settings.partition(":")[2]
        )
        ledger.finish_run(name, [Observation(name, "a", "liver", kind, dice=0.5)])
        shown.append([seen.run for seen in curve_observations(ledger)])
    assert shown[0] == ["old"]
    assert shown[1] == ["new"]
    assert shown[-1] == ["new", "arm"]


def test_before_the_first_run_of_the_curve_the_newest_model_counts(ledger: Ledger) -> None:
    for name, settings in (("first", "short:genda"), ("second", "long:genda")):
        start(ledger, name, ["b"], purpose="published", settings_hash=settings)
        ledger.finish_run(name, [Observation(name, "a", "liver", "prequential", dice=0.5)])
    assert [seen.run for seen in curve_observations(ledger)] == ["second"]


def test_the_table_can_be_read_again(session, tmp_path: Path) -> None:
    for n in range(1, 9):
        session.label(n)
    observations = curve_observations(session.ledger)
    path = tmp_path / "curve.csv"
    path.write_text(curve_csv(observations), encoding="utf-8")
    assert read_curve(path) == observations


def test_the_table_tells_which_trainings_their_minutes_ended(ledger: Ledger, tmp_path: Path) -> None:
    for name, ended in (("r", "time"), ("s", "finished")):
        start(ledger, name, ["b", name])
        seen = [Observation(name, "a", "liver", "fold", dice=0.5)]
        ledger.finish_run(name, seen, steps=49, ended=ended)
    path = tmp_path / "curve.csv"
    path.write_text(curve_csv(curve_observations(ledger)), encoding="utf-8")
    assert counts_cut(read_curve(path)) == (1, 2)


def test_an_absent_structure_stays_absent_in_the_table(ledger: Ledger, tmp_path: Path) -> None:
    start(ledger, "r", ["b"])
    ledger.finish_run("r", [Observation("r", "a", 'with "quotes", commas', "fold", dice=d) for d in (None,)])
    ledger.add_observations("r", [Observation("r", "a", "liver", "fold", dice=0.0, missed=True)])
    path = tmp_path / "curve.csv"
    path.write_text(curve_csv(curve_observations(ledger)), encoding="utf-8")
    assert [(seen.structure, seen.dice) for seen in read_curve(path)] == [
        ('with "quotes", commas', None),
        ("liver", 0.0),
    ]


def test_a_forecast_has_standard_horizons_and_a_curve_around_them(answered) -> None:
    payload, _ = answered
    assert payload["status"] == "ready"
    assert payload["n_in_curve"] == 13
    for curve in [payload["overall"], *payload["structures"]]:
        assert [row["extra"] for row in curve["forecast"]] == [1, 5, 10, 13]
        sizes = [point["n"] for point in curve["curve"]]
        assert sizes == sorted(set(sizes))
        assert {13, 14, 18, 23, 26} <= set(sizes)
        assert sizes[0] == 2
    assert {point["structure"] for point in payload["observed"]} == {"anterior", "posterior", "overall"}
    assert payload["overall"]["forecast"][1]["minutes"] == pytest.approx(5 * 7)


def test_flagged_cases_are_not_counted(session) -> None:
    for n in range(1, 7):
        session.label(n)
    session.ledger.save_case(Case("bad", "h", utc_now(), "p", doubts=(Doubt("empty", "Empty."),)))
    assert forecast_from(session.ledger)["n_in_curve"] == 6


def test_too_few_cases_say_so_and_not_more(ledger: Ledger) -> None:
    payload = forecast_from(ledger, n_pool=12)
    assert payload["status"] == "too_few"
    assert payload["overall"] is None
    assert payload["advice"]["action"] == "wait"


def test_the_mean_over_structures_is_taken_case_by_case(ledger: Ledger) -> None:
    start(ledger, "r", ["b"])
    scores = {("x", "liver"): 0.8, ("x", "spleen"): 0.6, ("y", "liver"): 0.5, ("y", "spleen"): None}
    ledger.finish_run("r", [Observation("r", case, s, "fold", dice=d) for (case, s), d in scores.items()])
    together = {seen.case: seen.dice for seen in overall_scores(curve_observations(ledger))}
    assert together == pytest.approx({"x": 0.7, "y": 0.5})


def test_the_mean_over_structures_keeps_the_weight_of_its_case(ledger: Ledger) -> None:
    ledger.save_case(Case("a", "h", utc_now(), "p", sampling_weight=3.0))
    ledger.save_case(Case("b", "h", utc_now(), "q"))
    start(ledger, "r", ["b"])
    ledger.finish_run("r", [Observation("r", "a", "liver", "fold", dice=0.5)])
    assert [seen.weight for seen in overall_scores(curve_observations(ledger))] == [3.0]


def test_annotation_time_is_of_the_measured_cases() -> None:
    cases = [Case(str(k), "h", utc_now(), "p", minutes=m) for k, m in enumerate((None, 4.0, 6.0, 20.0))]
    assert annotation_time(cases) == {"minutes_per_case": 6.0, "minutes_total": 30.0, "n_timed": 3}
    assert annotation_time([])["minutes_per_case"] is None


@pytest.mark.parametrize(
    ("settings", "size", "counts"), [("long:red", 1, True), ("short:red", 1, False), ("long:red", 2, False)]
)
def test_what_other_settings_or_hardly_fewer_cases_found_confirms_no_stop(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, settings: str, size: int, counts: bool
) -> None:
    for name in "abcd":
        ledger.save_case(Case(name, "h", utc_now(), name))
    start(ledger, "r", ["b"], settings_hash="long:red")
    ledger.finish_run("r", [Observation("r", "a", "liver", "fold", dice=0.5)])
    asked: dict = {}

    def forecast(observations, **question):
        asked.update(question)
        return answer_question(observations, **question)

    monkeypatch.setattr("scaling_app.curve.ledger_curve.answer_question", forecast)
    assert forecast_from(ledger)["recipe"] == "long"
    earlier = {"n_in_curve": size, "evidence": "x", "recipe": settings.partition(":")[0]}
    ledger.save_forecast(earlier)
    forecast_from(ledger)
    assert asked["history"] == ([earlier] if counts else [])


def test_a_training_on_the_same_cases_with_the_same_seed_counts_once_and_newly(ledger: Ledger) -> None:
    for name in ("a", "b", "x", "y"):
        ledger.save_case(Case(name, f"h-{name}", utc_now(), name))
    start(ledger, "before", ["a", "b"], seed=1)
    ledger.finish_run("before", [Observation("before", i, "liver", "fold", dice=0.5) for i in ("x", "y")])
    # a label that only tests the run, which is trained again all the same
    ledger.save_case(Case("y", "corrected", utc_now(), "y"))
    start(ledger, "after", ["b", "a"], seed=1)
    ledger.finish_run("after", [Observation("after", i, "liver", "fold", dice=0.6) for i in ("x", "y")])
    start(ledger, "luck", ["a", "b"], seed=2)
    ledger.finish_run("luck", [Observation("luck", i, "liver", "fold", dice=0.7) for i in ("x", "y")])
    start(ledger, "others", ["a", "c"], seed=1)
    ledger.finish_run("others", [Observation("others", "x", "liver", "fold", dice=0.8)])
    seen = [(o.run, o.seed, o.case, o.dice) for o in curve_observations(ledger)]
    assert sorted(seen) == [
        ("before", 1, "x", 0.6),
        ("before", 1, "y", 0.6),
        ("before", 2, "x", 0.7),
        ("before", 2, "y", 0.7),
        ("others", 1, "x", 0.8),
    ]


def test_what_one_training_shows_of_several_cases_stays_together(ledger: Ledger) -> None:
    """The same cases trained on twice and each model tested on what came after it: one model, and its luck counts once."""
    for name in ("a", "x", "y"):
        ledger.save_case(Case(name, f"h-{name}", utc_now(), name))
    for name, tested in (("first", "x"), ("second", "y")):
        start(ledger, name, ["a"], purpose="published")
        ledger.finish_run(name, [Observation(name, tested, "liver", "prequential", dice=0.5)])
    first, second = curve_observations(ledger)
    assert first.run_key == second.run_key and (first.case, second.case) == ("x", "y")


def test_trainings_replaced_by_newer_ones_are_not_counted_among_those_that_wanted_time(
    ledger: Ledger,
) -> None:
    for k in range(6):
        ledger.save_case(Case(f"c{k}", "h", utc_now(), f"p{k}", blind=True))
    for name, ended in (("before", "time"), ("after", "finished")):
        start(ledger, name, ["c0", "c1"])
        tests = [Observation(name, f"c{k}", "liver", "fold", dice=0.5 + 0.05 * k) for k in range(2, 6)]
        ledger.finish_run(name, tests, steps=400, ended=ended)
    message = forecast_from(ledger)["message"]
    assert "took 400 steps." in message and "minutes were over" not in message
