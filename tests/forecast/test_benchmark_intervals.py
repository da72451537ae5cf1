"""The intervals of the benchmarks' tables: over what is independent, and as wide as few of these ask for."""

from __future__ import annotations

import re

import numpy as np
import pytest

from benchmarks.common.tables import clustered_share, errors, held, share, task_mean
from benchmarks.forecast.bank_stops import stopping
from benchmarks.forecast.bank_tests import RATIOS, Answer, BankSession
from benchmarks.luck.run import pooled
from tests.forecast.test_benchmark import bank_curve


def ends(text: str) -> tuple[float, float]:
    """Of `... [lo, hi]`."""
    low, high = re.findall(r"[-\d.]+", text[text.index("[") :])
    return float(low), float(high)


def test_the_interval_of_few_tasks_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    intervals = [task_mean(rng.normal(3, 1, 8), np.arange(8))[1:] for _ in range(2000)]
    assert 0.93 < np.mean([low <= 3 <= high for low, high in intervals]) < 0.97


def test_a_share_that_no_task_departs_from_is_no_certainty() -> None:
    assert held(np.ones(9), np.arange(9)) == "1.00 [0.70, 1.00]"
    assert ends(held(np.zeros(80), np.repeat(np.arange(8), 10))) == pytest.approx((0.0, 0.32), abs=0.01)
    assert ends(held(np.array([1, 1, 1, 0]), np.arange(4)))[1] == 1.0
    assert ends(errors(np.array([-0.1, 0.2]), np.arange(2)))[0] == 0.0


def test_decisions_that_share_a_data_set_count_for_fewer() -> None:
    alone = np.array([1, 1, 1, 0] * 10)
    alike = np.repeat([1, 1, 1, 0], 10)
    names = np.repeat(np.arange(4), 10)
    low, high = ends(clustered_share(alike, names))
    independent = ends(share(30, 40))
    assert low < independent[0] - 0.2 and high > independent[1]
    assert ends(clustered_share(alone, np.arange(40))) == pytest.approx(independent, abs=0.02)
    assert clustered_share(np.ones(40), names) == "40/40 = 1.00 [0.51, 1.00]"
    assert clustered_share(np.zeros(0), np.zeros(0)) == "-"


def test_the_luck_of_unlike_sets_has_fewer_degrees_than_all_trainings_less_the_sets() -> None:
    rng = np.random.default_rng(0)
    same = [rng.normal(0, 1, 400) for _ in range(4)]
    assert pooled(same)[1] == pytest.approx(4 * 399, rel=0.02)
    deviation, free = pooled([scale * rng.normal(0, 1, 400) for scale in (10.0, 0.1, 0.1, 0.1)])
    assert deviation == pytest.approx(5.0, rel=0.1) and free == pytest.approx(399, rel=0.01)


def answer_of(truth: list[float], spread: float) -> Answer:
    """A forecast of no gain at all from a flat level of .8, of a curve that gains by what `bank_curve` says."""
    session = BankSession(
        bank_curve(sizes=(2, 4, 8, 16, 32)),
        8,
        [],
        np.array(truth),
        np.full(5, 0.05),
        np.full(5, 0.05),
        np.zeros(5),
    )
    noise = spread * np.random.default_rng(0).standard_normal((4000, 1))
    return Answer(session, np.full(5, 0.8), np.full((4000, len(RATIOS)), 0.8) + noise, np.ones((5, 2, 2)))


def test_a_stop_is_judged_by_trainings_and_cases_that_the_session_has_not_seen() -> None:
    flat, rising = ([0.8, 0.8, 0.8, 0.8, 0.8], [0.8, 0.85, 0.86, 0.9, 0.95])
    for truth, right in ((flat, "1/1"), (rising, "0/1")):
        rows = {
            (row["N"], row["delta points"], row["rule"]): row for row in stopping([answer_of(truth, 0.01)])
        }
        row = rows[8, 1.0, "P(gain of the next doubling < delta) >= 0.8"]
        assert row["precision"].startswith(right)
        assert row["precision, all trainings and cases"].startswith("0/1")
        assert rows[16, 1.0, "P(gain of the next doubling < delta) >= 0.8"]["precision"] == "-"


def test_a_range_as_shown_does_not_make_room_for_the_error_of_the_truth() -> None:
    answer = answer_of([0.8, 0.83, 0.83, 0.83, 0.83], 0.01)
    assert answer.shown(3) == (False, False)
    assert (np.array(answer.scores(3)) < 1).all()
    assert answer_of([0.8, 0.801, 0.801, 0.8, 0.8], 0.01).shown(3) == (True, True)
