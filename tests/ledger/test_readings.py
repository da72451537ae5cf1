"""Readers, their agreement, and leases, as the ledger keeps them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scaling_app.ledger import Lease, Ledger, Reading, ReadingScore, reader_of, utc_now


@pytest.mark.parametrize("name", ["Anna Ek", " anna  ek ", "ANNA\tEK", "Ａnna Ek"])
def test_spaces_and_capitals_make_nobody_another_reader(name: str) -> None:
    assert reader_of(name) == "anna ek"


@pytest.mark.parametrize("name", [None, "", "  \t"])
def test_an_empty_name_is_nobody(name: str | None) -> None:
    assert reader_of(name) == ""


def test_a_case_is_its_annotators_newest_reading(ledger: Ledger, new_case) -> None:
    ledger.save_case(new_case(annotator="Anna"))
    ledger.save_case(new_case(label_hash="h2", annotator="anna "), independent=True)
    (reading,) = ledger.readings("a")
    assert (reading.reader, reading.label_hash, reading.independent) == ("anna", "h2", True)


def test_what_was_read_alone_stays_the_reading_of_whoever_looks_and_corrects(
    ledger: Ledger, new_case
) -> None:
    ledger.save_case(new_case(annotator="anna"), independent=True)
    ledger.save_case(new_case(label_hash="h2", annotator="anna"))
    assert [(one.label_hash, one.independent) for one in ledger.readings("a")] == [("h1", True)]
    assert ledger.case("a").label_hash == "h2"
    ledger.save_reading(Reading("a", "anna", "h3", utc_now()))
    assert [(one.label_hash, one.independent) for one in ledger.readings("a")] == [("h3", False)]


def test_nobody_knows_who_read_a_case_without_annotator(ledger: Ledger, new_case) -> None:
    ledger.save_case(new_case(annotator=None), independent=True)
    assert ledger.readings() == []


def test_what_was_asked_stays_asked_when_it_was_saved(ledger: Ledger) -> None:
    ledger.ask_reading("a", "ben")
    asked = ledger.reading("a", "ben")
    ledger.ask_reading("a", "ben")
    ledger.note_reading_minutes("a", "ben", 4.0)
    ledger.save_reading(Reading("a", "ben", "h2", utc_now(), independent=True))
    saved = ledger.reading("a", "ben")
    assert saved.asked_at == asked.asked_at and saved.label_hash == "h2" and saved.minutes == 4.0
    ledger.ask_reading("a", "ben")
    assert ledger.reading("a", "ben") == saved


def test_ones_own_label_is_nobody_elses(ledger: Ledger) -> None:
    ledger.note_exposure("a", "Anna", utc_now(), label_by="anna")
    assert not ledger.saw_label_of_others("a", "anna") and not ledger.was_exposed("a", "Anna")
    assert not ledger.saw_label_of_others("a", "ben")
    ledger.note_exposure("a", "Ben", utc_now(), label_by="anna")
    assert ledger.saw_label_of_others("a", "ben") and not ledger.saw_label_of_others("b", "ben")


def test_a_label_that_went_to_somebody_unknown_may_have_been_seen_by_anybody(ledger: Ledger) -> None:
    ledger.note_exposure("a", None, utc_now(), label_by="anna")
    assert ledger.saw_label_of_others("a", "ben") and not ledger.saw_label_of_others("a", "anna")
    ledger.note_exposure("b", "Ben", utc_now(), label_by="")
    assert ledger.saw_label_of_others("b", "ben")


def test_agreements_of_an_image_are_replaced_as_a_whole_and_move_the_forecast(ledger: Ledger) -> None:
    one = ReadingScore("a", "ben", "liver", "h2", "anna", "h1", 0.9, 0.8, 2.0)
    other = ReadingScore("a", "ben", "spleen", "h2", "anna", "h1", None, None, 2.0, one_only=True)
    before = ledger.revision()
    ledger.keep_reading_scores("a", [one, other])
    assert ledger.reading_scores() == [one, other] and ledger.revision() > before
    assert ledger.rename_structure("liver", "organ") == 0
    assert [found.structure for found in ledger.reading_scores()] == ["organ", "spleen"]
    ledger.keep_reading_scores("a", [])
    assert ledger.reading_scores() == []


def test_the_last_lease_of_a_case_counts_and_moves_no_forecast(ledger: Ledger) -> None:
    now, before = utc_now(), ledger.revision()
    ledger.keep_lease(Lease("a", "anna", now - timedelta(hours=1)))
    ledger.keep_lease(Lease("a", "ben", now, ended=True))
    assert ledger.leases() == [Lease("a", "ben", now, ended=True)] and ledger.revision() == before
