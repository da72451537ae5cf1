"""Intervals of the benchmarks' tables hold what they say where three draws share their test patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.bank.longer import longer_rows, longer_trainings
from benchmarks.common.paired_runs import Runs
from benchmarks.genseg.table import read

REPEATS = 600
DRAWS = 3
SPREADS = [(0.02, 0.10, 0.05), (0.05, 0.10, 0.10), (0.05, 0.05, 0.02), (0.10, 0.05, 0.02)]
"""Deviations of draws, of patients, and of a patient's score in one draw."""


def runs_of(scores: np.ndarray, arms: tuple[str, ...] = ("arm",), images: int = 1) -> Runs:
    """Of scores `(arm, size, draw, case)` of one structure; every patient has so many cases, sizes are 2, 4, 8 and so on."""
    arm, size, draw, case = np.indices(scores.shape).reshape(4, -1)
    table = {
        "strategy": np.array(arms)[arm],
        "n": 2 ** (size + 1),
        "draw": draw,
        "case": case,
        "patient": case // images,
        "structure": "one",
        "dice": scores.ravel(),
    }
    return Runs(pd.DataFrame(table), "dice", arms[:1])


def drawn(
    rng: np.random.Generator, spreads: tuple[float, float, float], shape: tuple[int, int]
) -> np.ndarray:
    """Scores `(draw, patient)` about one half."""
    of_draw, of_patient, rest = spreads
    draws, patients = shape
    return (
        0.5
        + rng.normal(0, of_draw, (draws, 1))
        + rng.normal(0, of_patient, (1, patients))
        + rng.normal(0, rest, shape)
    )


@pytest.mark.slow_statistics
@pytest.mark.parametrize("spreads", SPREADS)
@pytest.mark.parametrize("patients", [20, 40])
def test_of_three_draws_intervals_hold_as_often_as_they_say(
    spreads: tuple[float, float, float], patients: int
) -> None:
    rng = np.random.default_rng(0)
    inside = []
    runs = runs_of(drawn(rng, spreads, (DRAWS, patients))[None, None])
    for _ in range(REPEATS):
        scores = drawn(rng, spreads, (DRAWS, patients))[..., None]
        ends = [runs.mean(scores, level)[1:] for level in (0.95, 0.8)]
        inside.append([low <= 0.5 <= high for low, high in ends])
    at95, at80 = np.mean(inside, axis=0)
    assert 0.91 < at95 < 0.985
    assert 0.76 < at80 < 0.88


@pytest.mark.slow_statistics
def test_a_difference_of_arms_holds_as_often_as_it_says_where_patients_have_several_images() -> None:
    rng = np.random.default_rng(0)
    inside = []
    runs = runs_of(np.zeros((1, 1, DRAWS, 60)), images=3)
    for _ in range(REPEATS):
        one, other = (np.repeat(drawn(rng, (0.03, 0.05, 0.02), (DRAWS, 20)), 3, axis=1) for _ in range(2))
        mean, low, high = runs.difference(one[..., None], other[..., None])
        assert mean == pytest.approx(100 * (one - other).mean())
        inside.append(low <= 0 <= high)
    assert 0.92 < np.mean(inside) < 0.985


@pytest.mark.slow_statistics
def test_kappa_of_three_draws_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    sizes = 2.0 ** np.arange(1, 6)
    truth = {"baseline": sizes**-0.5, "twice": (2 * sizes) ** -0.5}
    inside = []
    for _ in range(200):
        luck = rng.normal(0, 0.05, (2, 5, DRAWS, 1)) + rng.normal(0, 0.1, (1, 1, 1, 20))
        error = np.stack([*truth.values()])[:, :, None, None] * np.exp(
            luck + rng.normal(0, 0.1, (2, 5, DRAWS, 20))
        )
        value, low, high = runs_of(1 - error, ("baseline", "twice")).kappa("twice", 2)
        assert low < value < high
        inside.append(low <= 2 <= high)
    assert 0.91 < np.mean(inside) < 0.99


