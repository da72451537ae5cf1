"""The Gaussian process and the LSTM, against known answers."""

from __future__ import annotations

import numpy as np
import pytest

from scaling_app.forecast.forecaster import make_forecaster
from scaling_app.forecast.rivals.gaussian_process import GaussianProcess
from scaling_app.forecast.rivals.lstm import (
    FAMILIES,
    INPUTS,
    NETWORKS,
    LstmForecaster,
    change,
    run_lstm,
    shipped_weights,
    step_features,
    training_codes,
)
from scaling_app.forecast.rivals.published_methods import mean_curves
from scaling_app.forecast.scores import Score

SIZES = (4, 8, 16, 32, 64)


def curve(floor: float = 0.1, scale: float = 0.6, power: float = 0.6) -> list[Score]:
    return [Score(n, 1 - floor - scale * n**-power) for n in SIZES]


def test_the_process_follows_a_power_law_and_widens_ahead() -> None:
    near, far = GaussianProcess().fit(curve()).predict([64, 256])
    assert far.mean == pytest.approx(1 - 0.1 - 0.6 * 256**-0.6, abs=0.03)
    assert far.hi80 - far.lo80 > near.hi80 - near.lo80


def test_the_lstm_equals_torch() -> None:
    torch = pytest.importorskip("torch")
    weights = shipped_weights()
    lstm = torch.nn.LSTM(INPUTS, weights["recurrent"].shape[1], batch_first=True)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(torch.tensor(weights["input"]))
        lstm.weight_hh_l0.copy_(torch.tensor(weights["recurrent"]))
        lstm.bias_ih_l0.copy_(torch.tensor(weights["bias"]))
        lstm.bias_hh_l0.zero_()
        features = np.random.default_rng(0).normal(size=(3, 6, INPUTS))
        theirs = lstm(torch.tensor(features, dtype=torch.float32))[1][0][-1].numpy()
    np.testing.assert_allclose(run_lstm(weights, features), theirs, atol=1e-5)


def test_the_lstm_expects_a_rising_curve_to_rise_and_a_flat_one_to_stay() -> None:
    (rising,) = LstmForecaster().fit(curve()).predict([128])
    (flat,) = LstmForecaster().fit([Score(n, 0.85 + 0.0003 * i) for i, n in enumerate(SIZES)]).predict([128])
    assert rising.gain_mean > flat.gain_mean
    assert abs(flat.gain_mean) < 0.02


def test_the_lstm_finds_the_plateau_of_a_flat_curve_at_once() -> None:
    flat = LstmForecaster().fit([Score(n, 0.85 + 0.0003 * i) for i, n in enumerate(SIZES)])
    assert flat.plateau("structure", delta=0.02) == 64
    steep = LstmForecaster().fit(curve(0.02, 0.9, 0.35))
    assert steep.plateau("structure", delta=0.01) != 64


def test_features_and_changes_have_their_shapes() -> None:
    codes = training_codes("resunet", "small", "none")
    features = step_features(np.array([4.0, 8.0]), np.full((3, 2), 0.7), np.ones((3, 2)), codes)
    assert features.shape == (3, 2, INPUTS)
    hidden = run_lstm(shipped_weights(), features)
    mean, sd = change(shipped_weights(), hidden, np.array([0.0, 1.0, 2.0]))
    assert mean.shape == sd.shape == (3, 3)
    assert (sd > 0).all()


@pytest.mark.parametrize(
    ("strategy", "families"),
    [
        ("none", {"none"}),
        ("baseline", {"baseline"}),
        ("red-mild", {"deformation"}),
        ("regda+pool", {"deformation"}),
        ("genda-carried-first", {"deformation"}),
        ("genseg", {"generation"}),
        ("genseg+fields", {"generation"}),
        ("genda+genseg", {"deformation", "generation"}),
        ("reduced", set()),
        ("auto", set()),
    ],
)
def test_strategies_are_told_by_family(strategy: str, families: set[str]) -> None:
    codes = training_codes("resunet", "small", strategy)[-len(FAMILIES) :]
    assert {name for name, told in zip(FAMILIES, codes, strict=True) if told} == families


def test_what_no_bank_has_seen_is_not_told() -> None:
    assert not training_codes("another network", "", "another strategy").any()


def test_the_lstm_reads_its_codes_from_the_observations() -> None:
    weights = {name: array.copy() for name, array in shipped_weights().items()}
    weights["input"][:, 3 + len(NETWORKS)] = 1.0

    def gain(*capacities: str) -> float:
        seen = [Score(o.n, o.dice, run=c, capacity=c) for c in capacities for o in curve()]
        return LstmForecaster(weights).fit(seen).predict([128])[0].gain_mean

    assert gain("small") != pytest.approx(gain("medium"), abs=1e-4)
    assert gain("") == pytest.approx(gain("an unknown one"))
    assert gain("small", "medium") == pytest.approx(gain("", "another"), abs=1e-4)


def test_the_bootstrap_takes_cases_whole() -> None:
    observations = [Score(n, d, case=c, run=f"r{n}") for n in (4, 8) for c, d in (("a", 0.5), ("b", 0.9))]
    curves = mean_curves(observations, resamples=50)
    assert curves.error[0] == pytest.approx([0.3, 0.3])
    np.testing.assert_allclose(curves.error[:, 0], curves.error[:, 1])
    assert set(np.round(curves.error[:, 0], 3)) == {0.1, 0.3, 0.5}


def test_the_interval_of_the_power_law_knows_its_noise() -> None:
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(60):
        observations = [
            Score(n, float(1 - 0.6 * n**-0.4 + rng.normal(0, 0.01)), seed=s)
            for n in (2, 4, 8, 16, 32)
            for s in range(2)
        ]
        (p,) = make_forecaster("power_law").fit(observations).predict([64])
        inside.append(p.lo95 <= 1 - 0.6 * 64**-0.4 <= p.hi95)
    assert np.mean(inside) > 0.8
