"""`GET /metrics`: how the server does, for Prometheus. Numbers alone: no name of an image, a patient or a person.

Each label of a number has a handful of values, whatever clients send: routes go by their template.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from scaling_app import __version__
from scaling_app.ledger import Ledger, utc_now
from scaling_app.ledger.notes import LAST_BACKUP

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
NO_ROUTE = "none"
"""The template of an address that leads nowhere."""

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


@dataclass(frozen=True)
class ServerFacts:
    """What only the running server knows.

    Attributes:
        unlabelled: images without a label.
        tasks: MONAI Label's queues: kind and state -> tasks since the start.
        trainers: processes that train now.
        gpus: that PyTorch sees.
        login: whether it asks who is there.
        loopback_only: whether only this machine reaches it; None where that cannot be told.
        pacs_up: whether the DICOM server answered at the last look; None for a folder.
        free_bytes: on the disks of `studies` and `app`.
    """

    unlabelled: int
    tasks: Mapping[tuple[str, str], int] = field(default_factory=dict)
    trainers: int = 0
    gpus: int = 0
    login: bool = False
    loopback_only: bool | None = None
    pacs_up: bool | None = None
    free_bytes: Mapping[str, int] = field(default_factory=dict)


class Metrics:
    """The numbers of one server.

    Args:
        ledger: counted at every question.
        facts: asked at every question; must be quick.
    """

    def __init__(self, ledger: Ledger, facts: Callable[[], ServerFacts]) -> None:
        self._ledger, self._facts = ledger, facts
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)
        self._requests = Histogram(
            "scaling_app_request_seconds",
            "Time of a request, by the template of its route",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._answers = Counter(
            "scaling_app_answers",
            "Answers by the first digit of their status",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._errors = Counter("scaling_app_log_errors", "Errors that were logged", registry=self._registry)

    def saw_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts an answer.

        Args:
            route: the template, never the address itself.
        """
        method = method if method in METHODS else "other"
        self._requests.labels(method, route).observe(seconds)
        self._answers.labels(method, route, f"{status // 100}xx").inc()

    def count_errors(self) -> None:
        """Counts what is logged as an error from now on."""
        logging.getLogger().addHandler(_Counting(self._errors))

    def text(self) -> bytes:
        """All of it, in Prometheus' text form."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """What is counted only when it is asked for; prometheus_client calls this."""
        counts, facts = self._ledger.counts(), self._facts()
        yield _gauge("info", "Always 1; the version is a label", {(__version__,): 1}, "version")
        yield _gauge(
            "cases",
            "Labelled cases",
            {("usable",): counts.cases - counts.doubted, ("doubted",): counts.doubted},
            "state",
        )
        yield _gauge("labels_saved", "Labels ever saved, replaced ones too", {(): counts.labels})
        yield _gauge("images_unlabelled", "Images without a label", {(): facts.unlabelled})
        yield _gauge("runs", "Trainings in the ledger", counts.runs, "purpose", "state")
        yield _gauge("tasks", "Tasks of MONAI Label's queues since the start", facts.tasks, "kind", "state")
        yield _gauge("trainers", "Processes that train now", {(): facts.trainers})
        yield _gauge("gpus", "GPUs that PyTorch sees", {(): facts.gpus})
        yield _gauge("login", "1 where a login is asked for", {(): facts.login})
        yield _gauge(
            "free_bytes",
            "Free on the disk of a folder",
            {(k,): v for k, v in facts.free_bytes.items()},
            "folder",
        )
        if facts.loopback_only is not None:
            yield _gauge(
                "loopback_only", "1 where only this machine reaches the server", {(): facts.loopback_only}
            )
        if facts.pacs_up is not None:
            yield _gauge("pacs_up", "1 where the DICOM server answered at the last look", {(): facts.pacs_up})
        if counts.forecast_at is not None:
            age = (utc_now() - counts.forecast_at).total_seconds()
            yield _gauge("forecast_age_seconds", "Since the newest forecast was made", {(): age})
        behind = counts.forecast_revision != counts.revision
        yield _gauge(
            "forecast_behind", "1 where the ledger has moved since the newest forecast", {(): behind}
        )
        if (backup := self._ledger.setting(LAST_BACKUP)) is not None:
            made = datetime.fromisoformat(backup["at"]).timestamp()
            yield _gauge("last_backup_timestamp_seconds", "When the last backup was made", {(): made})


def _gauge(name: str, meaning: str, values: Mapping[Any, float], *labels: str) -> Metric:
    family = GaugeMetricFamily(f"scaling_app_{name}", meaning, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), float(value))
    return family


class _Counting(logging.Handler):
    def __init__(self, errors: Counter) -> None:
        super().__init__(logging.ERROR)
        self._errors = errors

    def emit(self, record: logging.LogRecord) -> None:
        self._errors.inc()
