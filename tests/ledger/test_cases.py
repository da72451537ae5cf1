"""Cases, their labels through time, doubts, exposure, and assignments made once."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_app.ledger import MOST_MINUTES, Case, Doubt, Ledger, LedgerError, utc_now

words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)
amounts = st.none() | st.floats(0, 1e6)
times = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(timezone.utc))
case_records = st.builds(
    Case,
    image_id=words,
    label_hash=words,
    saved_at=times,
    patient=words,
    annotator=st.none() | words,
    blind=st.booleans(),
    assisted=st.booleans(),
    minutes=st.none() | st.floats(0, MOST_MINUTES),
    doubts=st.lists(st.builds(Doubt, words, words), max_size=3, unique=True).map(tuple),
    sampling_weight=amounts,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return Ledger(tmp_path_factory.mktemp("shared") / "ledger.sqlite")


@given(case=case_records)
@settings(max_examples=60, deadline=None)
def test_a_case_comes_back_as_it_was_saved(shared: Ledger, case: Case) -> None:
    shared.remove_case(case.image_id)
    shared.save_case(case)
    back = shared.case(case.image_id)
    assert back is not None
    if case.minutes is None:  # minutes sent for this image earlier are kept
        back = Case(**{**back.__dict__, "minutes": None})
    assert back == case
    assert [version.label_hash for version in shared.label_history(case.image_id)][-1] == case.label_hash


@given(saves=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=12))
@settings(max_examples=15, deadline=None)
def test_the_history_tells_every_label_in_order(
    tmp_path_factory: pytest.TempPathFactory, saves: list[tuple[str, str]]
) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("history") / "ledger.sqlite")
    expected: dict[str, list[str]] = {}
    for image, label in saves:
        ledger.save_case(Case(image, label, utc_now(), image))
        if expected.setdefault(image, [None])[-1] != label:
            expected[image].append(label)
    for image, labels in expected.items():
        history = ledger.label_history(image)
        assert [version.label_hash for version in history] == labels[1:]
        assert [version.replaced_at is None for version in history] == [False] * (len(labels) - 2) + [True]
    assert [case.image_id for case in ledger.cases()] == list(expected)
    ledger.close()


def test_a_removed_case_leaves_its_history(ledger: Ledger, new_case) -> None:
    ledger.save_case(new_case(doubts=(Doubt("empty", "The label is empty."),)))
    assert ledger.remove_case("a")
    assert not ledger.remove_case("a")
    assert ledger.case("a") is None
    assert [v.label_hash for v in ledger.label_history("a")] == ["h1"]
    assert ledger.label_history("a")[0].replaced_at is not None


def test_an_open_doubt_keeps_a_case_out_until_it_is_resolved(ledger: Ledger, new_case) -> None:
    doubt = Doubt("volume", "The liver has 9000 ml.")
    ledger.save_case(new_case(doubts=(doubt,)))
    ledger.save_case(new_case("b"))
    assert [case.image_id for case in ledger.usable_cases()] == ["b"]
    assert ledger.confirm_label("a") == 1
    assert [case.image_id for case in ledger.usable_cases()] == ["a", "b"]


def test_a_resolved_doubt_stays_resolved_for_this_label_and_comes_back_for_another(
    ledger: Ledger, new_case
) -> None:
    doubt = Doubt("volume", "The liver has 9000 ml.")
    ledger.save_case(new_case(doubts=(doubt,)))
    ledger.confirm_label("a")
    ledger.save_case(new_case(doubts=(doubt,)))
    assert ledger.case("a").doubts == ()
    ledger.save_case(new_case(label_hash="h2", doubts=(doubt,)))
    assert ledger.case("a").doubts == (doubt,)


def test_a_better_label_closes_the_doubts_about_the_old_one(ledger: Ledger, new_case) -> None:
    ledger.save_case(new_case(doubts=(Doubt("empty", "The label is empty."),)))
    ledger.save_case(new_case(label_hash="h2"))
    assert ledger.case("a").doubts == ()


def test_minutes_may_come_before_the_label_and_survive_a_second_save(ledger: Ledger, new_case) -> None:
    ledger.set_minutes("a", 7.5)
    ledger.save_case(new_case())
    ledger.save_case(new_case(label_hash="h2"))
    assert ledger.case("a").minutes == 7.5


@pytest.mark.parametrize("minutes", [-1.0, float("nan"), float("inf"), 1e308])
def test_minutes_that_are_none_are_refused(ledger: Ledger, minutes: float) -> None:
    with pytest.raises(LedgerError, match="minutes"):
        ledger.set_minutes("a", minutes)


def test_a_time_without_zone_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="timezone"):
        ledger.save_case(Case("a", "h", datetime(2026, 1, 1), "a"))
    assert ledger.cases() == []


def test_times_come_back_in_utc(ledger: Ledger) -> None:
    summer = timezone(timedelta(hours=2))
    ledger.save_case(Case("a", "h", datetime(2026, 7, 1, 14, tzinfo=summer), "a"))
    assert ledger.case("a").saved_at == datetime(2026, 7, 1, 12, tzinfo=timezone.utc)


def test_exposure_counts_for_that_viewer_before_that_time(ledger: Ledger) -> None:
    now = utc_now()
    ledger.note_exposure("a", "slicer-1", now)
    later, earlier = now + timedelta(seconds=1), now - timedelta(seconds=1)
    assert ledger.was_exposed("a", "slicer-1", later)
    assert not ledger.was_exposed("a", "slicer-1", earlier)
    assert not ledger.was_exposed("a", "slicer-2", later)
    assert not ledger.was_exposed("b", "slicer-1", later)


def test_an_unknown_viewer_may_be_anyone(ledger: Ledger) -> None:
    now = utc_now()
    later = now + timedelta(seconds=1)
    ledger.note_exposure("a", None, now)
    ledger.note_exposure("b", "slicer-1", now)
    assert ledger.was_exposed("a", "slicer-2", later)
    assert ledger.was_exposed("b", None, later)


def test_the_first_assignment_wins_for_ever(ledger: Ledger) -> None:
    assert ledger.is_blind("a") is None
    assert ledger.assign_blind("a", True) is True
    assert ledger.assign_blind("a", False) is True
    assert ledger.is_blind("a") is True
    assert ledger.role("p") is None
    assert ledger.assign_role("p", "test") == "test"
    assert ledger.assign_role("p", "train") == "test"
    assert ledger.roles() == {"p": "test"}


def test_a_label_drawn_with_a_prediction_on_screen_is_not_blind(ledger: Ledger, new_case) -> None:
    ledger.save_case(new_case("seen", assisted=True))
    ledger.save_case(new_case("unseen"))
    for image in ("seen", "unseen"):
        ledger.set_blind(image, True)
    assert [case.blind for case in ledger.cases()] == [False, True]
    ledger.set_blind("unseen", False)
    assert not ledger.case("unseen").blind


def test_assignments_survive_reopening(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as first:
        first.assign_role("p", "validation")
    with Ledger(tmp_path / "l.sqlite") as second:
        assert second.assign_role("p", "training") == "validation"


def test_the_weight_of_the_last_serving_counts(ledger: Ledger) -> None:
    assert ledger.sampling_weight("a") is None
    before = ledger.revision()
    ledger.note_sampling_weight("a", 4.0)
    ledger.note_sampling_weight("a", 0.25)
    assert ledger.sampling_weight("a") == 0.25 and ledger.revision() == before
    for impossible in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(LedgerError, match="above 0"):
            ledger.note_sampling_weight("a", impossible)


def test_doubts_about_a_label_that_was_replaced_are_not_written(ledger: Ledger, new_case) -> None:
    ledger.save_case(new_case(label_hash="old"))
    ledger.save_case(new_case(label_hash="new", minutes=3.0))
    assert not ledger.set_doubts("a", "old", [Doubt("empty", "Empty.")])
    assert ledger.case("a").doubts == ()
    assert ledger.set_doubts("a", "new", [Doubt("empty", "Empty.")])
    case = ledger.case("a")
    assert (case.label_hash, case.minutes, case.doubts) == ("new", 3.0, (Doubt("empty", "Empty."),))
