"""The `--conf KEY VALUE` options of the app: read once, typed, every mistake a sentence.

MONAI Label hands every value over as text. `read_conf` turns them into one frozen `Conf`; nothing else
in the package looks at the raw dictionary. The README's table is tested against its fields.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from scaling_app.forecast.arms import LONGER
from scaling_app.imaging.network_table import DEFAULT_NETWORK, NETWORKS
from scaling_app.strategies.catalogue import AUTO, names
from scaling_app.studies.tracking import parse_store
from scaling_app.trials.length import AUTO_STEPS, parse_minutes, parse_steps
from scaling_app.trials.memory import parse_memory
from scaling_app.words import number_within, whole_number

DEFAULT_PATIENT_PATTERN = r"^sub-[A-Za-z0-9]+"
"""BIDS names (`sub-07_ses-2_T1w`); an image id that does not match is its own patient."""

FOREIGN_KEYS = frozenset({"server_mode"})
"""Keys that MONAI Label itself reads from the same dictionary."""


class ConfError(ValueError):
    """A `--conf` option that cannot be used; the message is one line for the person who typed it."""


def _number(low: float, high: float, *, open_ends: bool = False) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = number_within(text, low, high)
        if value is None or (open_ends and value in (low, high)):
            raise ConfError(f"a number between {low:g} and {high:g} is wanted")
        return value

    return parse


def _share(text: str) -> float:
    """`0.1` or `10%`."""
    number = text[:-1].strip() if text.endswith("%") else text
    try:
        return _number(0, 1)(str(float(number) / 100) if text.endswith("%") else number)
    except ValueError:
        raise ConfError("a share between 0 and 1 is wanted, as in 0.1 or 10%") from None


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = whole_number(text)
        if value is None or not low <= value <= high:
            raise ConfError(f"a whole number from {low} to {high} is wanted")
        return value

    return parse


def _of_trials(parsed: Callable[[str], Any]) -> Callable[[str], Any]:
    """What a parser of `trials` says of a text, as an option's error."""

    def parse(text: str) -> Any:
        try:
            return parsed(text)
        except ValueError as error:
            raise ConfError(str(error)) from None

    return parse


def _hosts(text: str) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in text.split(",") if name.strip())
    for name in names:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name):
            raise ConfError(f"names of hosts are wanted, as in labels.hospital.example, got {name!r}")
    return names


def parse_labels(text: str) -> dict[str, int]:
    """`liver,spleen` (values 1, 2) or `liver=1,spleen=3`.

    Raises:
        ConfError: an empty or doubled name, or a value that is doubled or outside 1..255.
    """
    structures: dict[str, int] = {}
    for position, item in enumerate(text.split(","), start=1):
        name, _, number = (part.strip() for part in item.partition("="))
        value = whole_number(number) if number else position
        if not name or value is None:
            raise ConfError("names separated by commas are wanted, as in liver,spleen or liver=1,spleen=3")
        if name in structures or value in structures.values() or not 1 <= value <= 255:
            raise ConfError(f"each name and value once, values from 1 to 255; see {item.strip()!r}")
        structures[name] = value
    return structures


def _dimension(text: str) -> Literal[2, 3] | None:
    choices: dict[str, Literal[2, 3] | None] = {"auto": None, "2": 2, "3": 3}
    if text not in choices:
        raise ConfError("auto, 2 or 3 is wanted")
    return choices[text]


def _capacity(text: str) -> str | int | None:
    if text == AUTO:
        return None
    if text in ("small", "medium", "large"):
        return text
    if (channels := whole_number(text)) is not None and 2 <= channels <= 256:
        return channels
    raise ConfError("auto, small, medium, large, or a number of channels from 2 to 256 is wanted")


def _automatic(text: str) -> bool:
    return _one_of(text, (AUTO, "off")) == AUTO


def _store(text: str) -> str | None:
    try:
        return parse_store(text)
    except ValueError as error:
        raise ConfError(str(error)) from None


def _scheduler(text: str) -> str | None:
    if not text:
        return None
    if not re.fullmatch(r"(tcp|tls|ucx|wss?)://(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}", text):
        raise ConfError("the address of a Dask scheduler is wanted, as in tcp://scheduler.example:8786")
    if importlib.util.find_spec("distributed") is None:
        raise ConfError("Dask is not installed: pip install 'scaling-app[cluster]'")
    return text


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ConfError(f"a regular expression is wanted ({error})") from None
    return text


def _network(text: str) -> str:
    return _one_of(text, NETWORKS)


def strategy_choices() -> list[str]:
    """What may be chosen as a strategy: those there are, and `auto`."""
    return [*names(), AUTO]


def _strategy(text: str) -> str:
    return _one_of(text, strategy_choices())


def parse_compare(text: str) -> tuple[str, ...] | None:
    """`genda,genseg,longer`, nothing for no comparison, or `auto` (None).

    Raises:
        ConfError: an unknown strategy.
    """
    if text.strip() == AUTO:
        return None
    choices = [*names(), LONGER]
    told = [name.strip() for name in text.split(",") if name.strip()]
    return tuple(dict.fromkeys(_one_of(name, choices) for name in told))


def _one_of(text: str, choices: Collection[str]) -> str:
    if text not in choices:
        raise ConfError(f"one of {', '.join(choices)} is wanted")
    return text


def _option(default: str, parse: Callable[[str], object]) -> Any:
    """A field of `Conf`: its default as a person would type it, and its parser."""
    return field(metadata={"default": default, "parse": parse})


