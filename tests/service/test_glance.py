"""What the page says first, in words."""

from __future__ import annotations

from typing import Any

import pytest

from scaling_app.service.glance import Training, glance, next_sentences, now_sentence, spoken, work_sentences
from scaling_app.service.page import gain_points
from scaling_app.service.payloads import Job, Payload

NOTHING = {"status": "too_few", "advice": {"action": "wait", "sentence": "Label two more cases."}}


def forecast(n: int, dice: float, recipe: str | None = None, **gain: Any) -> dict[str, Any]:
    rows = [
        {"extra": extra, "n": n + extra, "gain": {"mean": 0.002 * extra, **gain}, "minutes": 7.0 * extra}
        for extra in (1, 5)
    ]
    overall = {"now": {"mean": dice, "lo80": dice - 0.02, "hi80": dice + 0.01}, "forecast": rows}
    return {**NOTHING, "status": "ready", "n_in_curve": n, "recipe": recipe, "overall": overall}


def test_the_next_cases_have_points_ranges_and_minutes() -> None:
    said = next_sentences(Payload.model_validate(forecast(8, 0.8, lo80=-0.001, hi80=0.005)))
    assert said == [
        "Next case: +0.2 points (80 %: −0.1 to +0.5) for 7.0 min of annotation.",
        "Next 5 cases: +1.0 points (80 %: −0.1 to +0.5) for 35 min of annotation.",
    ]


@pytest.mark.parametrize(
    ("history", "since"),
    [
        ([forecast(7, 0.79)], ", +1.0 since the last label."),
        ([forecast(5, 0.81), forecast(8, 0.7)], ", −1.0 since the last 3 labels."),
        ([forecast(7, 0.79, recipe="another")], "."),
        ([{"n_in_curve": 7, "recipe": None, "overall": None}], "."),
        ([], "."),
    ],
)
def test_the_change_is_that_since_there_were_fewer_cases_of_the_same_curve(history, since: str) -> None:
    said = now_sentence(Payload.model_validate(forecast(8, 0.8)), history)
    assert said == f"Dice now: 80.0 points (80 %: 78.0 to 81.0){since}"


def test_before_there_is_a_forecast_there_is_the_advice_alone() -> None:
    payload = Payload.model_validate(NOTHING)
    assert glance(payload, []) == "" and spoken(payload) == "Label two more cases."


def test_what_is_under_way_has_its_remaining_time_as_far_as_it_is_known() -> None:
    running = Job(state="running", done=1, total=9, eta_seconds=20)
    assert work_sentences(running, Training(40, 400, 3600.0)) == [
        "A new model is being trained: about 60 min left (40 of 400 steps).",
        "New curve points are being measured: about 1.0 min left (1 of 9 trainings done).",
        "You can go on labelling.",
    ]
    assert work_sentences(Job(state="running"), Training())[:2] == [
        "A new model is being trained.",
        "New curve points are being measured.",
    ]
    assert work_sentences(Job(message="The last one was stopped."), None) == ["The last one was stopped."]
    assert work_sentences(Job(), None) == []


@pytest.mark.parametrize(
    ("gain", "said"), [(0.012, "+1.2"), (-0.012, "−1.2"), (-0.0004, "0.0"), (0.0, "0.0"), (None, "–")]
)
def test_a_gain_of_nothing_has_no_sign(gain: float | None, said: str) -> None:
    assert gain_points(gain) == said
