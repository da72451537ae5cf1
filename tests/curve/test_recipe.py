"""Trainings of one curve: other minutes matter to those alone that they would have left otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from scaling_app.curve.curve_points import ArmDue, UsableCase, runs_due
from scaling_app.curve.recipe import Recipe, whatever_minutes
from scaling_app.ledger import Run

AT = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


def run_of(name: str = "fold-1", after: int = 0, **more) -> Run:
    values = {"strategy": "none", "state": "done", "ended": "finished", "max_minutes": 60.0, **more}
    at = AT + timedelta(minutes=after)
    return Run(name, "fold", network="resunet", train_ids=["a"], n=1, seed=0, fold=0, started_at=at,
               settings_hash=f"s:{values['strategy']}", **values)  # fmt: skip


CUT, WHOLE = {"ended": "time", "minutes": None}, {"ended": "finished", "minutes": 20.0}
UNKNOWN = {"ended": None, "max_minutes": None, "minutes": None}


@pytest.mark.parametrize(
    ("run", "today", "counts"),
    [
        (CUT, 60.0, True),
        (CUT, 120.0, False),
        (CUT, 30.0, False),
        (WHOLE, 60.0, True),
        (WHOLE, 120.0, True),
        (WHOLE, 20.0, True),
        (WHOLE, 10.0, False),
        ({**WHOLE, "minutes": 60.1}, 60.0, True),
        ({**WHOLE, "strategy": "none+longer"}, 10.0, True),
        ({**WHOLE, "strategy": "none+longer"}, 4.0, False),
        (UNKNOWN, 10.0, True),
        ({**UNKNOWN, "ended": "time"}, 10.0, True),
        (CUT, None, True),
        ({**WHOLE, "minutes": None}, 10.0, True),
    ],
)
def test_a_training_counts_while_the_minutes_of_today_would_leave_it_as_it_is(run, today, counts):
    assert bool(Recipe("s", today).of_curve([run_of(**run)])) is counts


def test_of_one_training_made_with_several_minutes_the_newest_counts():
    runs = [run_of("x", 1, **CUT), run_of("x-90.0min", 0, max_minutes=90.0, minutes=50.0), run_of("y", 2)]
    assert {*Recipe("s", 60.0).of_curve(runs)} == {"x", "y"}
    assert {*Recipe("s", 90.0).of_curve(runs)} == {"x-90.0min", "y"}
    assert [*Recipe("other", 60.0).of_curve(runs)] == []


def test_what_wanted_time_is_due_under_another_name_and_comes_back_with_its_minutes():
    cases = [UsableCase(f"c{k}", f"p{k}", "h") for k in range(5)]
    planned = runs_due(cases, done=(), own=ArmDue("none", "s:none"), seed=0, blocks={}, again=True)
    names = [run.run_id for run in planned]
    done = [run_of(names[0], **CUT), run_of(names[-1], **CUT), run_of(names[1], **WHOLE)]
    named = [run.run_id for run in Recipe("s", 90.0).as_named(planned, done)]
    assert named == [f"{names[0]}-90.0min", *names[1:-1], f"{names[-1]}-90.0min"]
    assert [whatever_minutes(name) for name in named] == names
    done += [run_of(named[0], max_minutes=90.0, minutes=70.0), run_of(named[-1], max_minutes=90.0, **CUT)]
    for today, first, last in (
        (60.0, names[0], names[-1]),
        (90.0, named[0], named[-1]),
        (100.0, named[0], f"{names[-1]}-100.0min"),
        (65.0, f"{names[0]}-65.0min", f"{names[-1]}-65.0min"),
    ):
        again = Recipe("s", today).as_named(planned, done)
        assert [run.run_id for run in again] == [first, *names[1:-1], last]
        assert [replace(run, run_id="") for run in again] == [replace(run, run_id="") for run in planned]


def test_a_curve_is_told_from_others_by_the_minutes_where_these_ended_a_training_of_its_own():
    recipe = Recipe("s", 60.0)
    assert recipe.told([run_of(**WHOLE)]) == "s"
    assert recipe.told([run_of(**WHOLE), run_of(**CUT)]) == "s 60 min"
    assert recipe.told([run_of(**WHOLE), replace(run_of(**CUT), purpose="arm")]) == "s"
    assert Recipe("s").told([run_of(**CUT)]) == "s"
