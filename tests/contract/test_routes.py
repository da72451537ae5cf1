"""Requests of every kind to every route, ours and MONAI Label's: none may end with an error of Python."""

from __future__ import annotations

import time
from collections import Counter

import pytest
import requests

from benchmarks.contract.routes import ask_everything

pytestmark = pytest.mark.slow_server

LEAST_REQUESTS = 1000
"""Always the same ones; `benchmarks.contract.run` asks as many others as one wants."""
SECONDS = 480
"""A quiet machine needs a quarter of it."""


def answers_of(server, *, least: int) -> Counter:
    """The answers by their status; none may be an error."""
    asked = ask_everything(server.base, least=least)
    assert not asked.failures, f"{len(asked.failures)}: {asked.failures[:5]}\n{server.tail()}"
    return asked.answers


@pytest.mark.timeout(600)
def test_no_request_ends_with_an_error_of_the_server(server):
    before = time.monotonic()
    answers = answers_of(server, least=LEAST_REQUESTS * 5 // 4)
    assert answers.total() >= LEAST_REQUESTS and answers[503] == 0, answers
    assert answers[200] and answers[422], answers
    assert time.monotonic() - before < SECONDS
    assert requests.get(f"{server.base}/info/", timeout=10).ok


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/logs/gpu", {}, 404),
        ("GET", "/logs/", {"params": {"lines": 10**30}}, 422),
        ("GET", "/ohif/%2e", {}, (200, 404)),
        ("GET", "/static/%00", {}, 404),
        ("GET", "/proxy/dicom/qido/studies", {}, 404),
        ("POST", "/scoring/x", {}, 404),
        ("POST", "/reload", {}, 405),
        ("POST", "/train/", {}, 422),
        ("POST", "/batch/infer/segmentation", {"json": {"max_batch_size": "x"}}, 422),
        ("POST", "/activelearning/random", {"data": "[" * 990 + "]" * 990}, 422),
        ("POST", "/sufficiency/target", {"data": '{"dice":' * 990 + "1" + "}" * 990}, 422),
        ("PUT", "/datastore/image/info", {"data": {"info": "[" * 990 + "]" * 990}}, 422),
        ("POST", "/sufficiency/target", {"data": b" " * (2 << 20)}, 413),
        ("HEAD", "/datastore/image", {"params": {"image": "synthetic_000", "check_sum": "X:1"}}, 422),
        ("POST", "/infer/segmentation", {"params": {"image": "synthetic_000", "output": "dicom_seg"}}, 422),
    ],
)
def test_what_ended_with_an_error_is_refused_with_a_sentence(server, method, path, options, status):
    params = {"image": "synthetic_000"} if path == "/datastore/image/info" else None
    options = {"params": params, "headers": {"Content-Type": "application/json"}, **options}
    if isinstance(options.get("data"), dict) or "json" in options:
        options.pop("headers")
    answer = requests.request(method, f"{server.base}{path}", timeout=60, **options)
    wanted = status if isinstance(status, tuple) else (status,)
    assert answer.status_code in wanted, (answer.status_code, answer.text[:300], server.tail())
    if method != "HEAD" and answer.status_code >= 400 and "json" in answer.headers.get("content-type", ""):
        assert answer.json()["detail"]
