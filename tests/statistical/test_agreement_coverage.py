"""The interval of two readers' agreement holds what it promises, for Dice as Dice is spread."""

from __future__ import annotations

import numpy as np
import pytest

from scaling_app.forecast.agreement import TwoReadings, p_at_agreement, readers_of

SESSIONS = 500


def beta(random: np.random.Generator, n: int) -> np.ndarray:
    return random.beta(18, 3, n)


def logit_normal(random: np.random.Generator, n: int) -> np.ndarray:
    return 1 / (1 + np.exp(-random.normal(2.0, 0.6, n)))


def held(draw, n: int, images: int) -> list[float]:
    """How often the 80 % and the 95 % interval hold the mean over all patients; images of a patient are alike."""
    random = np.random.default_rng(7)
    truth = float(draw(random, 400_000).mean())
    inside = np.zeros(2)
    for _ in range(SESSIONS):
        of_patient = draw(random, n)
        readings = [
            TwoReadings(f"{p}-{k}", f"p{p}", "a", float(of_patient[p]))
            for p in range(n)
            for k in range(images)
        ]
        dice = readers_of(readings, 2, 2.0).known["a"].dice
        inside += [low <= truth <= high for low, high in (dice.edges(0.8), dice.edges(0.95))]
    return list(inside / SESSIONS)


@pytest.mark.slow_statistics
@pytest.mark.parametrize("draw", [beta, logit_normal], ids=["beta", "logit-normal"])
@pytest.mark.parametrize(("n", "images"), [(6, 1), (9, 3)])
def test_eighty_and_ninety_five_per_cent_hold_about_as_often(draw, n: int, images: int) -> None:
    eighty, ninety_five = held(draw, n, images)
    assert 0.75 <= eighty <= 0.85
    assert 0.90 <= ninety_five <= 0.97


@pytest.mark.slow_statistics
def test_a_model_below_what_readers_agree_to_is_seldom_told_to_stop() -> None:
    """Two points below, with a narrow forecast: the probability reaches 0.9 in few sessions, at any number of cases."""
    random = np.random.default_rng(3)
    for n in (6, 20):
        told = 0
        for _ in range(250):
            readings = [TwoReadings(f"{p}", f"p{p}", "a", float(v)) for p, v in enumerate(beta(random, n))]
            levels = {"a": np.full(500, 18 / 21 - 0.03)}
            told += (p_at_agreement(levels, readers_of(readings, 2, 2.0), 0.01) or 0) >= 0.9
        assert told / 250 <= 0.1
