"""Least squares finds the curve that made the points."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logit

from scaling_app.forecast.families import (
    EXPONENTIAL,
    MMF,
    POWER_LAW_FLOOR,
    Family,
    fit_family,
    power_law_error,
)

SIZES = np.array([2.0, 4.0, 8.0, 16.0, 32.0, 64.0])


@pytest.mark.parametrize("family", [POWER_LAW_FLOOR, EXPONENTIAL, MMF], ids=lambda f: f.name)
def test_an_exact_curve_is_recovered_and_extrapolated(family: Family) -> None:
    shape, coefficients = family.shapes[[len(family.shapes) // 2]], np.array([[0.1, 0.45]])
    if family is MMF:
        coefficients = np.array([[0.1, 0.9]])
    error = family.predict(shape, coefficients, SIZES)
    found = fit_family(family, SIZES, error, np.ones_like(error))
    ahead = np.array([128.0, 256.0])
    np.testing.assert_allclose(
        family.predict(*found, ahead), family.predict(shape, coefficients, ahead), atol=1e-4
    )


@pytest.mark.parametrize("family", [POWER_LAW_FLOOR, EXPONENTIAL, MMF], ids=lambda f: f.name)
def test_fits_stay_in_their_box_on_absurd_points(family: Family) -> None:
    error = np.array([[0.0, 1.0, 0.0, 1.0, 0.2, 0.9]])
    _, coefficients = fit_family(family, SIZES, error, np.ones_like(error))
    assert ((coefficients >= family.bounds[0] - 1e-9) & (coefficients <= family.bounds[1] + 1e-9)).all()


def test_a_fit_beats_every_other_point_of_its_grid() -> None:
    rng = np.random.default_rng(0)
    error = 0.1 + 0.5 * SIZES[None] ** -0.6 + rng.normal(0, 0.02, (5, 6))
    shape, coefficients = fit_family(POWER_LAW_FLOOR, SIZES, error, np.ones_like(error))
    best = ((POWER_LAW_FLOOR.predict(shape, coefficients, SIZES) - error) ** 2).sum(1)
    for other in POWER_LAW_FLOOR.shapes[::5]:
        basis = POWER_LAW_FLOOR.basis(np.repeat(other[None], 5, axis=0), SIZES)
        for row in range(5):
            theirs = np.clip(np.linalg.lstsq(basis[row], error[row], rcond=None)[0], 0, None)
            assert best[row] <= ((basis[row] @ theirs - error[row]) ** 2).sum() + 1e-9


def test_infinitely_many_cases_leave_the_floor() -> None:
    parameters = np.array([[logit(np.array(0.1)), np.log(0.4), np.log(0.5), 0.0]])
    np.testing.assert_allclose(power_law_error(parameters, np.array([np.inf])), [[0.1]])
