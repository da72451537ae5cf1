"""The other answers that are part of the contract: summaries, and facts about a case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from scaling_app.service.payloads import (
    SCHEMA,
    Advice,
    ForecastRow,
    Interval,
    Job,
    Part,
    Payload,
    Status,
    Target,
)
from scaling_app.strategies.catalogue import described


class Summary(Part):
    """The short form for `/info/`, saved labels and scoring: the advice and the next few cases' worth."""

    schema_version: int = Field(SCHEMA, alias="schema")
    """Version of this contract."""
    status: Status
    """As in the payload; so the fields below."""
    message: str = ""
    """The state, for people."""
    n_labelled: int = 0
    """Labelled cases."""
    n_in_curve: int = 0
    """Those without open doubts."""
    n_pool: int | None = None
    """Unlabelled cases."""
    now: Interval | None = None
    """The Dice with the present cases, mean over structures."""
    next: ForecastRow | None = None
    """The Dice with about five more."""
    target: Target | None = None
    """Null where none is set."""
    advice: Advice
    """What to do next."""
    job: Job = Job()
    """The curve job."""
    n_doubts: int = 0
    """How many are open."""
    updated: str | None = None
    """When the forecast was made, ISO 8601 in UTC."""


class LabelDoubt(Part):
    """A doubt about the label that was just saved."""

    kind: str
    """What it is about, in one word."""
    sentence: str
    """What was found, and what to do."""


class StrategyWords(Part):
    """A strategy for people."""

    name: str
    """As trainings call it."""
    title: str
    """For people."""
    what: str
    """What it does, in a sentence."""


class InfoSummary(Summary):
    """`sufficiency` of `/info/`: the summary, and what trainings may be told, in words."""

    strategies: list[StrategyWords] = Field(default_factory=list)
    """Every strategy that a training may be told."""


class LabelSummary(Summary):
    """`sufficiency` of the answer to a saved label: the doubts about it, and the summary."""

    doubts: list[LabelDoubt] = Field(default_factory=list)
    """About this label."""


class CaseNote(Part):
    """The body of `POST /sufficiency/case/{image}`: one field or more."""

    minutes: float | None = None
    """Annotation time."""
    blind: bool | None = None
    """Whether the case is to be labelled without a prediction."""
    confirmed: bool | None = None
    """That the label is right, whatever was doubted."""


class NotedCase(Part):
    """The answer to it."""

    image: str
    """The case."""
    minutes: float | None = None
    """What was noted now; null for nothing."""
    blind: bool | None = None
    """What holds now."""
    doubts: list[str] = Field(default_factory=list)
    """The open ones, in sentences."""


CONTRACT: tuple[type[Part], ...] = (Payload, Summary, InfoSummary, LabelSummary, CaseNote, NotedCase)
"""What is sent or taken as a whole."""


def summary_of(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The summary of an answer of `GET /sufficiency/`."""
    whole = Payload.model_validate(payload)
    rows = whole.overall.forecast if whole.overall else []
    ahead = next((row for row in rows if row.extra >= 5), rows[-1] if rows else None)
    return Summary(
        schema=whole.schema_version,
        status=whole.status,
        message=whole.message,
        n_labelled=whole.n_labelled,
        n_in_curve=whole.n_in_curve,
        n_pool=whole.n_pool,
        now=whole.overall.now if whole.overall else None,
        next=ahead,
        target=whole.target,
        advice=whole.advice,
        job=whole.job,
        n_doubts=len(whole.doubts),
        updated=whole.updated,
    ).sent()


def in_info(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The summary for `/info/`: with what trainings may be told."""
    offered = [StrategyWords(name=name, title=title, what=what) for name, title, what in described()]
    return InfoSummary.model_validate({**summary, "strategies": offered}).sent()
