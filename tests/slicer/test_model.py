"""The server's JSON is checked field by field, and a fault names its place."""

from __future__ import annotations

import copy

import pytest
from stub_server import sufficiency

from scaling_app_client.answers import NoCase, SavedLabel, ServerInfo, TrainingTask, read_next_case
from scaling_app_client.json_reader import BadAnswer, parse_object
from scaling_app_client.payload import Payload

INFO = {
    "name": "Scaling App",
    "labels": ["liver", "tumour"],
    "models": {
        "segmentation": {"type": "segmentation", "labels": {"background": 0, "tumour": 5, "liver": 2}}
    },
    "trainers": {"segmentation": {}},
    "strategies": {"random": {"description": "any"}},
    "datastore": {"total": 9, "completed": 4},
    "train_stats": {"segmentation": {"epoch": 3, "total_epochs": 12}},
}


def test_a_whole_answer_is_read() -> None:
    answer = Payload.from_json(sufficiency(12))
    assert answer.overall.forecast[0].extra == 1
    assert answer.overall.forecast[1].gain.lo80 < answer.overall.forecast[1].gain.mean
    assert answer.structures[1].name == "posterior"
    assert answer.target.median == 13
    assert answer.strategies[0].kappa.hi80 == 2.1
    assert answer.coverage.cases[0].image == "case_041"


def test_too_few_cases_leave_everything_unknown_open() -> None:
    answer = Payload.from_json(sufficiency(1))
    assert answer.status == "too_few"
    assert answer.overall is None
    assert "1 usable labelled case so far" in answer.message


def test_forecast_rows_come_in_the_order_of_size() -> None:
    data = sufficiency(12)
    data["overall"]["forecast"].reverse()
    assert [row.extra for row in Payload.from_json(data).overall.forecast] == [1, 5, 10, 12]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("status",), "marvellous", "status"),
        (("overall", "now", "mean"), 1.7, "overall.now.mean"),
        (("overall", "now", "mean"), "0.8", "overall.now.mean"),
        (("overall", "forecast", 0, "extra"), None, "extra"),
        (("strategies", 0), [], "strategies[0]"),
        (("n_labelled",), 2.5, "whole number"),
        (("job",), 7, "job"),
    ],
)
def test_a_broken_field_is_named(path: tuple, value: object, words: str) -> None:
    data = copy.deepcopy(sufficiency(12))
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(BadAnswer, match=words.replace("[", r"\[")):
        Payload.from_json(data)


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'{"a": NaN}', b"\xff\xfe", b""])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        parse_object(body)


def test_points_without_an_overall_series_are_averaged_over_structures() -> None:
    data = sufficiency(12)
    data["observed"] = [
        {"n": 4, "dice": 0.6, "kind": "fold", "structure": "a"},
        {"n": 4, "dice": 0.8, "kind": "fold", "structure": "b"},
    ]
    (point,) = Payload.from_json(data).points("")
    assert point.dice == pytest.approx(0.7)


def test_class_values_come_from_the_model_not_from_the_order_of_a_list() -> None:
    assert ServerInfo.from_json(INFO).labels == {"liver": 2, "tumour": 5}


def test_before_the_first_model_the_trainer_says_the_values() -> None:
    trainers = {"segmentation": {"labels": {"liver": 2, "tumour": 5}, "config": {"strategy": ["baseline"]}}}
    info = ServerInfo.from_json({**INFO, "models": {}, "trainers": trainers})
    assert info.labels == {"liver": 2, "tumour": 5}
    assert info.trainers == {"segmentation": ("baseline",)}


def test_a_plain_list_of_classes_counts_from_one() -> None:
    info = ServerInfo.from_json({**INFO, "models": {"m": {"type": "segmentation"}}})
    assert info.labels == {"liver": 1, "tumour": 2}


@pytest.mark.parametrize("labels", [{"a": 1, "b": 1}, {"a": "1"}, {"a": -3}])
def test_class_values_that_cannot_be_are_refused(labels: dict) -> None:
    with pytest.raises(BadAnswer):
        ServerInfo.from_json({**INFO, "models": {"m": {"type": "segmentation", "labels": labels}}})


