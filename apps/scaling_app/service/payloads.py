"""The JSON of `GET /sufficiency/`, as models.

Dice in [0, 1], minutes, numbers of cases. Every number is finite or null: a NaN that slips in becomes null
here, because one NaN makes the whole answer unreadable. Fields that a forecast method adds are passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from scaling_app.service.old_names import with_new_names, with_old_names
from scaling_app.storage import finite

Status = Literal["too_few", "prior_dominated", "ready", "computing", "error"]


class Part(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(extra="allow", populate_by_name=True, serialize_by_alias=True)

    @model_validator(mode="before")
    @classmethod
    def _readable(cls, value: Any) -> Any:
        return with_new_names(cls.__name__, finite(value)) if isinstance(value, Mapping) else value

    def sent(self) -> dict[str, Any]:
        """The JSON, older names included."""
        return with_old_names(type(self).__name__, self.model_dump(mode="json"))


class Interval(Part):
    """A mean with its 80 % and 95 % ranges."""

    mean: float | None = None
    lo80: float | None = None
    hi80: float | None = None
    lo95: float | None = None
    hi95: float | None = None


class Range(Part):
    """A mean with its 80 % range."""

    mean: float | None = None
    lo80: float | None = None
    hi80: float | None = None


class Gain(Range):
    """What further cases add to the Dice."""

    p_at_least_1pt: float | None = None


class ForecastRow(Interval):
    """The Dice after `extra` further cases."""

    extra: int
    n: int
    gain: Gain | None = None
    minutes: float | None = None


class CurvePoint(Interval):
    """The forecast's curve at one training-set size, measured sizes included."""

    n: int


class Curve(Part):
    """The forecast of one structure, or of all together."""

    now: Interval | None = None
    forecast: list[ForecastRow] = []
    ceiling: Range | None = None
    prior_share: float | None = None
    curve: list[CurvePoint] = []


class StructureCurve(Curve):
    """The forecast of a named structure."""

    name: str


class CasesNeeded(Part):
    """How many further cases a target needs."""

    median: float | None = None
    lo80: float | None = None
    hi80: float | None = None


class Target(Part):
    """The Dice that would be good enough, and how far it is."""

    dice: float
    p_reached: float | None = None
    cases: CasesNeeded | None = None
    p_unreachable: float | None = None


class StrategyEffect(Part):
    """What a strategy is worth: with kappa 1.6, 8 cases work like 13. `title` and `what` are for people."""

    name: str
    title: str = ""
    what: str = ""
    kappa: Range | None = None
    dice_difference: Range | None = None
    nsd_difference: Range | None = None


class Advice(Part):
    """What to do next, in one sentence."""

    action: Literal["continue", "stop", "wait"]
    cases: int | None = None
    probability: float | None = None
    sentence: str
    reason: str = ""


class OutlyingCase(Part):
    """An unlabelled case unlike those labelled."""

    image: str
    distance: float | None = None


class Coverage(Part):
    """How many unlabelled cases lie outside what has been labelled."""

    outside: int | None = None
    pool: int | None = None
    cases: list[OutlyingCase] = []


class MeasuredPoint(Part):
    """A measured point of the curve: mean over `n_cases` test cases; `strategy` where it is another than the curve's."""

    n: int
    dice: float | None = None
    lo80: float | None = None
    hi80: float | None = None
    kind: str
    structure: str
    n_cases: int | None = None
    strategy: str | None = None


class Job(Part):
    """How far the measuring of new curve points is."""

    state: Literal["idle", "running"] = "idle"
    done: int | None = None
    total: int | None = None
    eta_seconds: float | None = None
    message: str | None = None


class Doubt(Part):
    """Why a label is not trusted yet, or what is wrong with a file of the studies."""

    image: str
    sentence: str


class Annotation(Part):
    """Measured annotation time."""

    minutes_per_case: float | None = None
    minutes_total: float | None = None
    n_timed: int = 0


class Payload(Part):
    """The answer of `GET /sufficiency/`."""

    schema_version: int = Field(1, alias="schema")
    model: str = "segmentation"
    status: Status
    n_labelled: int = 0
    n_in_curve: int = 0
    n_pool: int | None = None
    metric: str = "dice"
    updated: str | None = None
    message: str = ""
    overall: Curve | None = None
    structures: list[StructureCurve] = []
    target: Target | None = None
    strategies: list[StrategyEffect] = []
    advice: Advice
    coverage: Coverage | None = None
    observed: list[MeasuredPoint] = []
    job: Job = Job()
    doubts: list[Doubt] = []
    annotation: Annotation | None = None


class Summary(Part):
    """The short form for `/info/`, saved labels and scoring: the advice and the next few cases' worth."""

    schema_version: int = Field(1, alias="schema")
    status: Status
    message: str = ""
    n_labelled: int = 0
    n_in_curve: int = 0
    n_pool: int | None = None
    now: Interval | None = None
    next: ForecastRow | None = None
    target: Target | None = None
    advice: Advice
    job: Job = Job()
    n_doubts: int = 0
    updated: str | None = None


class LabelDoubt(Part):
    """A doubt about the label that was just saved."""

    kind: str
    sentence: str


class LabelSummary(Summary):
    """What a saved label is answered with: the doubts about it, and the summary."""

    doubts: list[LabelDoubt] = []


class CaseNote(Part):
    """The body of `POST /sufficiency/case/{image}`: what is to be noted about a case, one field or more."""

    minutes: float | None = None
    blind: bool | None = None
    confirmed: bool | None = None


class NotedCase(Part):
    """Its answer: what was noted, and the doubts that are open."""

    image: str
    minutes: float | None = None
    blind: bool | None = None
    doubts: list[str] = []


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
