"""The strategies there are, one entry each: server, command line, forecast, report and viewer read this table.

A new strategy is a class and one entry here. The table imports no torch: a class is imported when it is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

Family = Literal["none", "baseline", "deformation", "generation"]
"""Nothing; affine and intensity changes; deformed cases; generated cases."""

AUTO = "auto"
"""No strategy of its own: the one that won on this session's own folds, else `OWN_OF_AUTO`."""

OWN_OF_AUTO = "baseline"
"""What the session's own curve is trained with under `auto`, and what the others have to beat."""

_AUTO_IN_WORDS = ("Auto", "Takes the strategy that won on your own cases, and before there is one, Baseline.")


@dataclass(frozen=True)
class Entry:
    """One strategy.

    Attributes:
        name: what requests and options call it.
        title: how those who published it write it.
        what: what it does, in a sentence for a radiologist.
        families: the kinds of change that it makes.
        made_by: module and class, below `scaling_app.strategies`.
        cost: duration of a training, in that of `baseline`: medians over the paired runs of the bank, and of
            `benchmarks/genseg` for what generates. Comparisons begin with the cheapest.
        compared_by_auto: whether `auto` tries it.
        without_pool: the strategy whose very models it makes where it takes no unlabelled images.
        patients_with_pool: up to how many labelled patients it takes unlabelled images.
    """

    name: str
    title: str
    what: str
    families: tuple[Family, ...]
    made_by: str
    cost: float
    compared_by_auto: bool = False
    without_pool: str | None = None
    patients_with_pool: int | None = None


CATALOGUE: tuple[Entry, ...] = (
    Entry(
        "none",
        "None",
        "Shows the network your cases as they are.",
        ("none",),
        "baseline:NoAugmentation",
        0.87,
    ),
    Entry(
        "baseline",
        "Baseline",
        "Shows your cases turned, scaled, brighter, darker and blurred.",
        ("baseline",),
        "baseline:Baseline",
        1.0,
    ),
    Entry("red", "RED", "Bends your cases at random.", ("deformation",), "deformation:Red", 1.14),
    Entry(
        "regda",
        "RegDA",
        "Bends your cases towards each other's shapes.",
        ("deformation",),
        "deformation:RegDA",
        1.7,
    ),
    Entry(
        "regda+pool",
        "RegDA + pool",
        "Bends your cases towards each other's shapes, and carries their labels over to unlabelled images.",
        ("deformation",),
        "deformation:RegDAPool",
        1.26,
        compared_by_auto=True,
        without_pool="regda",
    ),
    Entry(
        "genda",
        "GenDA",
        "Bends your cases into new shapes of the same kind.",
        ("deformation",),
        "deformation:GenDA",
        2.34,
        compared_by_auto=True,
    ),
    Entry(
        "genda+pool",
        "GenDA + pool",
        "Bends your cases into new shapes; with few cases it begins on unlabelled images under carried labels.",
        ("deformation",),
        "deformation:GenDAPool",
        1.29,
        compared_by_auto=True,
        without_pool="genda",
        patients_with_pool=10,
    ),
    Entry(
        "genseg",
        "GenSeg",
        "Paints new images for given labels, as far as that is shown to help.",
        ("generation",),
        "generative:GenSeg",
        2.41,
    ),
    Entry(
        "genseg+fields",
        "GenSeg + fields",
        "Changes shapes and brightness of your cases as the network's own errors ask.",
        ("generation",),
        "generative:GenSegFields",
        1.95,
    ),
    Entry(
        "genda+genseg",
        "GenDA + GenSeg",
        "Bends your cases into new shapes, and paints new images as far as that is shown to help.",
        ("deformation", "generation"),
        "generative:GenDAGenSeg",
        5.7,
    ),
)

_BY_NAME = {entry.name: entry for entry in CATALOGUE}
_ADDED: dict[str, Callable[[], object]] = {}


def names() -> list[str]:
    """The strategies' names, in the order of the table."""
    return [*_BY_NAME, *_ADDED]


def register(name: str, factory: Callable[[], object]) -> None:
    """Makes a strategy selectable in this process alone: an arm of an experiment.

    Raises:
        ValueError: there is one of that name.
    """
    if name in names():
        raise ValueError(f"there is a strategy {name!r} already")
    _ADDED[name] = factory


def title_of(name: str) -> str:
    """How those who published the strategy write it; of one that is not in the table, its name."""
    entry = _BY_NAME.get(name)
    return entry.title if entry else name


def what_of(name: str) -> str:
    """What the strategy does, in a sentence; nothing of one that is not in the table."""
    entry = _BY_NAME.get(name)
    return entry.what if entry else ""


def described() -> list[tuple[str, str, str]]:
    """Name, title and what it does of everything that a training may be told, `auto` included."""
    return [*((name, title_of(name), what_of(name)) for name in names()), (AUTO, *_AUTO_IN_WORDS)]


def families_of(name: str) -> frozenset[Family]:
    """The kinds of change that a strategy makes.

    Arms of an experiment are told by their first word (`red-mild`), and what is joined by a plus belongs to the
    families of both (`genda+genseg`). Empty for names that are not in the table.
    """
    parts = (_BY_NAME.get(part.split("-")[0]) for part in name.split("+"))
    return frozenset(family for entry in parts if entry is not None for family in entry.families)


def generating() -> list[str]:
    """The strategies that generate cases."""
    return [entry.name for entry in CATALOGUE if "generation" in entry.families]


def entry_of(name: str) -> Entry:
    """The entry of that name.

    Raises:
        ValueError: no such strategy; the message lists those there are.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        raise ValueError(f"unknown strategy {name!r}; there are: {', '.join(names())}") from None


def maker_of(name: str) -> Callable[[], object]:
    """What makes a strategy of that name; its module is imported now.

    Raises:
        ValueError: no such strategy; the message lists those there are.
    """
    if name in _ADDED:
        return _ADDED[name]
    module, cls = entry_of(name).made_by.split(":")
    maker: Callable[[], object] = getattr(import_module(f"scaling_app.strategies.{module}"), cls)
    return maker


def compared_by_auto() -> tuple[str, ...]:
    """What `auto` tries beside `OWN_OF_AUTO`, cheapest first."""
    tried = sorted((entry for entry in CATALOGUE if entry.compared_by_auto), key=lambda entry: entry.cost)
    return tuple(entry.name for entry in tried)


def same_as(name: str, patients: int, pool_images: int) -> str:
    """The strategy whose very models this one makes on so many labelled patients and unlabelled images."""
    entry = _BY_NAME.get(name)
    if entry is None or entry.without_pool is None:
        return name
    few = entry.patients_with_pool is None or patients <= entry.patients_with_pool
    return name if pool_images and few else entry.without_pool
