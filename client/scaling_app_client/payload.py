"""What the server says, checked and typed. Plain Python: no qt, no MRML, no network.

Dice lies in [0, 1], times are minutes, sizes are numbers of training cases. A field that the server leaves out or sends
as null is None here: the panel then says that it is not known, never zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .json_reader import LARGEST, BadAnswer, JsonReader, seconds_between

#: The version of `GET /sufficiency/` that this module reads.
SCHEMA = 1

_ONE_RANGE = ("mean", "lo80", "hi80")
_BOTH_RANGES = (*_ONE_RANGE, "lo95", "hi95")
STATUSES = ("too_few", "prior_dominated", "ready", "computing", "error")


@dataclass(frozen=True)
class Interval:
    """A mean with its 80 % and 95 % ranges; a range the server does not give is None."""

    mean: float
    lo80: float | None = None
    hi80: float | None = None
    lo95: float | None = None
    hi95: float | None = None

    @classmethod
    def read(
        cls, reader: JsonReader | None, low: float, high: float, names: Sequence[str] = _BOTH_RANGES
    ) -> Interval | None:
        if reader is None:
            return None
        values = {name: reader.number(name, low, high) for name in names}
        return None if values["mean"] is None else cls(**values)  # type: ignore[arg-type]


@dataclass(frozen=True)
class ForecastRow:
    """What `extra` more cases are expected to bring."""

    extra: int
    n: int
    dice: Interval | None
    gain: Interval | None
    p_at_least_1pt: float | None
    minutes: float | None

    @classmethod
    def read(cls, reader: JsonReader) -> ForecastRow:
        extra, n = reader.integer("extra", 0), reader.integer("n", 0)
        if extra is None or n is None:
            raise BadAnswer("a forecast needs both extra and n")
        gain = reader.child("gain")
        return cls(
            extra=extra,
            n=n,
            dice=Interval.read(reader, 0, 1),
            gain=Interval.read(gain, -1, 1, _ONE_RANGE),
            p_at_least_1pt=gain.number("p_at_least_1pt", 0, 1) if gain else None,
            minutes=reader.number("minutes", 0),
        )


@dataclass(frozen=True)
class Curve:
    """The forecast of one structure, or of all together (`name` empty).

    `line` is the forecast at sizes from the smallest that was measured onwards, for the plot.
    """

    name: str
    now: Interval | None
    forecast: tuple[ForecastRow, ...]
    prior_share: float | None
    line: tuple[tuple[int, Interval], ...] = ()

    @classmethod
    def read(cls, reader: JsonReader, name: str) -> Curve:
        rows = sorted(
            (ForecastRow.read(row) for row in reader.children("forecast")), key=lambda row: row.extra
        )
        return cls(
            name=name,
            now=Interval.read(reader.child("now"), 0, 1),
            forecast=tuple(rows),
            prior_share=reader.number("prior_share", 0, 1),
            line=_line(reader),
        )


def _line(reader: JsonReader) -> tuple[tuple[int, Interval], ...]:
    points = [(p.integer("n", 0), Interval.read(p, 0, 1)) for p in reader.children("curve")]
    return tuple(
        sorted(((n, dice) for n, dice in points if n is not None and dice is not None), key=lambda p: p[0])
    )


@dataclass(frozen=True)
class Target:
    """The Dice that would be good enough, and how far it is."""

    dice: float
    p_reached: float | None
    median: float | None
    lo80: float | None
    hi80: float | None
    p_unreachable: float | None

    @classmethod
    def read(cls, reader: JsonReader | None) -> Target | None:
        dice = reader.number("dice", 0, 1) if reader else None
        if reader is None or dice is None:
            return None
        cases = reader.child("cases")
        return cls(
            dice=dice,
            p_reached=reader.number("p_reached", 0, 1),
            median=cases.number("median", 0) if cases else None,
            lo80=cases.number("lo80", 0) if cases else None,
            hi80=cases.number("hi80", 0) if cases else None,
            p_unreachable=reader.number("p_unreachable", 0, 1),
        )


@dataclass(frozen=True)
class StrategyEffect:
    """What training with a strategy does: `kappa` 1.6 means that 8 cases work like 13. Compared on `n_cases`.

    `title` and `what` are for people: its name, and what it does in a sentence.
    """

    name: str
    kappa: Interval | None
    dice_difference: Interval | None
    nsd_difference: Interval | None
    n_cases: int | None = None
    title: str = ""
    what: str = ""

    @classmethod
    def read(cls, reader: JsonReader) -> StrategyEffect:
        difference = reader.child("dice_difference")
        return cls(
            name=reader.text("name"),
            kappa=Interval.read(reader.child("kappa"), 0, LARGEST, _ONE_RANGE),
            dice_difference=Interval.read(difference, -1, 1),
            nsd_difference=Interval.read(reader.child("nsd_difference"), -1, 1),
            n_cases=difference.integer("n_cases", 0) if difference else None,
            title=reader.text("title"),
            what=reader.text("what"),
        )


@dataclass(frozen=True)
class Advice:
    action: str
    cases: int | None
    sentence: str
    reason: str
    because: str = ""

    @classmethod
    def read(cls, reader: JsonReader | None) -> Advice | None:
        if reader is None or not reader.has("action"):
            return None
        return cls(
            action=reader.choice("action", ("continue", "stop", "wait")),
            cases=reader.integer("cases", 0),
            sentence=reader.text("sentence"),
            reason=reader.text("reason"),
            because=reader.text("because"),
        )


@dataclass(frozen=True)
class OutlyingCase:
    image: str
    distance: float | None


@dataclass(frozen=True)
class Coverage:
    """Unlabelled cases that lie outside what has been labelled, of `pool` that were looked at."""

    outside: int
    pool: int
    cases: tuple[OutlyingCase, ...]

    @classmethod
    def read(cls, reader: JsonReader | None) -> Coverage | None:
        if reader is None:
            return None
        outside, pool = reader.integer("outside", 0), reader.integer("pool", 0)
        if outside is None or pool is None:
            return None
        cases = tuple(
            OutlyingCase(c.text("image"), c.number("distance", 0)) for c in reader.children("cases")
        )
        return cls(outside, pool, cases)


@dataclass(frozen=True)
class MeasuredPoint:
    """One measured point of the curve, of `n_cases` tested; `structure` is empty for all structures together."""

    n: int
    dice: float
    kind: str
    structure: str
    lo80: float | None = None
    hi80: float | None = None
    n_cases: int | None = None

    @classmethod
    def read(cls, reader: JsonReader) -> MeasuredPoint | None:
        n, dice = reader.integer("n", 0), reader.number("dice", 0, 1)
        if n is None or dice is None:
            return None
        return cls(
            n,
            dice,
            reader.text("kind"),
            reader.text("structure"),
            reader.number("lo80", 0, 1),
            reader.number("hi80", 0, 1),
            reader.integer("n_cases", 0),
        )


@dataclass(frozen=True)
class Agreement:
    """How far two readers agree, mean over structures: a Dice that a model need not pass.

    Attributes:
        n_cases: Cases read twice; `dice` rests on them.
        dice: None while too few were read twice.
        p_reached: Probability that the model is within a point of it in every structure now, or above.
    """

    n_cases: int
    dice: Interval | None = None
    p_reached: float | None = None

    @classmethod
    def read(cls, reader: JsonReader | None) -> Agreement | None:
        n = reader.integer("n_cases", 0) if reader else None
        if reader is None or n is None:
            return None
        overall = reader.child("overall")
        if overall is None:
            return cls(n)
        rests_on = overall.integer("n_cases", 0)
        dice = Interval.read(overall.child("dice"), 0, 1)
        return cls(n if rests_on is None else rests_on, dice, reader.number("p_reached", 0, 1))


@dataclass(frozen=True)
class Job:
    """The computation of new points on the curve, in the server; `message` is how the last one ended."""

    running: bool = False
    done: int | None = None
    total: int | None = None
    eta_seconds: float | None = None
    message: str = ""

    @classmethod
    def read(cls, reader: JsonReader | None) -> Job:
        if reader is None:
            return cls()
        return cls(
            reader.text("state") == "running",
            reader.integer("done", 0),
            reader.integer("total", 0),
            reader.number("eta_seconds", 0),
            reader.text("message"),
        )


@dataclass(frozen=True)
class Doubt:
    """A label check that did not pass, or what is odd about a file, in the server's words."""

    image: str
    sentence: str


