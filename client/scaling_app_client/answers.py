"""MONAI Label's own answers, checked and typed: `/info/`, the next case, a saved label, a training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .json_reader import BadAnswer, JsonReader

#: In the place of a number of steps: as many as the cases ask for.
AUTO_STEPS = "auto"
_CLOCK = re.compile(r"(\d{1,4}):(\d{1,2}):(\d{1,2})")


@dataclass(frozen=True)
class TrainingPlan:
    """How long a trainer takes.

    Attributes:
        minutes: What its last run took, or its present one so far.
        steps: Training steps of that run.
        progress: The part of it that is done, in [0, 1].
        most_minutes: After which it ends.
        told_left: Minutes that the present run still takes, as the server tells them: by its steps, or by the minutes that
            end it before, and also where it goes on from a checkpoint.
    """

    minutes: float | None = None
    steps: int | None = None
    progress: float | None = None
    most_minutes: float | None = None
    told_left: float | None = None

    def expected_minutes(self, steps: int | None) -> float | None:
        """Of a run of so many steps, judged by the last whole one; no more than those after which it ends."""
        if self.progress != 1.0 or not self.minutes or not self.steps or not steps:
            return None
        expected = self.minutes * steps / self.steps
        return expected if self.most_minutes is None else min(expected, self.most_minutes)

    @property
    def minutes_left(self) -> float | None:
        """Of the present run; None while too little of it is done to tell. An older server does not tell it."""
        if self.told_left is not None:
            return self.told_left
        if not self.minutes or self.progress is None or self.progress < 0.02:
            return None
        return self.minutes * (1 - self.progress) / self.progress


@dataclass(frozen=True)
class StrategyWords:
    """What a training strategy is called, and what it does, in a sentence."""

    title: str
    what: str


@dataclass(frozen=True)
class ServerInfo:
    """What the server offers.

    Attributes:
        labels: Structure name to the value of its voxels, background left out.
        models: Names of the models that predict.
        trainers: Name of each trainer to the strategies that it offers.
        rules: Name to description of each next-case rule.
        plans: Trainer name to how long it takes, and how far it is.
        offered: Name of each training strategy to its words; empty where the server does not say.
        steps: Training steps of a run, or `AUTO_STEPS`; None where the server does not say.
        version: Of the app; empty where the server does not say.
        schema: Version of the contract that it speaks, None for another app.
    """

    name: str
    labels: Mapping[str, int]
    models: tuple[str, ...]
    trainers: Mapping[str, tuple[str, ...]]
    rules: Mapping[str, str]
    total: int | None
    completed: int | None
    has_sufficiency: bool
    plans: Mapping[str, TrainingPlan] = field(default_factory=dict)
    offered: Mapping[str, StrategyWords] = field(default_factory=dict)
    steps: int | str | None = None
    version: str = ""
    schema: int | None = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ServerInfo:
        """Read `/info/`.

        Raises:
            BadAnswer: When this is no MONAI Label server, or one whose labels cannot be read.
        """
        reader = JsonReader(data, "info")
        if not isinstance(reader.raw("models"), dict) or not isinstance(reader.raw("strategies"), dict):
            raise BadAnswer("info has no models and strategies")
        datastore = reader.child("datastore")
        rules = reader.child("strategies")
        return cls(
            name=reader.text("name"),
            labels=_labels(data),
            models=_segmentation_models(data["models"]),
            trainers=_trainers(data.get("trainers")),
            rules={name: _description(rules.raw(name)) for name in rules.names()} if rules else {},
            total=datastore.integer("total", 0) if datastore else None,
            completed=datastore.integer("completed", 0) if datastore else None,
            has_sufficiency=reader.raw("sufficiency") is not None,
            plans=_plans(data.get("trainers"), data.get("train_stats")),
            offered=_offered(reader.raw("sufficiency")),
            steps=_steps(data.get("trainers")),
            version=reader.text("version"),
            schema=_schema(reader.raw("sufficiency")),
        )


def _schema(summary: Any) -> int | None:
    value = summary.get("schema") if isinstance(summary, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _offered(summary: Any) -> dict[str, StrategyWords]:
    entries = (
        JsonReader(summary, "info.sufficiency").children("strategies") if isinstance(summary, dict) else ()
    )
    return {entry.text("name"): StrategyWords(entry.text("title"), entry.text("what")) for entry in entries}


def _description(entry: Any) -> str:
    text = entry.get("description") if isinstance(entry, dict) else ""
    return text if isinstance(text, str) else ""


def _segmentation_models(models: Mapping[str, Any]) -> tuple[str, ...]:
    kinds = {name: entry.get("type") for name, entry in models.items() if isinstance(entry, dict)}
    return tuple(name for name, kind in kinds.items() if kind == "segmentation")


def _trainers(entries: Any) -> dict[str, tuple[str, ...]]:
    found = {}
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        config = entry.get("config") if isinstance(entry, dict) else None
        offered = config.get("strategy") if isinstance(config, dict) else None
        found[name] = tuple(map(str, offered)) if isinstance(offered, list) else ()
    return found


def _steps(entries: Any) -> int | str | None:
    """The steps that all trainers share; None where one says nothing or something else."""
    trainers = entries.values() if isinstance(entries, dict) else ()
    configs = [entry.get("config") for entry in trainers if isinstance(entry, dict)]
    found = [config.get("steps") for config in configs if isinstance(config, dict)]
    steps = found[0] if found and all(other == found[0] for other in found) else None
    usable = isinstance(steps, int) and not isinstance(steps, bool) and steps > 0
    return steps if usable or steps == AUTO_STEPS else None


def _labels(data: Mapping[str, Any]) -> dict[str, int]:
    """Values of the structures. A list counts from 1, as MONAI Label does; a mapping says the values itself."""
    trainers = data.get("trainers")
    tasks = [*data["models"].values(), *(trainers.values() if isinstance(trainers, dict) else ())]
    candidates = [task.get("labels") for task in tasks if isinstance(task, dict)]
    # The mapping of a model or its trainer is what the network learns; the app's own list has lost the values.
    for labels in [*[c for c in candidates if isinstance(c, dict) and c], data.get("labels")]:
        if not labels:
            continue
        pairs = labels.items() if isinstance(labels, dict) else zip(labels, range(1, len(labels) + 1))
        return _checked_labels(dict(pairs))
    return {}


def _checked_labels(pairs: Mapping[Any, Any]) -> dict[str, int]:
    result: dict[str, int] = {}
    for name, value in pairs.items():
        if not isinstance(name, str) or isinstance(value, bool) or not isinstance(value, int):
            raise BadAnswer(f"label {name!r} has the value {value!r}, not a whole number")
        if value == 0 or name.lower() == "background":
            continue
        if not 0 < value < 65536:
            raise BadAnswer(f"label {name} has the value {value}, outside 1 to 65535")
        result[name] = value
    if len(set(result.values())) != len(result):
        raise BadAnswer(f"two labels share one value: {result}")
    return dict(sorted(result.items(), key=lambda pair: pair[1]))


def _plans(trainers: Any, stats: Any) -> dict[str, TrainingPlan]:
    """Of every trainer, from its options and its statistics; what cannot be read is not known."""
    named, counted = _mapping(trainers), _mapping(stats)
    found = {}
    for name in dict.fromkeys([*named, *counted]):
        entry, config = _mapping(counted.get(name)), _mapping(_mapping(named.get(name)).get("config"))
        step, steps = _number(entry.get("epoch")), _number(entry.get("total_epochs"))
        left = _number(entry.get("seconds_left"))
        found[name] = TrainingPlan(
            minutes=_minutes(entry.get("total_time", entry.get("current_time"))),
            steps=int(steps) if steps else None,
            progress=min(max(step / steps, 0.0), 1.0) if step is not None and steps else None,
            most_minutes=_number(config.get("curve_minutes", config.get("max_minutes"))),
            told_left=None if left is None else max(left, 0.0) / 60,
        )
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")
    return float(value) if usable else None


def _minutes(text: Any) -> float | None:
    """`1:02:30` in minutes; None of anything else, runs of days included."""
    parts = _CLOCK.fullmatch(text) if isinstance(text, str) else None
    if parts is None:
        return None
    hours, minutes, seconds = map(int, parts.groups())
    return 60 * hours + minutes + seconds / 60


@dataclass(frozen=True)
class NextCase:
    """The case to label next.

    Attributes:
        file_name: Of its image; a name alone, without folders.
        blind: None where the server does not say.
        message: What the server says of it, in its words; empty where it says nothing.
    """

    image_id: str
    file_name: str
    blind: bool | None
    message: str = ""


@dataclass(frozen=True)
class NoCase:
    """There is none to label. `message` says why, in the server's words; empty where it does not say."""

    message: str


