"""The contract of REST, as models: what is sent under `/sufficiency/`, in `/info/` and for a saved label.

They are the one source: `docs/contract/` holds the JSON schema and the page made from them. Dice in [0, 1], minutes,
numbers of cases. Every number is finite or null: a NaN that slips in becomes null here, because one NaN makes the whole
answer unreadable. Fields that a forecast method adds are passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from scaling_app.service.old_names import OLD_NAMES, with_new_names, with_old_names
from scaling_app.storage import finite

Status = Literal["too_few", "prior_dominated", "ready", "computing", "error"]
SCHEMA = 1
"""The version of the contract: raised when a client that reads the one before would go wrong."""


def _tell_old_names(schema: dict[str, Any], model: type[BaseModel]) -> None:
    for name, was in OLD_NAMES.get(model.__name__, {}).items():
        now = {**schema["properties"][name], "description": f"What `{name}` was called."}
        schema["properties"][was] = {**now, "deprecated": True}


class Part(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
        json_schema_extra=_tell_old_names,
    )

    @model_validator(mode="before")
    @classmethod
    def _readable(cls, value: Any) -> Any:
        return with_new_names(cls.__name__, finite(value)) if isinstance(value, Mapping) else value

    def sent(self) -> dict[str, Any]:
        """The JSON, older names included."""
        return with_old_names(type(self).__name__, self.model_dump(mode="json"))


class Range(Part):
    """A mean with its 80 % range."""

    mean: float | None = None
    """Point forecast."""
    lo80: float | None = None
    """Lower end of the 80 % range."""
    hi80: float | None = None
    """Upper end of the 80 % range."""


class Interval(Range):
    """A mean with its 80 % and 95 % ranges."""

    lo95: float | None = None
    """Lower end of the 95 % range."""
    hi95: float | None = None
    """Upper end of the 95 % range."""


class Gain(Range):
    """What further cases add to the Dice."""

    p_at_least_1pt: float | None = None
    """Probability of at least one point (0.01 Dice)."""


class Difference(Interval):
    """A strategy's mean score minus the curve's own strategy's, on the same cases."""

    n_cases: int | None = None
    """Test cases that it rests on."""


class ForecastRow(Interval):
    """The Dice after `extra` further cases."""

    extra: int
    """Further cases."""
    n: int
    """Cases in the curve then."""
    gain: Gain | None = None
    """What the further cases bring."""
    minutes: float | None = None
    """Annotation time of the further cases."""


class CurvePoint(Interval):
    """The forecast's curve at one training-set size, measured sizes included."""

    n: int
    """Training cases."""


class Curve(Part):
    """The forecast of one structure, or of all together."""

    now: Interval | None = None
    """The Dice with the present cases."""
    forecast: list[ForecastRow] = []
    """The Dice with more cases."""
    ceiling: Range | None = None
    """The Dice that no number of cases exceeds."""
    prior_share: float | None = None
    """Share of the forecast that rests on other tasks' curves, from 0 to 1."""
    curve: list[CurvePoint] = []
    """The curve for a plot."""


class StructureCurve(Curve):
    """The forecast of a named structure."""

    name: str
    """The structure."""


class CasesNeeded(Part):
    """How many further cases a target needs; null where it is out of reach of the sizes considered."""

    median: float | None = None
    """Even odds by then."""
    lo80: float | None = None
    """Lower end of the 80 % range."""
    hi80: float | None = None
    """Upper end of the 80 % range."""


class Target(Part):
    """The Dice that would be good enough, and how far it is."""

    dice: float
    """Aimed at."""
    p_reached: float | None = None
    """Probability that it is reached now."""
    cases: CasesNeeded | None = None
    """Further cases until it is reached."""
    p_unreachable: float | None = None
    """Probability that no number of cases reaches it."""


class StrategyEffect(Part):
    """What a strategy is worth: with kappa 1.6, 8 cases work like 13."""

    name: str
    """As trainings call it."""
    title: str = ""
    """For people."""
    what: str = ""
    """What it does, in a sentence."""
    kappa: Range | None = None
    """How many cases one case counts for."""
    dice_difference: Difference | None = None
    """Mean Dice against the curve's own strategy."""
    nsd_difference: Difference | None = None
    """Mean surface Dice against the curve's own strategy."""


class Advice(Part):
    """What to do next, in one sentence."""

    action: Literal["continue", "stop", "wait"]
    """What to do."""
    cases: int | None = None
    """The further cases that it speaks of."""
    probability: float | None = None
    """Probability that those bring what is worth having."""
    sentence: str
    """For people."""
    reason: str = ""
    """Why, for people."""
    because: Literal["target", "agreement", "gain", "minutes", "pool"] | None = None
    """What speaks for a stop, also where it is held back; `pool` where every case has a label."""