@dataclass(frozen=True)
class Payload:
    """The whole of `GET /sufficiency/`.

    `age_s` is how long ago the forecast was made when it was sent, in seconds by the server's own clock. `n_pool` is how
    many cases have no label. `recipe` tells curves apart that were measured otherwise. None where the server does not say.
    """

    status: str
    n_labelled: int | None
    n_in_curve: int | None
    updated: str
    age_s: float | None
    message: str
    overall: Curve | None
    structures: tuple[Curve, ...]
    target: Target | None
    strategies: tuple[StrategyEffect, ...]
    advice: Advice | None
    coverage: Coverage | None
    observed: tuple[MeasuredPoint, ...]
    job: Job
    doubts: tuple[Doubt, ...]
    agreement: Agreement | None = None
    n_pool: int | None = None
    files: tuple[Doubt, ...] = ()
    recipe: str | None = None

    @classmethod
    def from_json(cls, data: Any, sent: str = "") -> Payload:
        """Check and type the server's answer.

        Args:
            data: The JSON.
            sent: When the server sent it, as HTTP's `Date` has it.

        Raises:
            BadAnswer: Names the first field that breaks the contract.
        """
        reader = JsonReader(data, "sufficiency")
        overall = reader.child("overall")
        observed = (MeasuredPoint.read(point) for point in reader.children("observed"))
        return cls(
            status=reader.choice("status", STATUSES),
            n_labelled=reader.integer("n_labelled", 0),
            n_in_curve=reader.integer("n_in_curve", 0),
            updated=reader.text("updated"),
            age_s=seconds_between(reader.text("updated"), sent),
            message=reader.text("message"),
            overall=Curve.read(overall, "") if overall else None,
            structures=tuple(Curve.read(s, s.text("name")) for s in reader.children("structures")),
            target=Target.read(reader.child("target")),
            strategies=tuple(StrategyEffect.read(s) for s in reader.children("strategies")),
            advice=Advice.read(reader.child("advice")),
            coverage=Coverage.read(reader.child("coverage")),
            observed=tuple(point for point in observed if point is not None),
            job=Job.read(reader.child("job")),
            doubts=_doubts(reader, "doubts" if reader.has("doubts") else "problems"),
            files=_doubts(reader, "files"),
            agreement=Agreement.read(reader.child("agreement")),
            n_pool=reader.integer("n_pool", 0),
            recipe=reader.text("recipe") or None,
        )

    def curve(self, structure: str) -> Curve | None:
        """The curve of a structure; the overall one for an empty name."""
        if not structure:
            return self.overall
        return next((curve for curve in self.structures if curve.name == structure), None)

    def points(self, structure: str) -> tuple[MeasuredPoint, ...]:
        """The measured points of a structure; for an empty name, of all structures together.

        Where the server measured structures alone, points of one size and kind are averaged over them.
        """
        if structure:
            return tuple(p for p in self.observed if p.structure == structure)
        together = tuple(p for p in self.observed if p.structure in ("", "overall"))
        if together:
            return together
        groups: dict[tuple[int, str], list[float]] = {}
        for point in self.observed:
            groups.setdefault((point.n, point.kind), []).append(point.dice)
        return tuple(MeasuredPoint(n, sum(d) / len(d), kind, "") for (n, kind), d in groups.items())

    @property
    def busy(self) -> bool:
        """Whether the numbers are about to change."""
        return self.status == "computing" or self.job.running


def _doubts(reader: JsonReader, name: str) -> tuple[Doubt, ...]:
    return tuple(Doubt(one.text("image"), one.text("sentence")) for one in reader.children(name))


def schema_of(data: dict[str, Any]) -> int | None:
    """The version of the contract that an answer follows, None where it names none."""
    value = data.get("schema")
    return value if isinstance(value, int) and not isinstance(value, bool) else None
