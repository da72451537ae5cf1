"""What Prometheus is told: numbers that hold, and no name of anybody."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path

from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from scaling_app.ledger import Case, Doubt, Ledger, Run, utc_now
from scaling_app.ledger.notes import LAST_BACKUP
from scaling_app.monai_app import watching
from scaling_app.service.metrics import Metrics, ServerFacts
from scaling_app.web.bodies import bound_bodies

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
FACTS = ServerFacts(4, {("train", "running"): 1}, 1, 2, True, False, False, {"studies": 7, "app": 8})


def told(metrics: Metrics) -> dict[tuple, float]:
    """(name, label values ...) -> value."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def metrics_of(folder: Path) -> tuple[Ledger, Metrics]:
    ledger = Ledger(folder / "ledger.sqlite")
    return ledger, Metrics(ledger, lambda: FACTS)


def test_it_counts_labels_runs_and_queues(tmp_path: Path) -> None:
    ledger, metrics = metrics_of(tmp_path)
    for image, doubts in (("a", ()), ("b", (Doubt("volume", "x"), Doubt("empty", "y")))):
        ledger.save_case(Case(image, "h", utc_now(), patient="Miller", annotator="anna", doubts=doubts))
    ledger.save_case(Case("a", "h2", utc_now(), patient="Miller"))
    ledger.start_run(Run("r", "fold", "none", "resunet", ["a"], 1, 0, 0, "s", utc_now()))
    ledger.save_forecast({"n_in_curve": 2})
    ledger.set_setting(LAST_BACKUP, {"at": "2026-01-01T00:00:00+00:00", "bytes": 1})
    found = told(metrics)
    assert found["scaling_app_cases", "usable"] == found["scaling_app_cases", "doubted"] == 1
    assert found["scaling_app_labels_saved",] == 3
    assert found["scaling_app_runs", "fold", "running"] == 1
    assert found["scaling_app_tasks", "train", "running"] == 1
    assert (found["scaling_app_pacs_up",], found["scaling_app_login",], found["scaling_app_gpus",]) == (
        0,
        1,
        2,
    )
    assert found["scaling_app_free_bytes", "studies"] == 7
    assert 0 <= found["scaling_app_forecast_age_seconds",] < 60
    assert found["scaling_app_forecast_behind",] == 0
    assert found["scaling_app_last_backup_timestamp_seconds",] == 1767225600
    assert found["process_resident_memory_bytes",] > 1e6
    assert not {"Miller", "anna", "hash"} & {word for key in found for word in key}


def test_the_page_for_operators_names_every_number(tmp_path: Path) -> None:
    ledger, metrics = metrics_of(tmp_path)
    ledger.save_forecast({"n_in_curve": 2})
    ledger.set_setting(LAST_BACKUP, {"at": "2026-01-01T00:00:00+00:00", "bytes": 1})
    given = set(re.findall(r"^# HELP (scaling_app_\w+)", metrics.text().decode(), re.MULTILINE))
    named = set(re.findall(r"scaling_app_\w+", OPERATIONS.read_text(encoding="utf-8")))
    assert {name for name in given if not name.endswith("_created")} == named


def test_what_is_not_there_is_not_told(tmp_path: Path) -> None:
    _, metrics = metrics_of(tmp_path)
    metrics._facts = lambda: ServerFacts(0)
    names = {key[0] for key in told(metrics)}
    assert (
        not {"scaling_app_pacs_up", "scaling_app_forecast_age_seconds", "scaling_app_loopback_only"} & names
    )
    assert "scaling_app_last_backup_timestamp_seconds" not in names


def test_requests_go_by_the_template_of_their_route_whatever_is_sent(tmp_path: Path) -> None:
    _, metrics = metrics_of(tmp_path)
    server = FastAPI()

    @server.get("/case/{image}")
    def case(image: str) -> None:
        if image == "bad":
            raise RuntimeError(image)

    watching.time_requests(server, metrics)
    server.include_router(watching.make_router(metrics))
    client = TestClient(server, raise_server_exceptions=False)
    for number in range(3):
        client.get(f"/case/Miller{number}")
        client.get(f"/nowhere/Miller{number}")
        client.request(f"BREW{number}", "/case/x")
    client.get("/case/bad")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = told(metrics)
    answers = {key[1:]: value for key, value in found.items() if key[0] == "scaling_app_answers_total"}
    assert answers == {
        ("GET", "/case/{image}", "2xx"): 3,
        ("GET", "/case/{image}", "5xx"): 1,
        ("GET", "none", "4xx"): 3,
        ("other", "/case/{image}", "4xx"): 3,
        ("GET", "/metrics", "2xx"): 1,
    }
    assert found["scaling_app_request_seconds_count", "GET", "/case/{image}"] == 4
    assert "Miller" not in metrics.text().decode()


def test_errors_in_the_log_are_counted(tmp_path: Path) -> None:
    _, metrics = metrics_of(tmp_path)
    before = list(logging.getLogger().handlers)
    try:
        metrics.count_errors()
        logging.getLogger("anywhere").error("bad")
        logging.getLogger("anywhere").warning("not so bad")
    finally:
        logging.getLogger().handlers[:] = before
    assert told(metrics)["scaling_app_log_errors_total",] == 1


def test_a_client_that_goes_is_no_error_of_the_server(tmp_path: Path) -> None:
    """A label whose sending was given up had counted as 5xx, which operators are woken for."""
    _, metrics = metrics_of(tmp_path)
    server = FastAPI()

    @server.post("/json")
    def take(body: dict) -> int:
        return len(body)

    bound_bodies(server, 1 << 20)
    watching.time_requests(server, metrics)
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> dict:
        return messages.pop(0)

    async def send(_: dict) -> None:
        raise AssertionError("nobody reads it")

    scope = {"type": "http", "method": "POST", "path": "/json", "headers": [], "query_string": b""}
    asyncio.run(server(scope, receive, send))
    assert told(metrics)["scaling_app_answers_total", "POST", "none", "4xx"] == 1
