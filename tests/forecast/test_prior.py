"""The prior is proper, made of whole tasks, and can leave any of them out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from scaling_app.forecast.prior import (
    Deviation,
    learned_prior,
    plateau_component,
    read_templates,
    shipped_prior,
    shipped_templates,
    weak_prior,
)

SIZES = np.array([2.0, 8.0, 32.0])


def test_weights_are_those_of_a_distribution() -> None:
    for prior in (shipped_prior(), weak_prior(), shipped_prior().thinned(50)):
        assert sum(prior.weights) == pytest.approx(1.0)
        for component in prior.components:
            assert np.exp(component.log_weights).sum() == pytest.approx(1.0)


def test_the_weak_component_never_leaves_the_mixture() -> None:
    prior = shipped_prior()
    weights = {
        component.name: weight for component, weight in zip(prior.components, prior.weights, strict=True)
    }
    assert weights["weak"] >= 0.15 - 1e-12
    assert weights["plateau"] >= 0.1 - 1e-12


def test_the_plateau_does_not_rise() -> None:
    eta = plateau_component().eta(SIZES)
    error = expit(eta)
    assert np.abs(np.diff(error, axis=1)).max() < 0.002


def test_moments_are_those_of_the_mixture() -> None:
    prior = weak_prior()
    mean, covariance = prior.moments(SIZES)
    rng = np.random.default_rng(0)
    component = prior.components[0]
    drawn = component.eta(SIZES)[rng.integers(len(component.templates), size=40_000)]
    drawn = drawn + rng.multivariate_normal(np.zeros(3), component.deviation.covariance(SIZES, SIZES), 40_000)
    np.testing.assert_allclose(mean, drawn.mean(0), atol=0.03)
    np.testing.assert_allclose(covariance, np.cov(drawn.T), rtol=0.05)


def test_every_task_counts_alike_and_can_be_left_out() -> None:
    table = shipped_templates()
    task = table.task[table.source == "lcdb"][0]
    component = table.component("lcdb")
    assert component is not None
    rows = table.task[table.source == "lcdb"]
    assert np.exp(component.log_weights[rows == task]).sum() == pytest.approx(1 / component.n_tasks)
    without = table.component("lcdb", without=[task])
    assert without is not None
    assert without.n_tasks == component.n_tasks - 1
    assert len(without.templates) == (rows != task).sum()


def test_scaling_shifts_a_curve_along_ln_n() -> None:
    table = shipped_templates()
    own, scaled = table.component("lcdb"), table.component("lcdb", scale=8.0)
    assert own is not None
    assert scaled is not None
    np.testing.assert_allclose(scaled.eta(SIZES), own.eta(8.0 * SIZES), atol=1e-9)


def test_a_table_with_a_bank_gives_it_the_largest_share(tmp_path: Path) -> None:
    path = tmp_path / "templates.csv"
    path.write_text(
        "source,task,logit_floor,ln_scale,ln_power,ln_offset\n"
        "bank,liver,-2.0,-0.8,-0.7,0.0\nbank,liver,-2.1,-0.8,-0.7,0.0\nlcdb,lcdb-3,-2.0,-0.5,-0.7,1.0\n"
    )
    table = read_templates(path)
    prior = learned_prior(table)
    shares = {c.name: w for c, w in zip(prior.components, prior.weights, strict=True)}
    assert max(shares, key=lambda name: shares[name]) == "bank"
    assert {c.name for c in learned_prior(table, without=["liver"]).components} == {"lcdb", "weak", "plateau"}


@pytest.mark.parametrize("deviation", [Deviation(), Deviation(0.5, 0.1, 0.15, 0.8)])
def test_the_deviations_covariance_is_positive_definite_up_to_infinity(deviation: Deviation) -> None:
    n = np.array([1.0, 2.0, 3.0, 8.0, 64.0, 1000.0, np.inf])
    covariance = deviation.covariance(n, n)
    assert np.isfinite(covariance).all()
    assert np.linalg.eigvalsh(covariance).min() > -1e-9
