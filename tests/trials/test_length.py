"""A training is as long as its cases ask for, unless somebody says how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_app.trials.length import (
    AUTO_STEPS,
    LEAST_MINUTES,
    MOST_MINUTES,
    MOST_STEPS,
    parse_minutes,
    parse_steps,
    steps_for,
)
from scaling_app.trials.step_report import StepReport


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_more_cases_never_ask_for_fewer_steps_nor_for_more_passes_over_each(one, other):
    few, many = sorted((one, other))
    assert steps_for(few) <= steps_for(many)
    assert steps_for(many) / many <= steps_for(few) / few


def test_a_training_without_cases_has_no_length():
    with pytest.raises(ValueError, match="at least one case"):
        steps_for(0)


def test_steps_are_a_number_or_auto_and_nothing_else():
    assert parse_steps(AUTO_STEPS) is None and parse_steps("1600") == 1600
    for text in ("", "0", "-1", "1.5", "many", "AUTO", "²", str(MOST_STEPS + 1), "1e3", "9" * 5000):
        with pytest.raises(ValueError, match="auto, or a whole number from 1 to"):
            parse_steps(text)


def test_minutes_are_a_number_between_seconds_and_a_week():
    assert [parse_minutes(text) for text in ("0.05", "7.5", "10080")] == [LEAST_MINUTES, 7.5, MOST_MINUTES]
    for text in ("", "0", "0.049", "-1", "nan", "inf", "many", "10081"):
        with pytest.raises(ValueError, match=r"from 0\.05 to 10080 is wanted"):
            parse_minutes(text)


@pytest.mark.parametrize(
    ("step", "seconds", "left", "phase", "share"),
    [
        (0, 0.0, None, "preparing", 0.0),
        (100, 25.0, 75.0, "training", 0.25),  # its steps end it
        (100, 25.0, 5.0, "training", 25 / 30),  # its minutes end it
        (100, 30.0, 0.0, "training", 1.0),
        (100, 30.0, None, "done", 1.0),
    ],
)
def test_what_is_done_of_a_training_follows_the_minutes_that_will_end_it(
    step: int, seconds: float, left: float | None, phase: str, share: float
) -> None:
    report = StepReport(step, 400, None, seconds, left, phase)  # type: ignore[arg-type]
    assert report.share == pytest.approx(share)
