"""The JSON of `GET /sufficiency/`, as models.

Dice in [0, 1], minutes, numbers of cases. Every number is finite or null: a NaN that slips in becomes null
here, because one NaN makes the whole answer unreadable. Fields that a forecast method adds are passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from scaling_app.storage import finite

Status = Literal["too_few", "prior_dominated", "ready", "computing", "error"]


class Part(BaseModel):
    """A part of the answer."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _finite_numbers(cls, value: Any) -> Any:
        return finite(value) if isinstance(value, Mapping) else value


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


class Observed(Part):
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


class Problem(Part):
    """A doubt about a label."""

    image: str
    sentence: str


class Annotation(Part):
    """Measured annotation time."""

    minutes_per_case: float | None = None
    minutes_total: float | None = None
    n_timed: int = 0


class Sufficiency(Part):
    """The whole answer."""

    model_config = ConfigDict(extra="allow", populate_by_name=True, serialize_by_alias=True)

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
    observed: list[Observed] = []
    job: Job = Job()
    problems: list[Problem] = []
    annotation: Annotation | None = None


def summary_of(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The short form for `/info/`, saved labels and scoring: the advice and the next few cases' worth."""
    overall = payload.get("overall") or {}
    rows = overall.get("forecast") or []
    ahead = next((row for row in rows if row["extra"] >= 5), rows[-1] if rows else None)
    short = {key: payload.get(key) for key in ("schema", "status", "message", "n_labelled", "n_in_curve")}
    return {
        **short,
        "n_pool": payload.get("n_pool"),
        "now": overall.get("now"),
        "next": ahead,
        "target": payload.get("target"),
        "advice": payload.get("advice"),
        "job": payload.get("job"),
        "n_problems": len(payload.get("problems") or []),
        "updated": payload.get("updated"),
    }
