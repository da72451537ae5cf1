"""What the forecast's benchmark must not get wrong: what a held-out outcome touches, what the LSTM learns from, what is counted."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.common.tables import write
from benchmarks.forecast.app_session_tests import Sessions
from benchmarks.forecast.bank import Curve, Run
from benchmarks.forecast.lstm_curves import (
    ObservedCurves,
    SimulatedCurves,
    hide,
    read_held_out,
    write_held_out,
)
from benchmarks.forecast.run import _merged
from benchmarks.forecast.trainings import _trainings, _used
from scaling_app.forecast.calibration import Calibration
from scaling_app.forecast.rivals.lstm import CODES, FAMILIES, NETWORKS, training_codes
from scaling_app.forecast.scores import Score


def bank_curve(
    dataset: str = "a", strategy: str = "red", sizes: tuple[int, ...] = (2, 4, 8), structure: str = "s"
):
    """Every case of a size has the same Dice, 1 - 0.5 / sqrt(n); two draws."""
    runs = [
        Run(n, draw, 0, {f"case_{i}": 1 - 0.5 / math.sqrt(n) for i in range(12)})
        for n in sizes
        for draw in (0, 1)
    ]
    return Curve(dataset, structure, "resunet", "small", strategy, "400", tuple(runs))


def test_an_order_never_widens_its_own_interval() -> None:
    def sessions(of_first: float) -> Sessions:
        truth = {0: {8: of_first}, 1: {8: 0.70}, 2: {8: 0.72}, 3: {8: 0.74}}
        return Sessions({}, truth, {order: {8: 0.01 * (order + 1)} for order in truth}, Calibration([]))

    near, far = sessions(0.72), sessions(0.20)
    assert near.error(8, 0) == far.error(8, 0) == pytest.approx(math.hypot(0.03, 0.02))
    assert far.training_error(8, 1) > 10 * near.training_error(8, 1)


def test_observed_sequences_carry_their_curves_codes_and_changes() -> None:
    batch = ObservedCurves([bank_curve(strategy="red"), bank_curve("b", "none")]).batch(
        200, np.random.default_rng(0)
    )
    codes = batch.features[:, 0, 3:]
    strategies = codes[:, -len(FAMILIES) :]
    assert {tuple(row) for row in strategies[strategies.any(axis=1)]} == {
        tuple(training_codes("resunet", "small", name)[-len(FAMILIES) :]) for name in ("red", "none")
    }
    n_last = np.exp(5 * batch.features[:, -1, 0])[:, None]
    n = n_last * np.exp(batch.log_ratio)

    def level(size: np.ndarray) -> np.ndarray:
        error = 0.5 / np.sqrt(size)
        return np.log(error / (1 - error))

    np.testing.assert_allclose(batch.change, level(n) - level(n_last), atol=1e-9)
    assert (n > n_last).all()


def test_any_code_is_sometimes_not_told() -> None:
    told = hide(np.tile(training_codes("resunet", "small", "red"), (400, 1)), np.random.default_rng(0)) != 0
    network, capacity = told[:, : len(NETWORKS)].any(axis=1), told[:, len(NETWORKS)]
    assert 0.6 < network.mean() < 0.9
    assert 0.6 < capacity.mean() < 0.9
    assert (network != capacity).any()


@pytest.mark.parametrize("with_bank", [False, True])
def test_codes_do_not_tell_a_simulated_curve_from_a_real_one(with_bank: bool) -> None:
    bank = [bank_curve(sizes=(2, 4, 8, 16))] if with_bank else []
    features = SimulatedCurves(bank).batch(400, np.random.default_rng(0)).features
    assert features.shape[2] == 3 + CODES
    assert (features[..., 3:].std(axis=(0, 1)) > 0.1).all()
    real = training_codes("resunet", "small", "red")
    assert (features[:, 0, 3:] == real).all(axis=1).any()


def test_held_out_weights_are_read_back_by_data_set_and_say_when_there_are_none(tmp_path: Path) -> None:
    path = tmp_path / "held_out.npz"
    with pytest.raises(FileNotFoundError, match=r"train_lstm makes it"):
        read_held_out(path)
    write_held_out({"a": {"bias": np.ones(2)}, "b": {"bias": np.zeros(2)}}, 7, path)
    weights, simulated = read_held_out(path)
    assert simulated == 7
    assert weights["a"]["bias"].tolist() == [1.0, 1.0]
    assert weights["b"]["bias"].tolist() == [0.0, 0.0]


def test_trainings_of_a_data_set_are_counted_once_for_all_its_structures() -> None:
    assert _trainings([bank_curve(structure="s"), bank_curve(structure="t")]) == 6
    assert _trainings([bank_curve(), bank_curve(strategy="none"), bank_curve("b")]) == 18


def test_the_last_value_rests_on_the_trainings_of_the_largest_size() -> None:
    seen = [Score(n, 0.5, case=c, run=f"r{n}{k}") for n in (4, 8) for k in (0, 1) for c in "ab"]
    assert _used("power_law")(seen) == 4
    assert _used("last_value")(seen) == 2


def test_a_table_never_holds_methods_that_were_asked_about_different_sessions(tmp_path: Path) -> None:
    def rows(method: str, sessions: int) -> list[dict[str, object]]:
        return [{"N": 8, "horizon": "x2", "method": method, "sessions": sessions}]

    path = tmp_path / "sessions.csv"
    write(path, rows("power_law", 60))
    assert [row["method"] for row in _merged(path, rows("bayes", 60))] == ["bayes", "power_law"]
    assert [row["method"] for row in _merged(path, rows("bayes", 100))] == ["bayes"]
