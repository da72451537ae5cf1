"""The REST interface: roles, sentences instead of stack traces, nothing changed by a refused request."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Annotated

import pytest
from fastapi import FastAPI, Header, HTTPException
from fastapi.testclient import TestClient

from scaling_app.forecast.scores import read_curve
from scaling_app.ledger import LASTING_DOUBTS, Case, Doubt, Ledger, utc_now
from scaling_app.service.forecasting import ForecastKeeper, LiveFacts
from scaling_app.service.routes import UpdateRefusedError, make_router
from scaling_app_client.calls import Client
from scaling_app_client.messages import Failure, Reply, Request

IMAGES = {"a", "folder/b", "x y?"}


def role(*allowed: str):
    def check(role: Annotated[str, Header()] = "admin") -> None:
        if role not in allowed:
            raise HTTPException(403)

    return check


class Job:
    """Stands in for the curve job."""

    def __init__(self) -> None:
        self.running, self.started = False, 0

    def start(self) -> None:
        if self.running:
            raise UpdateRefusedError("A training is running.")
        self.started += 1


@pytest.fixture
def job() -> Job:
    return Job()


@pytest.fixture
def client(ledger: Ledger, job: Job) -> Iterator[TestClient]:
    keeper = ForecastKeeper(ledger, lambda: LiveFacts(n_pool=3))
    app = FastAPI()
    app.include_router(
        make_router(
            keeper,
            ledger,
            start_update=job.start,
            has_image=IMAGES.__contains__,
            user=role("user", "annotator", "admin"),
            annotator=role("annotator", "admin"),
            admin=role("admin"),
        )
    )
    with TestClient(app) as made:
        yield made
    keeper.close()


def test_the_answer_is_the_contract(client: TestClient, ledger: Ledger) -> None:
    ledger.save_case(Case("a", "h", utc_now(), "p", doubts=(Doubt("empty", "The label is empty."),)))
    answer = client.get("/sufficiency/")
    assert answer.status_code == 200
    body = json.loads(answer.text, parse_constant=pytest.fail)
    assert body["schema"] == 1
    assert body["status"] == "computing"
    assert body["doubts"] == [{"image": "a", "sentence": "The label is empty."}]
    assert body["job"]["state"] == "idle"


@pytest.mark.parametrize(
    ("method", "path", "body", "lowest"),
    [
        ("GET", "/sufficiency/", None, "user"),
        ("GET", "/sufficiency/curve.csv", None, "user"),
        ("GET", "/sufficiency/report", None, "user"),
        ("GET", "/sufficiency/report.html", None, "user"),
        ("GET", "/sufficiency/report/often", None, "user"),
        ("GET", "/sufficiency/report/sections", None, "user"),
        ("POST", "/sufficiency/target", {"dice": 0.8}, "annotator"),
        ("POST", "/sufficiency/case/a", {"minutes": 3}, "annotator"),
        ("POST", "/sufficiency/steps", {"steps": 1600}, "admin"),
        ("POST", "/sufficiency/update", {}, "admin"),
    ],
)
def test_each_route_asks_for_its_role(client: TestClient, method, path, body, lowest) -> None:
    order = ["nobody", "user", "annotator", "admin"]
    for name in order:
        answer = client.request(method, path, json=body, headers={"role": name})
        assert answer.status_code == (200 if order.index(name) >= order.index(lowest) else 403), name


def test_a_target_is_kept(client: TestClient, ledger: Ledger) -> None:
    assert client.post("/sufficiency/target", json={"dice": 0.85}).json() == {"target": 0.85}
    assert ledger.setting("target") == 0.85
    client.post("/sufficiency/target", json={"dice": None})
    assert ledger.setting("target") is None


def test_training_steps_are_kept(client: TestClient, ledger: Ledger) -> None:
    assert client.post("/sufficiency/steps", json={"steps": 1600}).json() == {"steps": 1600}
    assert ledger.setting("steps") == 1600
    assert client.post("/sufficiency/steps", json={"steps": "auto"}).json() == {"steps": "auto"}
    assert ledger.setting("steps") == "auto"
    client.post("/sufficiency/steps", json={"steps": None})
    assert ledger.setting("steps") is None


@pytest.mark.parametrize(
    "body",
    [
        '{"steps": 0}',
        '{"steps": 1.5}',
        '{"steps": true}',
        '{"steps": "9"}',
        '{"steps": 2000000}',
        "{}",
        "[9]",
    ],
)
def test_steps_that_are_none_are_refused_with_a_sentence(
    client: TestClient, ledger: Ledger, body: str
) -> None:
    answer = client.post("/sufficiency/steps", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422 and isinstance(answer.json()["detail"], str)
    assert ledger.setting("steps") is None


@pytest.mark.parametrize(
    "body",
    [
        '{"dice": 0}',
        '{"dice": 1}',
        '{"dice": -0.5}',
        '{"dice": 85}',
        '{"dice": NaN}',
        '{"dice": true}',
        '{"dice": "0.8"}',
        "{}",
        "[0.8]",
        "x",
    ],
)
def test_a_target_that_is_none_is_refused_with_a_sentence(
    client: TestClient, ledger: Ledger, body: str
) -> None:
    answer = client.post("/sufficiency/target", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"].endswith(".")
    assert ledger.setting("target") is None


@pytest.mark.parametrize("image", ["a", "folder/b", "x%20y%3F", "folder%2Fb"])
def test_facts_about_a_case_are_kept(client: TestClient, ledger: Ledger, image: str) -> None:
    answer = client.post(f"/sufficiency/case/{image}", json={"minutes": 7.5, "blind": True})
    assert answer.status_code == 200
    name = answer.json()["image"]
    assert name in IMAGES
    assert ledger.is_blind(name)
    ledger.save_case(Case(name, "h", utc_now(), "p"))
    assert ledger.case(name).minutes == 7.5


def test_doubts_can_be_settled(client: TestClient, ledger: Ledger) -> None:
    ledger.save_case(Case("a", "h", utc_now(), "p", doubts=(Doubt("empty", "The label is empty."),)))
    told = client.post("/sufficiency/case/a", json={"minutes": 2})
    assert told.json()["doubts"] == ["The label is empty."]
    assert client.post("/sufficiency/case/a", json={"confirmed": True}).json()["doubts"] == []
    assert len(ledger.usable_cases()) == 1


def test_a_client_may_call_things_by_their_old_names(client: TestClient, ledger: Ledger) -> None:
    ledger.save_case(Case("a", "h", utc_now(), "p", doubts=(Doubt("empty", "The label is empty."),)))
    body = client.get("/sufficiency/").json()
    assert body["problems"] == body["doubts"] != []
    assert client.post("/sufficiency/case/a", json={"resolved": True}).json()["problems"] == []
    assert len(ledger.usable_cases()) == 1


@pytest.mark.parametrize("kind", LASTING_DOUBTS)
def test_a_label_that_no_training_can_use_cannot_be_confirmed(
    client: TestClient, ledger: Ledger, kind: str
) -> None:
    doubts = (Doubt("empty", "The label is empty."), Doubt(kind, "It lies elsewhere; save it again."))
    ledger.save_case(Case("a", "h", utc_now(), "p", doubts=doubts))
    before = ledger.revision()
    answer = client.post("/sufficiency/case/a", json={"confirmed": True, "minutes": 3})
    assert answer.status_code == 409 and "It lies elsewhere; save it again." in answer.json()["detail"]
    assert ledger.revision() == before
    assert ledger.confirm_label("a") == 1 and ledger.usable_cases() == []
    ledger.save_case(Case("a", "better", utc_now(), "p"))
    assert client.post("/sufficiency/case/a", json={"confirmed": True}).status_code == 200


@pytest.mark.parametrize(
    ("image", "body", "status", "word"),
    [
        ("ghost", {"minutes": 3}, 404, "ghost"),
        ("a", {"minutes": -1}, 422, "minutes"),
        ("a", {"minutes": "3"}, 422, "minutes"),
        ("a", {"minutes": 10**400}, 422, "minutes"),
        ("a", {"minutes": 1e308}, 422, "minutes"),
        ("a", {"blind": "yes"}, 422, "blind"),
        ("a", {"confirmed": 1}, 422, "confirmed"),
        ("a", {"minuts": 3}, 422, "minuts"),
        ("a", {}, 422, "nothing"),
    ],
)
def test_what_makes_no_sense_about_a_case_changes_nothing(
    client: TestClient, ledger: Ledger, image: str, body: dict, status: int, word: str
) -> None:
    before = ledger.revision()
    answer = client.post(f"/sufficiency/case/{image}", json=body)
    assert answer.status_code == status
    assert word in answer.json()["detail"]
    assert ledger.revision() == before


def test_a_second_update_is_refused(client: TestClient, job: Job) -> None:
    assert client.post("/sufficiency/update").json()["job"]["state"] == "idle"
    job.running = True
    answer = client.post("/sufficiency/update")
    assert answer.status_code == 409
    assert answer.json()["detail"] == "A training is running."
    assert job.started == 1


def test_the_curve_can_be_downloaded_and_read(client: TestClient, session, tmp_path) -> None:
    for n in range(1, 7):
        session.label(n)
    answer = client.get("/sufficiency/curve.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    (tmp_path / "curve.csv").write_text(answer.text, encoding="utf-8")
    assert len(read_curve(tmp_path / "curve.csv")) > 8


def test_an_empty_curve_is_a_table_without_rows(client: TestClient) -> None:
    assert client.get("/sufficiency/curve.csv").text.startswith("n,dice,")


def test_the_report_is_a_page(client: TestClient) -> None:
    answer = client.get("/sufficiency/report")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text.startswith("<!doctype html>")


def test_the_report_as_a_file_needs_no_server(client: TestClient) -> None:
    answer = client.get("/sufficiency/report.html")
    assert "attachment" in answer.headers["content-disposition"]
    assert "connect-src" not in answer.text and "connect-src 'self'" in client.get("/sufficiency/report").text


@pytest.mark.parametrize("path", ["often", "sections"])
def test_what_the_page_asks_for_has_a_tag_and_an_answer_without_news_no_body(
    client: TestClient, ledger: Ledger, path: str
) -> None:
    first = client.get(f"/sufficiency/report/{path}")
    assert first.headers["cache-control"] == "no-store"  # it names patients
    known = {"If-None-Match": f'"x", {first.headers["etag"]}'}
    again = client.get(f"/sufficiency/report/{path}", headers=known)
    assert (again.status_code, again.content) == (304, b"") and again.headers["etag"] == first.headers["etag"]
    ledger.save_case(Case("a", "h", utc_now(), "p", doubts=(Doubt("empty", "The label is empty."),)))
    assert client.get(f"/sufficiency/report/{path}", headers=known).status_code == 200


def test_a_browser_that_is_not_known_gets_a_page_to_sign_in_and_nothing_of_the_studies(
    ledger: Ledger,
) -> None:
    def nobody() -> None:
        raise HTTPException(401, "Not authenticated", headers={"WWW-Authenticate": "Bearer"})

    ledger.save_case(Case("patient_7", "h", utc_now(), "p", doubts=(Doubt("empty", "Empty."),)))
    keeper, app = ForecastKeeper(ledger), FastAPI()
    roles = {"user": nobody, "annotator": nobody, "admin": nobody}
    app.include_router(make_router(keeper, ledger, start_update=list, has_image=bool, **roles))
    with TestClient(app) as client:
        page = client.get("/sufficiency/report", headers={"accept": "text/html,*/*"})
        assert page.status_code == 401 and page.headers["www-authenticate"] == "Bearer"
        assert "Password" in page.text and "patient_7" not in page.text
        assert client.get("/sufficiency/report").json() == {"detail": "Not authenticated"}
    keeper.close()


# The client -----------------------------------------------------------------------------------------


def test_what_the_client_says_is_taken_as_it_is_meant(client: TestClient, ledger: Ledger, job: Job) -> None:
    """Its own calls against these routes: neither side can rename an address or a field alone."""
    failures: list[Failure] = []

    class Direct:
        def send(self, request: Request, on_done: Callable, on_failed: Callable) -> None:
            answer = client.request(
                request.method, request.url, content=request.body, headers=dict(request.headers)
            )
            done = answer.status_code == 200
            on_done(Reply(200, answer.content)) if done else on_failed(Failure("rejected", answer.text))

        def close(self) -> None:
            """Nothing is on its way."""

    told: list[object] = []
    ours = Client(Direct(), "http://testserver", "reader")
    ledger.save_case(Case("folder/b", "h", utc_now(), "p", doubts=(Doubt("size", "It is odd."),)))
    ours.set_target(0.85, told.append, failures.append)
    ours.set_steps(1600, told.append, failures.append)
    ours.note_case("folder/b", 7.5, True, told.append, failures.append)
    ours.confirm_label("folder/b", told.append, failures.append)
    ours.update_forecast(told.append, failures.append)
    ours.sufficiency(told.append, failures.append)
    assert failures == [] and len(told) == 6
    assert (ledger.setting("target"), ledger.setting("steps"), job.started) == (0.85, 1600, 1)
    known = ledger.case("folder/b")
    assert known is not None and (known.minutes, ledger.is_blind("folder/b")) == (7.5, True)
    assert not known.doubts
    ours.set_target(None, told.append, failures.append)
    assert failures == [] and ledger.setting("target") is None
