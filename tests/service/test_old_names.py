"""What REST called things before is still sent, and still taken."""

from __future__ import annotations

import pytest

from scaling_app.service.answers import CONTRACT, LabelSummary, NotedCase, summary_of
from scaling_app.service.old_names import OLD_NAMES, with_new_names, with_old_names
from scaling_app.service.payloads import Payload

ADVICE = {"action": "wait", "sentence": "Please wait."}
DOUBT = {"image": "a", "sentence": "The label is empty."}


@pytest.mark.parametrize("model", OLD_NAMES)
def test_each_old_name_stands_for_a_field_that_is_there(model: str) -> None:
    (part,) = [part for part in CONTRACT if part.__name__ == model]
    assert set(OLD_NAMES[model]) <= set(part.model_fields)
    assert not set(OLD_NAMES[model].values()) & set(part.model_fields)


def test_answers_carry_both_names() -> None:
    sent = Payload.model_validate({"status": "ready", "advice": ADVICE, "doubts": [DOUBT]}).sent()
    assert sent["doubts"] == sent["problems"] == [DOUBT]
    assert summary_of(sent)["n_doubts"] == summary_of(sent)["n_problems"] == 1
    label = LabelSummary.model_validate(
        {**summary_of(sent), "doubts": [{"kind": "empty", "sentence": "Empty."}]}
    )
    assert label.sent()["doubts"] == label.sent()["flags"] == [{"kind": "empty", "sentence": "Empty."}]
    assert NotedCase(image="a", doubts=["Empty."]).sent()["problems"] == ["Empty."]


def test_an_answer_of_an_older_server_can_be_read() -> None:
    older = {"status": "ready", "advice": ADVICE, "problems": [DOUBT]}
    assert [doubt.image for doubt in Payload.model_validate(older).doubts] == ["a"]


def test_what_was_sent_can_be_sent_again() -> None:
    sent = Payload.model_validate({"status": "ready", "advice": ADVICE, "doubts": [DOUBT]}).sent()
    assert Payload.model_validate(sent).sent() == sent


def test_the_new_name_counts_where_both_came() -> None:
    assert with_new_names("CaseNote", {"resolved": True, "confirmed": False}) == {"confirmed": False}
    assert with_new_names("Interval", {"mean": 1}) == with_old_names("Interval", {"mean": 1}) == {"mean": 1}
