"""`max_minutes` that change in the middle of a session: the curve is that of today's, and what was measured stays."""

from __future__ import annotations

import re

import pytest

from scaling_app.curve import ledger_curve
from scaling_app.curve.ledger_curve import curve_observations, forecast_from
from scaling_app.studies import curve_job, curve_work
from scaling_app.studies.curve_job import run_curve_job
from scaling_app.studies.train_options import parse_options
from scaling_app.studies.train_runs import train_and_publish
from scaling_app.trials import pace, run_settings
from scaling_app.trials.failures import TrainingError

pytestmark = pytest.mark.slow_training

SHORT, ENOUGH = 10.0, 60.0


@pytest.fixture
def desk(desk_of, monkeypatch):
    """Trainings on more than two cases want more than the short minutes, and end after one step."""
    monkeypatch.setattr(ledger_curve, "LARGE_LUCK", 1.0)
    monkeypatch.setattr(run_settings, "steps_for", lambda cases: 2 * cases)
    begun: list[pace.Pace] = []

    def is_out_of_time(self: pace.Pace, seconds: float) -> bool:
        if any(known is self for known in begun):
            return self.steps > 4 and self.max_minutes == SHORT
        begun.append(self)
        return False

    monkeypatch.setattr(pace.Pace, "is_out_of_time", is_out_of_time)
    desk = desk_of(5)
    desk.submit(*desk.labels)
    return desk


def curve(desk, minutes, compared=(), budget_minutes=10):
    options = parse_options({"steps": "auto", "max_minutes": minutes}, desk.studies.conf)
    return run_curve_job(desk.studies, options, budget_minutes, compared=compared)


def done(desk):
    return {run.run_id: run for run in desk.studies.ledger.runs() if run.state == "done"}


def test_trainings_that_wanted_time_are_made_again_with_more_and_no_other(desk):
    first = curve(desk, SHORT, ["none"])
    before = done(desk)
    assert {(run.purpose, run.ended) for run in before.values()} == {
        ("fold", "time"),
        ("arm", "time"),
        ("nested", "finished"),
    }
    assert {run.max_minutes for run in before.values()} == {SHORT}
    assert all((run.minutes is None) == (run.ended == "time") for run in before.values())
    curve(desk, ENOUGH, ["none"])
    after = done(desk)
    made = [run for name, run in after.items() if name not in before]
    assert {(run.purpose, run.ended, run.max_minutes) for run in made} == {
        ("fold", "finished", ENOUGH),
        ("arm", "finished", ENOUGH),
    }
    assert len(made) == 10 and before.items() <= after.items()
    seen = curve_observations(desk.studies.ledger)
    assert {o.steps for o in seen if o.kind in ("fold", "arm")} == {8}
    assert len({(o.run, o.seed) for o in seen}) == first["total"], "each training once, the nested ones too"
    assert " ended when their minutes were over" not in forecast_from(desk.studies.ledger)["message"]
    assert curve(desk, ENOUGH, ["none"])["done"] == first["total"] and done(desk) == after


def test_fewer_minutes_than_finished_trainings_needed_make_them_due_again_and_more_do_not(desk, monkeypatch):
    curve(desk, ENOUGH)
    before = done(desk)
    curve(desk, 2 * ENOUGH)
    assert done(desk) == before
    needed = max(run.minutes for run in before.values() if run.purpose == "fold")
    assert 0 < needed < 1
    with desk.studies.ledger._write() as connection:
        connection.exec_driver_sql("UPDATE runs SET minutes = 30 WHERE purpose = 'fold'")
    curve(desk, SHORT)
    made = [run for name, run in done(desk).items() if name not in before]
    assert {(run.purpose, run.ended) for run in made} == {("fold", "time")} and len(made) == 5
    assert {o.steps for o in curve_observations(desk.studies.ledger) if o.kind == "fold"} == {1}
    curve(desk, ENOUGH)
    assert len(done(desk)) == len(before) + 5, "as it was: nothing has to be made"
    assert {o.steps for o in curve_observations(desk.studies.ledger) if o.kind == "fold"} == {8}


def test_a_published_model_of_other_minutes_is_no_point_of_the_curve(desk):
    options = parse_options({"steps": "auto", "max_minutes": SHORT}, desk.studies.conf)
    train_and_publish(desk.studies, options)
    assert [(run.ended, run.max_minutes) for run in done(desk).values()] == [("time", SHORT)]
    assert {o.kind for o in curve_observations(desk.studies.ledger)} <= {"prequential"}
    curve(desk, ENOUGH)
    assert "prequential" not in {o.kind for o in curve_observations(desk.studies.ledger)}


def test_luck_is_asked_about_once_all_are_made_with_the_minutes_of_today(desk, monkeypatch):
    first = curve(desk, SHORT)
    monkeypatch.setattr(curve_job, "luck_is_large", lambda ledger: True)
    begun = curve(desk, ENOUGH, budget_minutes=1e-6)
    assert 0 < begun["done"] < begun["total"] == first["total"]
    whole = curve(desk, ENOUGH)
    assert whole["done"] == whole["total"] == first["total"] + 2


def test_minutes_in_which_no_step_fits_are_refused_with_those_that_would_do(desk, monkeypatch):
    monkeypatch.setattr(pace.Pace, "is_out_of_time", lambda self, seconds: self.max_minutes == SHORT)
    options = parse_options({"steps": "auto", "max_minutes": SHORT}, desk.studies.conf)
    would_do = r"not one training step fits into the minutes.* at least \d+ times as many minutes"
    with pytest.raises(TrainingError, match=would_do):
        train_and_publish(desk.studies, options)
    assert desk.studies.published() is None
    made = curve(desk, SHORT)
    assert (made["done"], made["total"]) == (0, 9)
    assert re.match("Two trainings in a row failed: " + would_do, made["message"])
    assert not done(desk)
    curve(desk, ENOUGH)
    assert {run.steps > 0 for run in done(desk).values()} == {True}


def test_a_comparison_that_fails_keeps_none_of_the_others_of_new_minutes_from_counting(desk, monkeypatch):
    curve(desk, SHORT, ["none"])
    with desk.studies.ledger._write() as connection:  # the session's own were quicker
        connection.exec_driver_sql("UPDATE runs SET ended = 'finished', minutes = 1 WHERE purpose = 'fold'")
    carry_out = curve_work.carry_out

    def one_fails(run, **more):
        if run.settings.strategy == "none" and len(run.testing) and run.testing[0].case_id == failing:
            raise ValueError("not today")
        return carry_out(run, **more)

    failing = min(desk.labels)
    monkeypatch.setattr(curve_work, "carry_out", one_fails)
    made = curve(desk, ENOUGH, ["none"])
    assert made["done"] == made["total"] - 1
    arms = [o for o in curve_observations(desk.studies.ledger) if o.kind == "arm"]
    assert {o.steps for o in arms} == {8} and failing not in {o.case for o in arms}