def test_kappa_at_its_bound_has_no_interval() -> None:
    rng = np.random.default_rng(0)
    scores = 0.5 + 0.01 * rng.random((2, 3, DRAWS, 10))
    scores[0] += np.array([0.1, 0.2, 0.3])[:, None, None]
    scores[1] = 0.95
    value, low, high = runs_of(scores, ("baseline", "better")).kappa("better", 1)
    assert value == pytest.approx(2.0) and np.isnan([low, high]).all()


def test_one_draw_holds_patients_alone_and_one_patient_nothing() -> None:
    rng = np.random.default_rng(0)
    scores = drawn(rng, (0.1, 0.1, 0.0), (DRAWS, 20))
    runs = runs_of(scores[None, None])
    alone = scores[:1, :, None]
    half = 2.093 * scores[0].std(ddof=1) / np.sqrt(20)
    assert runs.mean(alone) == pytest.approx(
        (alone.mean(), alone.mean() - half, alone.mean() + half), abs=1e-4
    )
    one_patient = runs_of(scores[None, None], images=20)
    assert np.isnan(one_patient.mean(scores[..., None])[1:]).all()


def test_no_end_lies_beyond_what_is_possible_and_missing_runs_do_not_count() -> None:
    scores = np.full((DRAWS, 20), 0.97)
    scores[0, :10] = 0.3
    scores[1] = np.nan
    runs = runs_of(scores[None, None])
    mean, low, high = runs.mean(scores[..., None])
    assert mean == pytest.approx(np.nanmean(scores))
    assert 0.0 <= low < high == 1.0
    assert runs.difference(scores[..., None], scores[..., None]) == (0.0, 0.0, 0.0)
    assert np.isnan(runs.mean(np.ones((DRAWS, 20, 1)))[1:]).all()


def test_sizes_count_alike_whatever_runs_they_have() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((1, 2, DRAWS, 20))
    scores[0, 0] += 1
    scores[0, 1, 1:] = np.nan
    runs = runs_of(scores / 2)
    assert runs.mean(runs.of("arm"))[0] == pytest.approx((scores[0, 0].mean() + scores[0, 1, 0].mean()) / 4)


def test_slices_of_one_heart_are_one_patients_in_the_tables_of_genseg(tmp_path) -> None:
    names = ("SC-HF-I-04-IM-0001-0007", "SC-HF-I-04-IM-0001-0011", "SC-HYP-40-IM-0001-0045")
    runs = tmp_path / "runs.csv"
    pd.DataFrame({"task": "lv", "arm": "none", "case": names}).to_csv(runs, index=False)
    assert list(read(runs)["patient"]) == ["SC-HF-I-04", "SC-HF-I-04", "SC-HYP-40"]


def test_more_steps_stand_beside_more_cases_where_both_were_trained_and_alone_where_not() -> None:
    def made(level: float, n: int, draw: int = 0) -> list[dict[str, object]]:
        return [
            {
                "dataset": "d",
                "n": n,
                "draw": draw,
                "case": case,
                "patient": case,
                "structure": "s",
                "dice": dice,
            }
            for case, dice in (("a", level), ("b", level + 0.02), ("c", level + 0.01))
        ]

    short = pd.DataFrame([*made(0.5, 2), *made(0.6, 4), *made(0.8, 8), *made(0.1, 2, draw=1)])
    four, two = longer_trainings(short, pd.DataFrame([*made(0.55, 2), *made(0.7, 4)]))[::-1]
    assert (two.n, two.draws, two.patients) == (2, 1, 3)
    assert np.isclose([two.by_steps[0], two.by_cases[0], two.more[0]], [5.0, 30.0, -25.0]).all()
    assert (four.n, four.by_cases, four.more) == (4, None, None) and np.isclose(four.by_steps[0], 10.0)
    assert longer_rows([four])[0]["4 times the cases"] == "-"