def test_a_running_training_says_how_much_of_it_is_left() -> None:
    stats = {"segmentation": {"epoch": 3, "total_epochs": 12, "current_time": "0:02:00"}}
    plan = ServerInfo.from_json({**INFO, "train_stats": stats}).plans["segmentation"]
    assert (plan.progress, plan.minutes_left, plan.expected_minutes(400)) == (0.25, 6.0, None)


def test_a_training_that_its_minutes_end_or_that_goes_on_has_the_time_left_that_the_server_tells() -> None:
    entry = {"epoch": 1190, "total_epochs": 1480, "current_time": "0:00:10", "seconds_left": 90}
    plan = ServerInfo.from_json({**INFO, "train_stats": {"segmentation": entry}}).plans["segmentation"]
    assert plan.minutes_left == 1.5


def test_the_last_training_says_how_long_the_next_takes() -> None:
    stats = {"segmentation": {"epoch": 400, "total_epochs": 400, "total_time": "1:30:00"}}
    plan = ServerInfo.from_json({**INFO, "train_stats": stats}).plans["segmentation"]
    assert (plan.expected_minutes(400), plan.expected_minutes(800)) == (90.0, 180.0)
    assert plan.expected_minutes(None) is None


def test_no_training_is_said_to_take_longer_than_the_minutes_that_end_it() -> None:
    stats = {"segmentation": {"epoch": 400, "total_epochs": 400, "total_time": "0:50:00"}}
    trainers = {"segmentation": {"config": {"max_minutes": 60.0}}}
    plan = ServerInfo.from_json({**INFO, "train_stats": stats, "trainers": trainers}).plans["segmentation"]
    assert (plan.expected_minutes(400), plan.expected_minutes(1600)) == (50.0, 60.0)


@pytest.mark.parametrize("time", [None, 90, "soon", "1 day, 0:02:00", "0:-2:00", "0:02"])
@pytest.mark.parametrize("epochs", [(3, 0), (True, 12), ("3", "12"), (3, float("nan"))])
def test_statistics_that_cannot_be_read_promise_nothing(time: object, epochs: tuple) -> None:
    stats = {"segmentation": {"epoch": epochs[0], "total_epochs": epochs[1], "current_time": time}}
    plan = ServerInfo.from_json({**INFO, "train_stats": stats}).plans["segmentation"]
    assert plan.minutes_left is None
    assert plan.expected_minutes(400) is None


@pytest.mark.parametrize(
    ("steps", "read"),
    [
        ((400, 400), 400),
        (("auto", "auto"), "auto"),
        (("auto", 400), None),
        (("many", "many"), None),
        ((400, 1600), None),
        ((None, None), None),
        (([400], [400]), None),
        ((True, True), None),
    ],
)
def test_training_steps_are_known_where_all_trainers_agree(steps: tuple, read: int | str | None) -> None:
    trainers = {f"t{k}": {"config": {"steps": value}} for k, value in enumerate(steps)}
    assert ServerInfo.from_json({**INFO, "trainers": trainers}).steps == read


def test_no_next_case_is_none() -> None:
    assert read_next_case({}) == NoCase("")


def test_the_next_case_says_whether_it_is_blind() -> None:
    case = read_next_case({"id": "a", "name": "a.nii.gz", "blind": True, "path": "/x/a.nii.gz"})
    assert case.blind is True
    assert read_next_case({"id": "a"}).blind is None


def test_what_the_server_says_of_a_case_comes_with_it() -> None:
    assert read_next_case({"id": "a", "message": "It has 4 channels."}).message == "It has 4 channels."
    assert read_next_case({"id": "a"}).message == ""


def test_label_checks_are_read_once_each() -> None:
    answer = {"image": "a", "sufficiency": {"doubts": [{"sentence": "Empty."}, {"sentence": "Empty."}]}}
    assert SavedLabel.from_json(answer).doubts == ("Empty.",)


def test_a_training_that_waits_for_its_process_counts_as_running() -> None:
    assert TrainingTask.from_json({"status": "SUBMITTED", "request": {"model": "m"}}).running
