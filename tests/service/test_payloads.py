"""The answer: complete, and readable by any JSON parser whatever a forecast puts into it."""

from __future__ import annotations

import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scaling_app.service.answers import summary_of
from scaling_app.service.payloads import Interval, Payload
from scaling_app.storage import finite

ADVICE = {"action": "wait", "sentence": "Please wait."}
KEYS = (
    "schema model status n_labelled n_in_curve n_pool metric updated message overall structures target "
    "strategies advice coverage observed job doubts"
)

numbers = st.floats() | st.none() | st.integers(-(10**9), 10**9)
nested = st.recursive(
    numbers | st.text() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(nested)
def test_every_number_is_finite_or_null(value: object) -> None:
    json.dumps(finite(value), allow_nan=False)


@given(st.fixed_dictionaries(dict.fromkeys(("mean", "lo80", "hi80", "lo95", "hi95"), numbers)), nested)
def test_no_not_a_number_passes_the_models(interval: dict, extra: object) -> None:
    answer = {
        "status": "ready",
        "advice": ADVICE,
        "overall": {"now": interval, "prior_share": math.nan, "more": extra},
        "observed": [{"n": 3, "dice": math.inf, "kind": "fold", "structure": "liver"}],
    }
    sent = Payload.model_validate(answer).model_dump(mode="json", by_alias=True)
    json.dumps(sent, allow_nan=False)
    assert sent["overall"]["prior_share"] is None
    assert sent["observed"][0]["dice"] is None


def test_numpy_numbers_become_plain_ones() -> None:
    sent = Interval(mean=np.float32(0.5), lo80=np.float64("nan")).model_dump()
    assert sent["mean"] == 0.5
    assert sent["lo80"] is None
    assert type(sent["mean"]) is float


def test_the_answer_always_has_all_its_fields() -> None:
    sent = Payload.model_validate({"status": "error", "advice": ADVICE}).model_dump(by_alias=True)
    assert set(KEYS.split()) <= set(sent)
    assert sent["schema"] == 1


def test_the_summary_tells_of_about_five_more_cases(answered) -> None:
    payload, _ = answered
    summary = summary_of(payload)
    assert summary["next"]["extra"] == 5
    assert summary["now"] == payload["overall"]["now"]
    assert len(json.dumps(summary)) < 3000


def test_a_summary_of_nothing_is_still_one() -> None:
    summary = summary_of({"status": "too_few", "advice": ADVICE, "overall": None})
    assert summary["now"] is None
    assert summary["next"] is None
    assert {name: summary["advice"][name] for name in ADVICE} == ADVICE
