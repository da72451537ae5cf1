"""Several annotators at one server: a small day of the benchmark, and what each of them is and is not shown."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from benchmarks.annotators.day import LABEL_INFO, Day, work
from benchmarks.common.served import Served, served

pytestmark = pytest.mark.slow_server


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that asks for a second reading of every case."""
    conf = {"network": "resunet", "second_readers": "1", "compare": ""}
    with served(tmp_path_factory.mktemp("office"), conf, {}, images=9, size=16) as server:
        yield server


@pytest.fixture(scope="module")
def day(office: Served) -> Day:
    """Three annotators label three cases each while a model is trained."""
    return work(office, clients=3, labels=3, steps=4, curve_minutes=0.05)


def put(office: Served, image: str, client: str, tag: str = "final") -> requests.Response:
    label = office.folder / "truth" / f"{image}.nrrd"
    return requests.put(
        f"{office.base}/datastore/label",
        params={"image": image, "tag": tag},
        data={"params": json.dumps({"client_id": client, "label_info": LABEL_INFO})},
        files={"label": ("label.nrrd", label.read_bytes())},
        timeout=60,
    )


def handed(office: Served, client: str) -> dict:
    answer = requests.post(f"{office.base}/activelearning/random", json={"client_id": client}, timeout=60)
    answer.raise_for_status()
    return answer.json()


def forecast_with_agreement(office: Served) -> dict:
    """The forecast once the server has compared the readers: within seconds, in the background."""
    until = time.monotonic() + 60
    while True:
        sent = requests.get(f"{office.base}/sufficiency/", timeout=60).json()
        if sent["agreement"] is not None or time.monotonic() > until:
            return sent
        time.sleep(0.5)


def download(office: Served, image: str, client: str | None) -> requests.Response:
    who = {} if client is None else {"client_id": client}
    what = {"label": image, "tag": "final", **who}
    return requests.get(f"{office.base}/datastore/label", params=what, timeout=60)


def test_nothing_is_lost_or_doubled_while_three_people_label_and_a_model_is_trained(day: Day) -> None:
    assert day.faults == []
    assert len(day.sent) == 9 and any(one.second for one in day.sent)
    assert {one["status"] for one in day.trainings} == {"DONE"}


def test_the_forecast_counts_the_cases_read_twice_and_gives_no_number_of_few(
    office: Served, day: Day
) -> None:
    sent = forecast_with_agreement(office)
    agreement = sent["agreement"]
    assert 0 < agreement["n_cases"] <= sum(one.second for one in day.sent) < agreement["n_needed"]
    assert agreement["n_readers"] >= 2 and agreement["overall"] is None and agreement["structures"] == []
    assert sent["n_labelled"] == len({one.image for one in day.sent})


def test_a_second_reader_is_shown_neither_the_first_label_nor_a_prediction(office: Served, day: Day) -> None:
    sample = handed(office, "newcomer")
    assert "Second reading" in sample["message"] and sample["blind"] is True
    image = sample["id"]
    refused = download(office, image, "newcomer")
    assert refused.status_code == 409 and "draw it from nothing" in refused.json()["detail"]
    told = {"params": json.dumps({"client_id": "newcomer"})}
    where = {"image": image, "output": "image"}
    prediction = requests.post(f"{office.base}/infer/segmentation", params=where, data=told, timeout=120)
    assert prediction.status_code == 409
    first = next(one.client for one in day.sent if one.image == image and not one.second)
    assert download(office, image, first).ok, "one's own label is one's own"
    assert put(office, image, "newcomer").ok
    assert download(office, image, "newcomer").ok, "now it may be looked at"
    assert download(office, "no-such-image", "newcomer").status_code == 404


def test_a_case_that_is_given_back_goes_to_the_next_who_asks(office: Served, day: Day) -> None:
    image, lease = handed(office, "hasty")["id"], f"{office.base}/sufficiency/lease/"
    for client, ended, held in (("other", True, False), ("hasty", False, True), ("hasty", True, False)):
        said = requests.post(lease + image, json={"client_id": client, "ended": ended}, timeout=60)
        assert said.ok and said.json() == {"image": image, "held": held}
    said = requests.post(lease + image, json={"client_id": "hasty"}, timeout=60)
    assert said.json()["held"] is False
    assert handed(office, "patient")["id"] == image
    assert requests.post(lease + "nosuch", json={}, timeout=60).status_code == 404
    for body in ({"ended": "yes"}, {"until": 3}):
        assert requests.post(lease + image, json=body, timeout=60).status_code == 422


def test_the_tags_of_readers_are_the_servers_own(office: Served) -> None:
    (image,) = [Path(name).stem for name in ["synthetic_000.nrrd"]]
    assert put(office, image, "anybody", tag="reader-0123456789ab").status_code == 422
