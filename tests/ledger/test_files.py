"""What was found in files is remembered as it was, and replaced as a whole."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaling_app.ledger import LabelNote, Ledger, PoolCase, ShapeCoverage

NAMES = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
NOTES = st.builds(
    LabelNote,
    volumes_ml=st.dictionaries(st.integers(0, 2**31), st.floats(0, 1e9), max_size=4),
    named=st.lists(st.tuples(NAMES, st.integers(0, 2**31)), max_size=4).map(tuple),
    stamp=st.none() | st.tuples(NAMES, st.integers(0, 2**62), st.integers(0, 2**62)),
    label_hash=NAMES,
)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAMES, NOTES, max_size=4), st.dictionaries(NAMES, NOTES, max_size=4))
def test_notes_come_back_as_they_were_and_the_last_one_of_an_image_counts(
    ledger: Ledger, first, second
) -> None:
    ledger.forget_label_notes(ledger.label_notes())
    ledger.keep_label_notes(first)
    ledger.keep_label_notes(second)
    assert ledger.label_notes() == {**first, **second}
    ledger.forget_label_notes(second)
    assert set(ledger.label_notes()) == set(first) - set(second)


def test_checked_images_are_remembered_by_their_newest_stamp(ledger: Ledger) -> None:
    ledger.note_checked_images({"a": ("1", {"channels": 1}), "b": ("1", {})})
    ledger.note_checked_images({"a": ("2", {"channels": 3})})
    ledger.note_checked_images({})
    assert ledger.checked_images() == {"a": ("2", {"channels": 3}), "b": ("1", {})}


def test_a_block_of_the_curve_keeps_its_order_and_is_replaced_as_a_whole(ledger: Ledger) -> None:
    ledger.set_curve_block(5, ["c", "a", "b"])
    ledger.set_curve_block(8, ["a"])
    ledger.set_curve_block(8, ["b", "a"])
    assert ledger.curve_blocks() == {5: ["c", "a", "b"], 8: ["b", "a"]}


@pytest.mark.parametrize("cases", [(), (PoolCase("b", 2.5, True), PoolCase("a", 0.5, False))])
def test_a_comparison_of_the_pool_takes_the_place_of_the_one_before(ledger: Ledger, cases) -> None:
    assert ledger.shape_coverage() is None
    ledger.set_shape_coverage(ShapeCoverage("old", True, None, 3, (PoolCase("x", 1.0, False),)))
    newest = ShapeCoverage("new", False, "run", 5, cases)
    ledger.set_shape_coverage(newest)
    assert ledger.shape_coverage() == newest


def test_nothing_of_it_moves_the_forecast(ledger: Ledger) -> None:
    before = ledger.revision()
    ledger.keep_label_notes({"a": LabelNote({1: 2.0}, (("liver", 1),), None, "h")})
    ledger.note_checked_images({"a": ("1", {})})
    ledger.set_curve_block(5, ["a"])
    ledger.set_shape_coverage(ShapeCoverage("x", True, None, 3, ()))
    assert ledger.revision() == before
