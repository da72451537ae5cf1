"""What the ledger keeps, as plain frozen records.

A *case* is one image with its present label; a *run* is one training; an *observation* is one run tested
on one case, for one structure. Times are timezone-aware datetimes, distances mm, Dice and NSD in [0, 1],
annotation times minutes. A value that does not exist (the Dice of a structure that the reference lacks)
is None, never NaN and never a sentinel.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal, get_args

Purpose = Literal["published", "fold", "nested", "arm", "replay"]
Kind = Literal["prequential", "fold", "nested", "arm"]
RunState = Literal["running", "done", "failed", "stopped"]

PURPOSES: tuple[str, ...] = get_args(Purpose)
KINDS: tuple[str, ...] = get_args(Kind)
RUN_STATES: tuple[str, ...] = get_args(RunState)

LASTING_DOUBTS = ("unreadable", "unreadable_image", "odd_image", "geometry", "not_a_label_map")
"""Kinds of doubt that no confirmation settles, as no training can use such a case; another label or image does."""

MOST_MINUTES = 7 * 24 * 60.0
"""More than anybody annotates one case: a clock left running, seconds, or no time at all."""


Stamp = tuple[str, int, int]
"""Path, time of change in ns, and size in bytes of a file; another stamp may be another content."""


def utc_now() -> datetime:
    """The present time with its zone, as the ledger wants it."""
    return datetime.now(timezone.utc)


def reader_of(name: str | None) -> str:
    """Who an annotator's name stands for: spaces and capitals make nobody another person; empty for nobody known."""
    return " ".join(unicodedata.normalize("NFKC", name or "").casefold().split())


@dataclass(frozen=True)
class Doubt:
    """A doubt about a label, in a sentence for the annotator. An open doubt leaves the case out of curves."""

    kind: str
    sentence: str


@dataclass(frozen=True)
class Case:
    """One image and its present label.

    Attributes:
        image_id: the image's name in the datastore.
        label_hash: hash of the label's content; another hash is another label.
        saved_at: when this label was saved.
        patient: whose image it is; the cases of a patient are never split.
        annotator: who drew it, where known.
        blind: the case was chosen to be labelled without any prediction on screen.
        assisted: a prediction was on screen before this label was saved.
        minutes: active annotation time, > 0, where measured.
        doubts: the open doubts.
        sampling_weight: how much less likely than by a random pick the case was to be served (1 for a random
            pick, below 1 for one that was preferred); None when nobody knows.
    """

    image_id: str
    label_hash: str
    saved_at: datetime
    patient: str
    annotator: str | None = None
    blind: bool = False
    assisted: bool = False
    minutes: float | None = None
    doubts: tuple[Doubt, ...] = ()
    sampling_weight: float | None = None