class OutlyingCase(Part):
    """An unlabelled case unlike those labelled."""

    image: str
    """Its name."""
    distance: float | None = None
    """How far it lies outside, in units of what is usual."""


class Coverage(Part):
    """How many unlabelled cases lie outside what has been labelled."""

    outside: int | None = None
    """Cases outside."""
    pool: int | None = None
    """Cases that were looked at."""
    cases: list[OutlyingCase] = []
    """The farthest of them."""


class MeasuredPoint(Part):
    """A measured point of the curve: mean over its test cases."""

    n: int
    """Training cases."""
    dice: float | None = None
    """Mean Dice."""
    lo80: float | None = None
    """Lower end of the 80 % range; null for one patient."""
    hi80: float | None = None
    """Upper end of the 80 % range; null for one patient."""
    kind: str
    """`prequential` (test-then-train), `fold`, `nested` or `arm`."""
    structure: str
    """The structure; `overall` for all together."""
    n_cases: int | None = None
    """Test cases."""
    strategy: str | None = None
    """Where it is another than the curve's."""


class Job(Part):
    """How far the measuring of new curve points is."""

    state: Literal["idle", "running"] = "idle"
    """Whether it runs."""
    done: int | None = None
    """Runs done."""
    total: int | None = None
    """Runs due."""
    eta_seconds: float | None = None
    """Time left."""
    message: str | None = None
    """That it is being started, what it does, or how the last one ended, where there is something to say."""


class Doubt(Part):
    """Why a label is not trusted yet, or what is wrong with a file of the studies."""

    image: str
    """The case."""
    sentence: str
    """What was found, and what to do."""


class Annotation(Part):
    """Measured annotation time."""

    minutes_per_case: float | None = None
    """Median."""
    minutes_total: float | None = None
    """Sum."""
    n_timed: int = 0
    """Cases with a time."""


class ReaderAgreement(Part):
    """How far two readers agree: one's label scored against the other's, as a model would be."""

    dice: Interval | None = None
    """Mean Dice over cases; the ranges are for further cases of these readers."""
    nsd: Interval | None = None
    """Mean surface Dice."""
    n_cases: int = 0
    """Cases that the Dice rests on."""
    n_patients: int = 0
    """Whose they are."""
    one_only: int = 0
    """Cases in which just one of the two drew it; where that is the reference, the Dice is 0, else there is none."""


class StructureAgreement(ReaderAgreement):
    """How far two readers agree on a named structure."""

    name: str
    """The structure."""


class Agreement(Part):
    """What two readers of the same cases agree to: a Dice that a model need not pass."""

    n_cases: int = 0
    """Cases read twice, each reader alone."""
    n_readers: int = 0
    """People who read them."""
    n_needed: int | None = None
    """Patients from which on there is a number."""
    nsd_tolerance_mm: float | None = None
    """Distance within which two surfaces agree, mm."""
    overall: ReaderAgreement | None = None
    """Mean over structures; null while too few were read twice."""
    structures: list[StructureAgreement] = []
    """Those of which enough were read twice."""
    p_reached: float | None = None
    """Probability that the model is within a point of it in every structure now, or above."""


class Payload(Part):
    """The answer of `GET /sufficiency/`."""

    schema_version: int = Field(SCHEMA, alias="schema")
    """Version of this contract."""
    model: str = "segmentation"
    """The model that it is about."""
    status: Status
    """Whether there is a forecast, and what it rests on."""
    n_labelled: int = 0
    """Labelled cases."""
    n_in_curve: int = 0
    """Those without open doubts."""
    n_pool: int | None = None
    """Unlabelled cases."""
    metric: str = "dice"
    """What the levels are."""
    updated: str | None = None
    """When the forecast was made, ISO 8601 in UTC."""
    message: str = ""
    """The state, for people."""
    overall: Curve | None = None
    """Mean over structures."""
    structures: list[StructureCurve] = []
    """Each structure."""
    target: Target | None = None
    """Null where none is set."""
    strategies: list[StrategyEffect] = []
    """What was compared."""
    agreement: Agreement | None = None
    """Null where no case was read twice."""
    advice: Advice
    """What to do next."""
    coverage: Coverage | None = None
    """Null before shapes were compared."""
    observed: list[MeasuredPoint] = []
    """What the forecast rests on."""
    job: Job = Job()
    """The curve job."""
    doubts: list[Doubt] = []
    """The open ones."""
    files: list[Doubt] = []
    """What is odd about files of the studies folder: to be settled there."""
    annotation: Annotation | None = None
    """Null before a time was measured."""
    low_gain: bool = False
    """Whether the stop rule found little to gain at this update."""
    evidence: str = ""
    """Identifies the scores that the forecast rests on."""
    recipe: str | None = None
    """Identifies the settings of the curve's runs; another recipe is another curve."""
    version: str | None = None
    """Of the software that made the forecast."""
