"""What a request may say to a trainer: flat values, as the stock Slicer module's options table has them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from scaling_app.forecast.arms import LONGER, LONGER_TIMES, longer_name, trained_longer
from scaling_app.imaging.network_table import NETWORKS
from scaling_app.strategies.catalogue import AUTO, OWN_OF_AUTO, compared_by_auto
from scaling_app.studies.conf import ConfError, parse_compare, strategy_choices
from scaling_app.trials.length import AUTO_STEPS, parse_minutes, parse_steps

if TYPE_CHECKING:
    from scaling_app.studies.conf import Conf

Length = TypeVar("Length")

OPTIONS = ("strategy", "network", "steps", "max_minutes", "seed", "compare", "curve_minutes")
"""What a training request may say; MONAI Label would take more, such as another trainer or which GPUs to show."""


class OptionError(ValueError):
    """A training request that cannot be run; the message says which option and what is possible."""


@dataclass(frozen=True)
class TrainOptions:
    """How to train: everything a request may choose, and `capacity` and `coarse_to_fine` from the conf.

    `strategy` may be `auto`, which is never trained with: see `own_curve` and `with_strategy`. `steps` None are as many
    as the cases of a training ask for; `times` as many are made.
    """

    strategy: str
    network: str
    capacity: str | int
    steps: int | None
    max_minutes: float
    seed: int
    times: int = 1
    coarse_to_fine: bool = True

    def with_strategy(self, strategy: str) -> TrainOptions:
        """The same with another strategy."""
        return replace(self, strategy=strategy)

    def own_curve(self) -> TrainOptions:
        """How the session's own curve is trained."""
        return self.with_strategy(OWN_OF_AUTO) if self.strategy == AUTO else self

    def spelled_out(self) -> TrainOptions:
        """`genda+longer` as what it stands for: the strategy, with so many times the steps and minutes."""
        strategy = trained_longer(self.strategy)
        if strategy is None:
            return self
        minutes = LONGER_TIMES * self.max_minutes
        return replace(self, strategy=strategy, times=LONGER_TIMES, max_minutes=minutes)

    def settings_hash(self, structures: Mapping[str, int], dimension: int | None) -> str:
        """Of everything that decides what a run learns, besides its cases and seed; the strategy stands last.

        Of the structures only the label values do: naming one changes nothing that was measured. For which trainings the
        minutes do, `Recipe` knows.
        """
        facts = {**asdict(self), "structures": sorted(structures.values()), "dimension": dimension}
        del facts["seed"], facts["max_minutes"], facts["strategy"]
        if self.coarse_to_fine:  # as ever, where it changes nothing
            del facts["coarse_to_fine"]
        recipe = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        return f"{recipe}:{self.strategy}"


def config_of(conf: Conf) -> dict[str, str | int | float | list[str]]:
    """The options table: flat values and lists of words whose first is the default."""
    return {
        "strategy": _first(conf.strategy, strategy_choices()),
        "network": _first(conf.network, NETWORKS),
        "steps": conf.steps or AUTO_STEPS,
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
        strategy=_choice("strategy", request, conf.strategy, strategy_choices()),
        network=_choice("network", request, conf.network, NETWORKS),
        capacity=conf.capacity or _default_capacity(),
        steps=_parsed("steps", request, conf.steps, parse_steps),
        max_minutes=_parsed("max_minutes", request, conf.max_minutes, parse_minutes),
        seed=int(number_option("seed", request, conf.seed, low=0, high=2**31 - 1, whole=True)),
        coarse_to_fine=conf.coarse_to_fine,
    )


def _parsed(
    name: str, request: Mapping[str, object], default: Length, parse: Callable[[str], Length]
) -> Length:
    value = _given(name, request)
    if value is None:
        return default
    try:
        return parse(str(value).strip())
    except ValueError as error:
        raise OptionError(f"{name} {value!r}: {error}.") from None


def strategies_to_compare(request: Mapping[str, object], conf: Conf) -> tuple[str, ...]:
    """The strategies that a `learning_curve` request wants compared with the session's own.

    What the request leaves out comes from the conf; `auto` means `compared_by_auto` when the strategy is
    `auto`, else none. `longer` means the session's own strategy with more steps.

    Raises:
        OptionError: an unknown strategy.
    """
    options = parse_options(request, conf)
    own, wanted = options.own_curve().strategy, _compare(request, conf)
    if wanted is None:
        wanted = compared_by_auto() if options.strategy == AUTO else ()
    names = (longer_name(own) if name == LONGER else name for name in wanted)
    return tuple(name for name in names if name != own)


def longer_to_try(request: Mapping[str, object], conf: Conf) -> tuple[str, ...]:
    """The longer trainings that a `learning_curve` request has tried when it is time (see `curve_job`).

    A curve may be flat for want of steps rather than of cases. Nothing, when the request or the conf says
    to compare nothing.

    Raises:
        OptionError: an unknown strategy.
    """
    if _compare(request, conf) == ():
        return ()
    return (longer_name(parse_options(request, conf).own_curve().strategy),)


def _compare(request: Mapping[str, object], conf: Conf) -> tuple[str, ...] | None:
    told = request.get("compare")
    if isinstance(told, (list, tuple)):
        told = ",".join(str(name) for name in told)
    try:
        return conf.compare if told is None else parse_compare(str(told))
    except ConfError as error:
        raise OptionError(f"compare {told!r}: {error}.") from None


def compare_text(conf: Conf) -> str:
    """The conf's `compare` as a request would write it."""
    return AUTO if conf.compare is None else ",".join(conf.compare)


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


def _default_capacity() -> str:
    from scaling_app.trials.plan import default_capacity

    return default_capacity()


def _first(default: str, names: Collection[str]) -> list[str]:
    return [default, *(name for name in names if name != default)]


def _given(name: str, request: Mapping[str, object]) -> object:
    value = request.get(name)
    if isinstance(value, (list, tuple)):
        value = value[0] if value else None
    return None if value == "" else value


def _choice(name: str, request: Mapping[str, object], default: str, names: Collection[str]) -> str:
    value = _given(name, request)
    if value is None:
        return default
    if not isinstance(value, str) or value not in names:
        raise OptionError(f"Unknown {name} {value!r}; there are: {', '.join(names)}.")
    return value