@dataclass(frozen=True)
class LabelVersion:
    """One label that a case has, or had: `replaced_at` is None for the present one."""

    image_id: str
    label_hash: str
    saved_at: datetime
    replaced_at: datetime | None
    annotator: str | None
    assisted: bool


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        run_id: unique name.
        purpose: why it was trained; only `published` runs are shown to annotators.
        train_ids: the images trained on, `n` of them.
        settings_hash: identifies everything that decides the result besides the cases and the seed; what
            follows a colon is the strategy.
        parent_run: the run it started from (warm start) or is a part of.
        message: for people: why it failed or stopped, or why `auto` took this strategy.
        steps: training steps that it took; None where nobody knows.
        ended: `finished`, or `time` where its minutes were over first; None where nobody knows.
        max_minutes: what bounded trainings when it began, one of so many times the steps at so many times as much; None
            where nobody knows.
        minutes: the fewest that would have let it finish; None where it did not, or nobody knows.

    Raises:
        ValueError: unknown purpose or state, or `n` differs from the number of `train_ids`.
    """

    run_id: str
    purpose: Purpose
    strategy: str
    network: str
    train_ids: Sequence[str]
    n: int
    seed: int
    fold: int | None
    settings_hash: str
    started_at: datetime
    finished_at: datetime | None = None
    model_file: str | None = None
    parent_run: str | None = None
    state: RunState = "running"
    message: str | None = None
    steps: int | None = None
    ended: str | None = None
    max_minutes: float | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "train_ids", tuple(self.train_ids))
        _one_of("purpose", self.purpose, PURPOSES)
        _one_of("state", self.state, RUN_STATES)
        if self.n != len(self.train_ids):
            raise ValueError(f"run {self.run_id!r}: n is {self.n} but it names {len(self.train_ids)} cases")

    @property
    def recipe(self) -> str:
        """What runs of different strategies must share for their scores to be compared."""
        return self.settings_hash.partition(":")[0]


@dataclass(frozen=True)
class Observation:
    """One run tested on one case it did not see, for one structure.

    Attributes:
        dice, nsd, hd95_mm, bce: scores; None where the reference leaves them undefined.
        nsd_tolerance_mm: the tolerance that `nsd` allows.
        missed: the reference has the structure, the prediction has nothing of it.
        hallucinated: the prediction has the structure, the reference has nothing of it.
        assisted: the reference label was drawn with a prediction on screen.
        label_hash: the label tested against; None means the present one, filled in on writing.

    Raises:
        ValueError: unknown kind.
    """

    run_id: str
    image_id: str
    structure: str
    kind: Kind
    dice: float | None = None
    nsd: float | None = None
    nsd_tolerance_mm: float | None = None
    hd95_mm: float | None = None
    bce: float | None = None
    missed: bool = False
    hallucinated: bool = False
    assisted: bool = False
    label_hash: str | None = None

    def __post_init__(self) -> None:
        _one_of("kind", self.kind, KINDS)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


@dataclass(frozen=True)
class LabelNote:
    """What a label held when its file was read.

    Attributes:
        volumes_ml: volume per label value, ml; empty for what cannot be read or is no label map.
        named: names that came with the label, and their values.
        stamp: the file's when it was read; None when nobody knows.
        label_hash: which label it was.
    """

    volumes_ml: Mapping[int, float]
    named: tuple[tuple[str, int], ...]
    stamp: Stamp | None
    label_hash: str


@dataclass(frozen=True)
class PoolCase:
    """An unlabelled image that was looked at: its distance is 1 where it is as far off as labelled cases are."""

    image: str
    distance: float
    outside: bool


@dataclass(frozen=True)
class ShapeCoverage:
    """The unlabelled images looked at, the one that the labelled cases explain worst first.

    Attributes:
        made_from: identifies labels, images and model that it was made from.
        complete: False when the time was up before every image had been looked at.
        model: the run that published the model in use, on whose grid the images were compared, if any.
        n_labelled: labelled cases compared with.
        cases: the images.
    """

    made_from: str
    complete: bool
    model: str | None
    n_labelled: int
    cases: tuple[PoolCase, ...]


@dataclass(frozen=True)
class Reading:
    """One reader and one case: the newest label that this reader drew of it, of independent ones the newest.

    Attributes:
        reader: as `reader_of` says.
        label_hash: None while the reader was asked for it and has not saved one.
        asked_at: when it was asked for as a second reading; None where nobody asked.
        independent: neither a prediction nor somebody else's label was on screen.
        minutes: of an asked reading, active annotation time.
    """

    image_id: str
    reader: str
    label_hash: str | None = None
    saved_at: datetime | None = None
    asked_at: datetime | None = None
    independent: bool = False
    minutes: float | None = None


@dataclass(frozen=True)
class ReadingScore:
    """One structure as a reader drew it, scored against another reader's label of the case, as a model would be.

    Attributes:
        reader, label_hash: who is scored.
        against_reader, against_hash: the reference.
        dice, nsd: None where the reference has none of the structure.
        one_only: just one of the two drew it.
    """

    image_id: str
    reader: str
    structure: str
    label_hash: str
    against_reader: str
    against_hash: str
    dice: float | None
    nsd: float | None
    nsd_tolerance_mm: float
    one_only: bool = False


@dataclass(frozen=True)
class Lease:
    """Into whose hands a case was given last, and when; `ended` when it was given back or a label came."""

    image_id: str
    reader: str
    at: datetime
    ended: bool = False