def read_next_case(data: dict[str, Any]) -> NextCase | NoCase:
    """Read the answer of `/activelearning/`."""
    reader = JsonReader(data, "next case")
    if not reader.text("id"):
        return NoCase(reader.text("message"))
    image_id = reader.text("id")
    name = reader.text("name") or image_id + ".nii.gz"
    return NextCase(image_id, _last_part(name), reader.boolean("blind"), reader.text("message"))


def _last_part(path: str) -> str:
    """The name at the end of a path, as it may be written into a folder of ours."""
    name = re.split(r"[/\\]", path)[-1]
    if name in ("", ".", "..") or not name.isprintable():
        raise BadAnswer(f"next case.name should be a file's name, but is {path[:60]!r}")
    return name


@dataclass(frozen=True)
class SavedLabel:
    """The answer to a submitted label: the doubts about it, None where the server does not say."""

    doubts: tuple[str, ...] | None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SavedLabel:
        summary = data.get("sufficiency")
        found = summary.get("doubts", summary.get("flags")) if isinstance(summary, dict) else None
        if not isinstance(found, list):
            return cls(None)
        sentences = [entry.get("sentence") for entry in found if isinstance(entry, dict)]
        return cls(tuple(dict.fromkeys(s for s in sentences if isinstance(s, str) and s)))


@dataclass(frozen=True)
class TrainingTask:
    """One task of MONAI Label's training queue. Its `id` is empty where the server does not say."""

    status: str
    model: str
    lines: tuple[str, ...]
    id: str = ""

    @property
    def running(self) -> bool:
        return self.status in ("SUBMITTED", "RUNNING")

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TrainingTask:
        reader = JsonReader(data, "training")
        request = reader.child("request")
        details = data.get("details")
        lines = tuple(str(line) for line in details) if isinstance(details, list) else ()
        return cls(
            status=reader.text("status").upper(),
            model=request.text("model") if request else "",
            lines=lines,
            id=reader.text("id"),
        )