@dataclass(frozen=True)
class Conf:
    """What the app was started with: a field is an option, and says what it means."""

    labels: Mapping[str, int] | None = _option("", lambda t: parse_labels(t) if t else None)
    """Foreground structure -> label value, or None to take them from the labels."""
    dimension: Literal[2, 3] | None = _option("auto", _dimension)
    """2 or 3, or None to see it in the images."""
    network: str = _option(DEFAULT_NETWORK, _network)
    """Network of published models and curve runs."""
    capacity: str | int | None = _option(AUTO, _capacity)
    """Size of the network: a word, or the number of channels of its first level; None: what suits the device."""
    coarse_to_fine: bool = _option(AUTO, _automatic)
    """Whether two networks are trained where the structures fill little of the cases."""
    strategy: str = _option("baseline", _strategy)
    """How training data are augmented, unless a request says otherwise; may be `AUTO`."""
    compare: tuple[str, ...] | None = _option(AUTO, parse_compare)
    """The strategies that the curve job compares with the session's own; None: what the strategy needs."""
    patient_pattern: str = _option(DEFAULT_PATIENT_PATTERN, _pattern)
    """Searched in the image id; its first group, or the whole match, names the patient."""
    curve_minutes: float = _option("30", _number(0.1, 10080))
    """Wall-clock budget of one `learning_curve` job, minutes."""
    ledger: Path = _option("", str)  # noqa: RUF009 (a field, no value)
    """The SQLite file; published models lie beside it."""
    blind_fraction: float = _option("0.225", _number(0, 0.5))
    """Share of the cases served at random that are blind."""
    second_readers: float = _option("0", _share)
    """Share of the labelled cases that another reader is asked to read, too."""
    tolerance_mm: float = _option("2", _number(0, 50, open_ends=True))
    """Tolerance of the surface Dice (NSD), mm."""
    target: float | None = _option("", lambda t: _number(0, 1, open_ends=True)(t) if t else None)
    """Dice aimed at, in (0, 1), or None."""
    hosts: tuple[str, ...] = _option("", _hosts)
    """Names by which browsers reach a web server in front of this one."""
    minutes_per_point: float | None = _option("", lambda t: _number(0, 1000)(t) if t else None)
    """Minutes that one point of Dice saves on each case still to be labelled, or None."""
    steps: int | None = _option(AUTO_STEPS, _of_trials(parse_steps))
    """Training steps of a run; None: as many as its cases ask for."""
    max_minutes: float = _option("60", _of_trials(parse_minutes))
    """Wall-clock bound of one training, minutes."""
    memory_gb: float = _option("4", _of_trials(parse_memory))
    """RAM that one training may take for cases and, without a GPU, batches, GiB."""
    upload_gb: float = _option("2", _number(0.01, 64))
    """Largest file that is taken, as sent and as an image in memory, GiB."""
    label_history: int = _option("10", _whole(1, 1000))
    """Replaced labels that are kept, of each image."""
    mlflow: str | None = _option("", _store)
    """Address of the MLflow store that is told of published trainings, or None."""
    scheduler: str | None = _option("", _scheduler)
    """Address of the Dask scheduler whose workers carry out the curve's runs, or None."""
    seed: int = _option("0", _whole(0, 2**31 - 1))
    """Of every split, draw and training."""

    @property
    def upload_bytes(self) -> int:
        """`upload_gb` in bytes."""
        return int(self.upload_gb * (1 << 30))


@dataclass(frozen=True)
class Key:
    """One option: its name, its default as a person would type it, its parser."""

    name: str
    default: str
    parse: Callable[[str], object]


KEYS = tuple(Key(option.name, **option.metadata) for option in fields(Conf))


def default_ledger(app_dir: Path, studies: str) -> Path:
    """Where the ledger of a studies folder (or server) lies unless `--conf ledger` says otherwise.

    One folder per studies source, so that serving another source with the same app folder neither
    mixes nor loses anybody's history.
    """
    remote = studies.startswith(("http://", "https://"))
    source = studies.rstrip("/") if remote else str(Path(studies).resolve())
    words = re.sub(r"[^A-Za-z0-9]+", "-", source.rsplit("/", 1)[-1]).strip("-").lower() or "studies"
    digest = hashlib.sha256(source.encode()).hexdigest()[:8]
    return app_dir / "model" / f"{words[:40]}-{digest}" / "ledger.sqlite"


def ledger_place(raw: Mapping[str, str], *, app_dir: Path, studies: str) -> Path:
    """Where the ledger lies with these options; the others are not looked at."""
    told = str(raw.get("ledger", "")).strip()
    return Path(told).expanduser().resolve() if told else default_ledger(app_dir, studies)


def read_conf(raw: Mapping[str, str], *, app_dir: Path, studies: str) -> Conf:
    """The typed options.

    Args:
        raw: as MONAI Label passes it; missing keys take their defaults.
        app_dir: the app folder, for the default place of the ledger.
        studies: the studies folder or address, for the same.

    Raises:
        ConfError: unknown key or unusable value; one line that names it.
    """
    known = {key.name for key in KEYS}
    for name in raw:
        if name not in known | FOREIGN_KEYS:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(sorted(known))}"
            raise ConfError(f"--conf {name}: no such option{hint}")
    values: dict[str, Any] = {}
    for key in KEYS:
        text = str(raw.get(key.name, key.default)).strip()
        try:
            values[key.name] = key.parse(text)
        except ConfError as error:
            raise ConfError(f"--conf {key.name} {text!r}: {error}") from None
    return Conf(**{**values, "ledger": ledger_place(raw, app_dir=app_dir, studies=studies)})
