"""The panel and the server mean the same fields: both are held against the committed schema."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from contract_reader import SCHEMA, SchemaReader, node
from stub_server import sufficiency

from scaling_app_client import payload as model
from scaling_app_client.answers import SavedLabel, ServerInfo, StrategyWords
from scaling_app_client.calls import Client
from scaling_app_client.messages import Request
from scaling_app_client.payload import Payload


def test_every_field_that_the_panel_reads_is_in_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "JsonReader", SchemaReader)
    read = Payload.from_json(node("Payload"))
    assert read.overall is not None and read.overall.forecast and read.overall.line
    assert read.strategies[0].n_cases == 1 and read.observed and read.doubts and read.coverage
    assert read.target is not None and read.advice is not None and read.job.eta_seconds is not None


@pytest.mark.parametrize(
    ("field", "change"),
    [("doubts", None), ("n_labelled", {"type": "string"}), ("status", {"enum": ["ready"]})],
)
def test_a_field_that_changes_on_one_side_alone_is_noticed(
    monkeypatch: pytest.MonkeyPatch, field: str, change: dict[str, Any] | None
) -> None:
    monkeypatch.setattr(model, "JsonReader", SchemaReader)
    fields = SCHEMA["$defs"]["Payload"]["properties"]
    monkeypatch.delitem(fields, field) if change is None else monkeypatch.setitem(
        fields, field, {**fields[field], **change}
    )
    with pytest.raises(AssertionError, match=field):
        Payload.from_json(node("Payload"))


def test_the_doubts_of_a_saved_label_are_read_where_the_contract_has_them() -> None:
    definitions = SCHEMA["$defs"]
    (item,) = [definitions["LabelSummary"]["properties"]["doubts"]["items"]]
    assert definitions[item["$ref"].rsplit("/", 1)[1]]["properties"]["sentence"]["type"] == "string"
    answer = {"sufficiency": {"doubts": [{"kind": "empty", "sentence": "Empty."}]}}
    assert SavedLabel.from_json(answer).doubts == ("Empty.",)


def test_what_trainings_may_be_told_is_read_where_the_contract_has_it() -> None:
    (item,) = [SCHEMA["$defs"]["InfoSummary"]["properties"]["strategies"]["items"]]
    fields = SCHEMA["$defs"][item["$ref"].rsplit("/", 1)[1]]["properties"]
    summary = {"strategies": [{name: f"a {name}" for name in fields}]}
    info = ServerInfo.from_json({"models": {}, "strategies": {}, "sufficiency": summary})
    assert info.offered == {"a name": StrategyWords("a title", "a what")}


def test_what_the_panel_says_of_a_case_is_in_the_contract() -> None:
    class Recorder:
        bodies: list[dict[str, Any]] = []  # noqa: RUF012 - one recorder, one test

        def send(self, request: Request, *_done: object) -> None:
            self.bodies.append(json.loads(request.body))

    client = Client(Recorder(), "http://localhost", "me")
    client.note_case("a", 3.0, True, print, print)
    client.confirm_label("a", print, print)
    told = {name for body in Recorder.bodies for name in body}
    assert told == set(SCHEMA["$defs"]["CaseNote"]["properties"]) - {"resolved"}


@pytest.mark.parametrize("n", [1, 2, 6, 12])
def test_the_stub_server_answers_within_the_contract(n: int) -> None:
    definitions = {
        name: {
            key: value for key, value in {**what, "additionalProperties": False}.items() if key != "required"
        }
        for name, what in SCHEMA["$defs"].items()
    }
    jsonschema.validate(sufficiency(n), {"$ref": "#/$defs/Payload", "$defs": definitions})
