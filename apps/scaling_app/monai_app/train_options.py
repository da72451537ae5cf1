"""What a request may say to a trainer: flat values, as the stock Slicer module's options table has them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaling_app.monai_app.conf import Conf


class OptionError(ValueError):
    """A training request that cannot be run; the message says which option and what is possible."""


@dataclass(frozen=True)
class TrainOptions:
    """How to train: everything a request may choose, and the capacity from the conf."""

    strategy: str
    network: str
    capacity: str | int
    steps: int
    max_minutes: float
    seed: int

    def settings_hash(self, structures: Mapping[str, int], dimension: int | None) -> str:
        """Of everything that decides what a run learns, besides its cases and seed."""
        facts = {**asdict(self), "structures": dict(structures), "dimension": dimension}
        del facts["seed"], facts["max_minutes"]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def config_of(conf: Conf) -> dict[str, str | int | float | list[str]]:
    """The options table: flat values and lists of words whose first is the default."""
    return {
        "strategy": _first(conf.strategy, _strategies()),
        "network": _first(conf.network, _networks()),
        "steps": conf.steps,
        "max_minutes": conf.max_minutes,
        "seed": conf.seed,
    }


def parse_options(request: Mapping[str, object], conf: Conf) -> TrainOptions:
    """Reads a training request; what it leaves out comes from the conf, what it adds is ignored.

    A list stands for its first item: that is what a client sends that returns the options table as it
    came.

    Raises:
        OptionError: an unknown strategy or network, or a number out of range.
    """
    return TrainOptions(
        strategy=_choice("strategy", request, conf.strategy, _strategies()),
        network=_choice("network", request, conf.network, _networks()),
        capacity=conf.capacity,
        steps=int(number_option("steps", request, conf.steps, low=1, high=1_000_000, whole=True)),
        max_minutes=number_option("max_minutes", request, conf.max_minutes, low=0.05, high=10080),
        seed=int(number_option("seed", request, conf.seed, low=0, high=2**31 - 1, whole=True)),
    )


def number_option(
    name: str, request: Mapping[str, object], default: float, *, low: float, high: float, whole: bool = False
) -> float:
    """A number of a request, or the default when it is left out.

    Raises:
        OptionError: no number, or out of range.
    """
    value = _given(name, request)
    if value is None:
        return default
    kind: Callable[[str], float] = int if whole else float
    try:
        number = kind(str(value))
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        what = "a whole number" if whole else "a number"
        raise OptionError(f"{name} must be {what} from {low:g} to {high:g}, got {value!r}.")
    return number


def _strategies() -> list[str]:
    from scaling_app import strategies

    return strategies.names()


def _networks() -> Sequence[str]:
    from scaling_app.imaging.networks import NETWORKS

    return NETWORKS


def _first(default: str, names: Sequence[str]) -> list[str]:
    return [default, *(name for name in names if name != default)]


def _given(name: str, request: Mapping[str, object]) -> object:
    value = request.get(name)
    if isinstance(value, (list, tuple)):
        value = value[0] if value else None
    return None if value == "" else value


def _choice(name: str, request: Mapping[str, object], default: str, names: Sequence[str]) -> str:
    value = _given(name, request)
    if value is None:
        return default
    if value not in names:
        raise OptionError(f"Unknown {name} {value!r}; there are: {', '.join(names)}.")
    return str(value)
