"""Settings, forecasts, the job's progress, and the revision that tells when a forecast is out of date."""

from __future__ import annotations

import math
import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_app.ledger import Doubt, Ledger, LedgerError, Observation, utc_now
from scaling_app.service.outcomes import Outcome, outcomes_of

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=json_values)
@settings(max_examples=50, deadline=None)
def test_a_setting_comes_back(shared_notes: Ledger, value: object) -> None:
    shared_notes.set_setting("key", value)
    assert shared_notes.setting("key") == value


@pytest.fixture(scope="module")
def shared_notes(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return Ledger(tmp_path_factory.mktemp("notes") / "ledger.sqlite")


def test_a_setting_that_is_not_there_has_the_default(ledger: Ledger) -> None:
    assert ledger.setting("target") is None
    assert ledger.setting("target", 0.8) == 0.8


def test_what_is_no_json_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="JSON"):
        ledger.set_setting("key", object())


def test_no_number_that_json_lacks_gets_in(ledger: Ledger) -> None:
    ledger.save_forecast({"mean": math.nan, "all": (1.0, math.inf)})
    assert ledger.latest_forecast() == ({"mean": None, "all": [1.0, None]}, 0)


def test_the_latest_forecast_is_the_one_of_the_newest_revision(ledger: Ledger) -> None:
    assert ledger.latest_forecast() is None
    ledger.save_forecast({"k": 2}, revision=2)
    ledger.save_forecast({"k": 1}, revision=1)
    assert ledger.latest_forecast() == ({"k": 2}, 2)
    assert ledger.forecasts() == [{"k": 2}, {"k": 1}]


def test_of_the_forecasts_at_one_number_of_cases_the_newest_stays(ledger: Ledger) -> None:
    for k, n in enumerate((4, 5, 5, 6)):
        ledger.save_forecast({"k": k, "n_in_curve": n}, revision=k)
    assert [past["k"] for past in ledger.forecasts()] == [0, 2, 3]


