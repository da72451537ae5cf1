"""How misses count where cases have sampling weights or patients several images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scaling_app.forecast.misses import MissRate
from scaling_app.forecast.scores import Score

N = np.array([8.0])


def scores_of(cases: int, missed: int, n: int = 8, **more: object) -> list[Score]:
    return [
        Score(n, 0.0 if i < missed else 0.8, case=f"c{i}", run="r", **more)  # type: ignore[arg-type]
        for i in range(cases)
    ]


def test_misses_count_by_the_weights_of_their_cases() -> None:
    plain = scores_of(40, 10)
    heavy = [replace(o, weight=3.0) if o.missed else o for o in plain]
    assert MissRate(plain).mean(N)[0] == pytest.approx(0.25, abs=0.05)
    assert MissRate(heavy).mean(N)[0] == pytest.approx(0.5, abs=0.05)


def test_the_scale_of_the_weights_changes_nothing() -> None:
    plain = scores_of(20, 5)
    scaled = [replace(o, weight=4.0) for o in plain]
    np.testing.assert_array_equal(MissRate(plain).mean(N), MissRate(scaled).mean(N))


def test_one_case_for_each_patient_is_as_if_patients_were_not_told() -> None:
    plain = scores_of(20, 5)
    told = [replace(o, patient=f"p{o.case}") for o in plain]
    np.testing.assert_array_equal(MissRate(plain).mean(N), MissRate(told).mean(N))


def test_images_of_one_patient_say_no_more_than_its_tests_by_several_models() -> None:
    found = [replace(o, case=f"other {o.case}") for o in scores_of(10, 0)]
    images = scores_of(6, 6, patient="one")
    models = [replace(o, case="one", run=o.case) for o in images]
    by_patient, by_model, by_image = (
        MissRate([*missed, *found]).mean(N)[0] for missed in (images, models, scores_of(6, 6))
    )
    assert by_patient == pytest.approx(by_model, abs=1e-12)
    assert by_patient < by_image


def test_a_network_that_began_to_find_is_not_expected_to_miss_for_long() -> None:
    of_two, of_four, of_eight = scores_of(6, 4, n=2), scores_of(7, 1, n=4), scores_of(8, 0)
    others = [[replace(o, case=f"{o.n} {o.case}") for o in scores] for scores in (of_two, of_four, of_eight)]
    rate = MissRate([o for scores in others for o in scores]).mean(np.array([8.0, 16.0]))
    assert rate[0] < 0.06
    assert rate[1] < 0.03


def test_misses_that_do_not_fall_are_expected_to_stay() -> None:
    scores = [replace(o, case=f"{n} {o.case}") for n in (4, 8, 16, 32) for o in scores_of(20, 4, n=n)]
    assert 0.1 < MissRate(scores).mean(np.array([64.0]))[0] < 0.25
