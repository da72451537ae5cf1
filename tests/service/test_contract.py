"""What is sent is in the committed schema, all of it and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from scaling_app.forecast.answer import effect_payload
from scaling_app.forecast.arms import StrategyEffect
from scaling_app.service.answers import LabelSummary, NotedCase, summary_of
from scaling_app.service.payloads import Payload

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "contract" / "schema.json").read_text("utf-8"))
RANGE = {"mean": 0.02, "lo80": 0.01, "hi80": 0.03, "lo95": 0.0, "hi95": 0.04}
KAPPA = {"mean": 1.6, "lo80": 1.2, "hi80": 2.1}
EFFECT = StrategyEffect("genda", 9, KAPPA, RANGE, 0.02, RANGE)
ADVICE = {"action": "wait", "sentence": "Please wait."}


def check(model: str, sent: dict[str, Any]) -> None:
    """Holds an answer against the schema; a field that it does not name is a fault."""
    definitions = {name: {**what, "additionalProperties": False} for name, what in SCHEMA["$defs"].items()}
    jsonschema.validate(sent, {"$ref": f"#/$defs/{model}", "$defs": definitions})


def test_a_whole_answer_keeps_the_contract(answered) -> None:
    more = {
        "coverage": {"outside": 1, "pool": 9, "cases": [{"image": "a", "distance": 3.1}]},
        "doubts": [{"image": "a", "sentence": "The label is empty."}],
        "strategies": [effect_payload(EFFECT)],
        "target": {"dice": 0.8, "p_reached": 0.1, "cases": {"median": None}, "p_unreachable": None},
    }
    check("Payload", Payload.model_validate({**answered[0], **more}).sent())


def test_an_answer_before_anything_is_known_keeps_the_contract() -> None:
    nothing = Payload.model_validate({"status": "computing", "advice": ADVICE}).sent()
    check("Payload", nothing)
    check("Summary", summary_of(nothing))


def test_the_short_answers_keep_the_contract(answered) -> None:
    check("Summary", summary_of(answered[0]))
    doubts = [{"kind": "empty", "sentence": "The label is empty."}]
    check("LabelSummary", LabelSummary.model_validate({**summary_of(answered[0]), "doubts": doubts}).sent())
    check("NotedCase", NotedCase(image="a", minutes=3, blind=None, doubts=["Empty."]).sent())


def test_a_field_that_the_contract_does_not_name_is_noticed(answered) -> None:
    with pytest.raises(jsonschema.ValidationError, match="surprise"):
        check("Summary", {**summary_of(answered[0]), "surprise": 1})