def test_old_forecasts_make_room(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaling_app.ledger.notes.KEPT_FORECASTS", 3)
    for k in range(5):
        ledger.save_forecast({"k": k}, revision=k)
    assert ledger.forecasts() == [{"k": 2}, {"k": 3}, {"k": 4}]


def test_the_forecast_of_a_size_is_never_pushed_out_by_those_of_others(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaling_app.ledger.notes.KEPT_FORECASTS", 3)
    for k, n in enumerate((5, 6, 7, 6, 7, 6, 7, None)):
        ledger.save_forecast({"k": k, **({} if n is None else {"n_in_curve": n})})
    assert [past["k"] for past in ledger.forecasts()] == [0, 5, 6, 7]


def test_the_forecast_of_so_many_cases_at_most_is_the_newest_from_other_evidence(ledger: Ledger) -> None:
    assert ledger.forecast_up_to(8, "b") is None
    for n, evidence in ((0, "x"), (4, ""), (5, "a"), (6, "b"), (7, "b")):
        ledger.save_forecast({"n_in_curve": n, "evidence": evidence})

    def found(n: int, evidence: str) -> int | None:
        past = ledger.forecast_up_to(n, evidence)
        return past and past["n_in_curve"]

    assert [found(7, "c"), found(7, "b"), found(6, "c"), found(4, "c")] == [7, 5, 6, 4]
    assert found(3, "c") is None


def test_a_forecast_that_says_nothing_of_its_evidence_had_another(ledger: Ledger) -> None:
    ledger.save_forecast({"n_in_curve": 4, "k": 1})
    assert ledger.forecast_up_to(4, "a") == ledger.forecast_up_to(4, "") == {"n_in_curve": 4, "k": 1}


def test_the_levels_are_what_the_outcomes_of_forecasts_need(ledger: Ledger) -> None:
    row = {"n": 9, "mean": 0.8, "lo80": 0.7, "hi80": 0.9}
    for n, mean in ((4, 0.7), (9, 0.75)):
        overall = {"now": {"mean": mean}, "forecast": [row] if n == 4 else [], "curve": [row]}
        ledger.save_forecast({"n_in_curve": n, "overall": overall, "observed": [row]})
    ledger.save_forecast({"n_in_curve": 10, "overall": None})
    ledger.save_forecast({"n_in_curve": 11, "overall": {"now": {"mean": None}}})
    assert ledger.forecast_levels()[0] == {
        "n_in_curve": 4,
        "recipe": None,
        "overall": {"now": {"mean": 0.7}, "forecast": [row]},
    }
    assert [past["n_in_curve"] for past in ledger.forecast_levels()] == [4, 9]
    assert outcomes_of(ledger.forecast_levels()) == outcomes_of(ledger.forecasts())
    assert outcomes_of(ledger.forecasts()) == [Outcome(made_at=4, **row, came=0.75)]


def test_a_forecast_is_held_against_what_came_with_the_same_recipe_alone(ledger: Ledger) -> None:
    row = {"n": 9, "mean": 0.8, "lo80": 0.7, "hi80": 0.9}
    for n, recipe in ((4, "short"), (5, "long"), (9, "long")):
        overall = {"now": {"mean": 0.75}, "forecast": [row] if n < 9 else []}
        ledger.save_forecast({"n_in_curve": n, "recipe": recipe, "overall": overall})
    assert [past["recipe"] for past in ledger.forecast_levels()] == ["short", "long", "long"]
    assert [outcome.made_at for outcome in outcomes_of(ledger.forecast_levels())] == [5]


def test_the_revision_moves_with_what_can_change_a_forecast_and_with_nothing_else(
    ledger: Ledger, new_case, new_run
) -> None:
    def moved_by(write) -> bool:
        before = ledger.revision()
        write()
        return ledger.revision() != before

    assert moved_by(lambda: ledger.save_case(new_case(doubts=(Doubt("empty", "Empty."),))))
    assert moved_by(lambda: ledger.set_minutes("a", 3))
    assert moved_by(lambda: ledger.confirm_label("a"))
    assert moved_by(lambda: ledger.set_setting("target", 0.8))
    assert not moved_by(lambda: ledger.set_setting("target", 0.8))
    assert moved_by(lambda: ledger.set_setting("minutes_per_point", 2.0))
    assert not moved_by(lambda: ledger.set_setting("structures", {"a": 1}))
    assert not moved_by(lambda: ledger.start_run(new_run("r")))
    assert moved_by(lambda: ledger.finish_run("r"))
    assert moved_by(lambda: ledger.add_observations("r", [Observation("r", "a", "s", "fold")]))
    assert moved_by(lambda: ledger.rename_structure("s", "t"))
    assert moved_by(lambda: ledger.remove_case("a"))
    assert not moved_by(lambda: ledger.note_exposure("a", None, utc_now()))
    assert not moved_by(lambda: ledger.assign_role("p", "train"))
    assert not moved_by(lambda: ledger.set_job({"state": "running", "done": 1, "total": 2}))
    assert not moved_by(lambda: ledger.save_forecast({}))


def test_the_job_says_how_far_it_is(ledger: Ledger) -> None:
    assert ledger.job()["state"] == "idle"
    ledger.set_job({"state": "running", "done": 3, "total": 9, "eta_seconds": math.nan})
    expected = {"state": "running", "done": 3, "total": 9, "eta_seconds": None, "message": None}
    assert ledger.job() == expected
    with pytest.raises(LedgerError, match="idle or running"):
        ledger.set_job({"state": "dreaming"})


@pytest.mark.skipif(os.name != "posix", reason="only POSIX tells whether a process lives")
def test_a_job_whose_process_died_is_not_running(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    job = {"state": "running", "done": 1}
    worker = multiprocessing.get_context("fork").Process(target=lambda: Ledger(path).set_job(job))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    job = Ledger(path).job()
    assert job["state"] == "idle"
    assert "interrupted" in job["message"]
    Ledger(path).close_unfinished_job("stopped by a user")
    assert Ledger(path).job() == {**job, "message": "stopped by a user"}


def test_a_job_whose_process_lives_is_not_closed(ledger: Ledger) -> None:
    ledger.set_job({"state": "running", "done": 1, "total": 2})
    ledger.close_unfinished_job("interrupted", elsewhere=True)
    assert ledger.job()["state"] == "running"
