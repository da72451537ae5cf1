"""What a forecast is made of: scores of models trained on n cases, and how a table of them is read.

An observation is one trained model tested on one case, for one structure. Tables without a `case`
column are read as averages over some test set: one curve point per row.

A Dice of None means that the structure is absent from the reference, where Dice is undefined: such
rows are kept out of every mean. A Dice of 0, or hardly more, on a structure that is there is a miss (`misses`
treats them apart from the scores of what was found).
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scaling_app.forecast.score_table import (
    CurveError,
    number_of,
    rows_of,
    score_of,
    steps_asked,
    steps_of,
    table_text,
)

OVERALL = "overall"
"""The mean over structures."""

_NO_DICE, _MISS_DICE = 0.002, 0.1
_MISS_SHARE, _WELL_FOUND = 0.2, 0.75

TELLING_SCORES = 4
"""So many different scores, not rounded to three decimals, agree by chance in no two cases.

Of structures of a few voxels Dice has few values, and a case keeps its value from model to model.
"""

MOST_CASES = 1_000_000
"""No model learns from more cases."""

MOST_MODELS, MOST_SIZES = 1000, 200
"""In one table and of one strategy: the forecast's time grows with their cubes, and is half a minute at these."""

MOST_WEIGHT = 1e9
"""No case was so much less likely to be picked than another."""

_TRUE, _FALSE = {"1", "true", "yes", "y"}, {"0", "false", "no", "n", ""}


@dataclass(frozen=True)
class Score:
    """One model's score on one case.

    Attributes:
        n: number of cases the model was trained on, >= 1.
        dice: in [0, 1]; None where the structure is absent from the reference.
        structure: name of the labelled class.
        case: test case (patient); empty when `dice` is an average over cases.
        run: the training run; empty when unknown. Runs of one name and size that differ in their seed share their
            training cases.
        seed: of the run.
        kind: `prequential`, `fold`, `nested`, `arm` or `replay`.
        assisted: the reference was drawn with a prediction on screen.
        blind: the reference was drawn with no prediction on screen, by design.
        strategy: training strategy of the run.
        network: of the run.
        weight: sampling weight of the case, 1 / probability of having been chosen (any scale).
        nsd: surface Dice in [0, 1]; None where it is undefined or not known.
        capacity: size of the network (`small`, `medium`, ...); empty when unknown.
        patient: whose case it is; empty when every case is another patient's.
        steps: that the training took; None when unknown.
        asked: steps that were asked for, a number or `auto`; empty when unknown.
        ended: `time` where the training is known to have ended when its minutes were over.
        hardly: found so badly, beside others of the structure, that it is a miss; `by_structure` says which are.
    """

    n: int
    dice: float | None
    structure: str = "structure"
    case: str = ""
    run: str = ""
    seed: int = 0
    kind: str = "fold"
    assisted: bool = False
    blind: bool = True
    strategy: str = "baseline"
    network: str = "resunet"
    weight: float = 1.0
    nsd: float | None = None
    capacity: str = ""
    patient: str = ""
    steps: int | None = None
    asked: str = ""
    ended: str = ""
    hardly: bool = False

    def __post_init__(self) -> None:
        if self.n < 1:
            raise CurveError(f"n must be at least 1 training case, got {self.n}")
        if self.n > MOST_CASES:
            raise CurveError(f"n must be at most {MOST_CASES:,} training cases, got {self.n:g}")
        if self.dice is not None and not 0.0 <= self.dice <= 1.0:
            raise CurveError(f"dice must be in [0, 1], got {self.dice}{_percent_hint(self.dice)}")
        if self.nsd is not None and not 0.0 <= self.nsd <= 1.0:
            raise CurveError(f"nsd must be in [0, 1], got {self.nsd}{_percent_hint(self.nsd)}")
        if not 1 / MOST_WEIGHT <= self.weight <= MOST_WEIGHT:
            raise CurveError(f"weight must be a positive number up to {MOST_WEIGHT:g}, got {self.weight}")

    @property
    def missed(self) -> bool:
        """Whether the structure is in the reference and the model did not find it, or hardly."""
        return self.dice is not None and (self.hardly or self.dice <= _NO_DICE)

    @property
    def unit(self) -> str:
        """What is independent of the others: the patient, or the case where patients are not told."""
        return self.patient or self.case

    @property
    def run_key(self) -> tuple[object, ...]:
        """What identifies the training run, as far as the table tells."""
        return (self.n, self.run, self.seed, self.kind, self.strategy, self.network, self.capacity)

    @property
    def set_key(self) -> tuple[object, ...]:
        """What identifies its training cases: runs of one name that differ in their seed share them."""
        return (*self.run_key[:2], None if self.run else self.seed, *self.run_key[3:])


def read_curve(path: str | Path) -> list[Score]:
    """Reads a table of scores.

    Columns `n,dice` and optionally `case,structure,run,seed,kind,assisted,blind,strategy,network,weight,
    nsd,capacity,patient,ended`; of the others, `draw` is a part of the run's name, a table of several
    `dataset` or `steps` is refused, and `trained_steps`, else `steps`, tell how long the trainings were. A blank Dice (or `nan`) means "absent from the reference".

    Args:
        path: CSV file with a header line, separated by commas, semicolons or tabs, UTF-8; the decimal sign may be a
            comma, a Dice in percent (`81 %`).

    Raises:
        CurveError: the file cannot be read, lacks a column, holds a value out of range (the message
            names the line), has no row, repeats a row, or holds more rows, trainings or sizes than a forecast takes.
    """
    path = Path(path)
    try:
        text = table_text(path)
    except FileNotFoundError:
        raise CurveError(f"no such file: {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CurveError(f"{path} cannot be read as a text table ({error}); save it as CSV, UTF-8") from None
    observations, lines, curves = [], [], defaultdict(set)
    for line, row in rows_of(text, path):
        if missing := [name for name in ("n", "dice") if name not in row]:
            raise CurveError(
                f"{path} has no column {', '.join(missing)}; found: {', '.join(row)}. Its first line names the "
                "columns, separated by commas, semicolons or tabs"
            )
        curves["dataset"].add(row.get("dataset", ""))
        curves["steps"].add(steps_asked(row))
        observations.append(_observation(row, line))
        lines.append(line)
    _check_one_curve(curves, path)
    if not observations:
        raise CurveError(f"{path} has a header but no rows; add at least one row n,dice per curve point")
    if all(o.dice is None for o in observations):
        raise CurveError("no row has a dice value; the structures are absent from every reference")
    check_scores(observations, lines)
    _check_amount(observations, path)
    return observations


def check_scores(observations: Sequence[Score], lines: Sequence[int] | None = None) -> None:
    """Refuses sets that count the same evidence twice.

    Args:
        lines: where they stand in their file, if they come from one.

    Raises:
        CurveError: the same test appears twice, or two cases of different patients have the same scores throughout
            (one patient under two names).
    """
    seen: dict[tuple[object, ...], int] = {}
    place = "row" if lines is None else "line"
    for number, o in zip(lines or range(1, len(observations) + 1), observations, strict=True):
        key = (o.structure, o.case or o.dice, o.run_key)
        if key in seen:
            what = f"case {o.case!r}" if o.case else f"n={o.n}, dice={o.dice}"
            raise CurveError(
                f"{place} {number} repeats {place} {seen[key]} ({what}); remove it, "
                "or tell separate trainings apart with a `run` or `seed` column"
            )
        seen[key] = number
    twins = _twin_cases(observations)
    if twins:
        raise CurveError(
            f"cases {twins[0]!r} and {twins[1]!r} have exactly the same scores in every run; "
            "this looks like one patient under two names: remove one"
        )


def by_structure(observations: Iterable[Score]) -> dict[str, list[Score]]:
    """Observations per structure, in the order of first appearance; which are of misses is told by all of them."""
    groups: dict[str, list[Score]] = {}
    for o in observations:
        groups.setdefault(o.structure, []).append(o)
    return {name: _with_misses(group) for name, group in groups.items()}


def miss_dice(dice: Sequence[float]) -> float:
    """At or below this a case's Dice is a miss and no poor segmentation, given those of the structure's cases.

    A fifth of their upper quartile, .1 at most: what no model finds any better is no miss. Chosen on five data sets
    (`benchmarks/forecast/results/REMEDIES.md`).
    """
    usual = float(np.quantile(dice, _WELL_FOUND)) if len(dice) else 0.0
    return min(_MISS_DICE, max(_NO_DICE, _MISS_SHARE * usual))


def _with_misses(group: list[Score]) -> list[Score]:
    """Averages are of cases of both kinds, and none is a miss but at 0."""
    bound = miss_dice([o.dice for o in group if o.case and o.dice is not None])
    return [
        replace(o, hardly=True) if o.case and o.dice is not None and _NO_DICE < o.dice <= bound else o
        for o in group
    ]


def evidence_of(observations: Sequence[Score]) -> str:
    """Identifies the scores: another digest means that models were tested in the meantime."""
    scores = sorted((o.run, o.case, o.structure, o.n, o.strategy, repr(o.dice)) for o in observations)
    return hashlib.sha256(repr(scores).encode()).hexdigest()[:16]


def own_arm(observations: Sequence[Score]) -> tuple[str, str]:
    """The (strategy, network) of the session's own curve: the one with most observations.

    Runs of kind `arm` are comparisons and count only when there is nothing else; ties go to the
    first seen.
    """
    own = [o for o in observations if o.kind != "arm"] or list(observations)
    counts: dict[tuple[str, str], int] = {}
    for o in own:
        counts[(o.strategy, o.network)] = counts.get((o.strategy, o.network), 0) + 1
    return max(counts, key=lambda arm: counts[arm])


def own_scores(observations: Sequence[Score]) -> list[Score]:
    """Those of the session's own curve (`own_arm`); none where there are none."""
    arm = own_arm(observations) if observations else None
    return [o for o in observations if (o.strategy, o.network) == arm]


_GROUPED = re.compile(r"\d{1,3}(\.\d{3})+")
"""A thousand, where the decimal sign is a comma."""


def _percent_hint(dice: float) -> str:
    return f"; percentages? give {dice / 100:.3g}" if 1 < dice <= 100 else ""


def _check_one_curve(values: Mapping[str, set[str]], path: Path) -> None:
    for name, found in values.items():
        if len(found) > 1:
            raise CurveError(
                f"{path} holds several curves: {', '.join(sorted(found))} in the column {name}; keep the rows of one of "
                "them"
            )


def _check_amount(observations: Sequence[Score], path: Path) -> None:
    """Refuses what a forecast would take hours and the whole memory for."""
    sizes, models = defaultdict(set), defaultdict(set)
    for o in observations:
        arm = (o.strategy, o.network)
        sizes[arm].add(o.n)
        if o.case:
            models[arm].add(o.run_key)
    for what, counts, most in (("trainings", models, MOST_MODELS), ("numbers of cases", sizes, MOST_SIZES)):
        if (found := max(map(len, counts.values()), default=0)) > most:
            raise CurveError(
                f"{path} holds {found:,} different {what} of one strategy, and a forecast takes up to {most:,}; keep the "
                "rows of a part of the trainings, picked at random"
            )


def _observation(row: Mapping[str, str], number: int) -> Score:
    try:
        if "," in row["dice"] and _GROUPED.fullmatch(row["n"]):
            raise CurveError(f"n must be a whole number without a thousands sign, got {row['n']!r}")
        return Score(
            n=_whole(row["n"], "n"),
            dice=score_of(row["dice"], "dice"),
            structure=row.get("structure") or Score.structure,
            case=row.get("case", ""),
            run=" ".join(filter(None, (row.get("run"), row.get("draw")))),
            seed=_whole(row.get("seed") or "0", "seed"),
            kind=row.get("kind") or Score.kind,
            assisted=_flag(row.get("assisted", ""), "assisted"),
            blind=_flag(row.get("blind") or "1", "blind"),
            strategy=row.get("strategy") or Score.strategy,
            network=row.get("network") or Score.network,
            weight=number_of(row.get("weight") or "1", "weight"),
            nsd=score_of(row.get("nsd", ""), "nsd"),
            capacity=row.get("capacity", ""),
            patient=row.get("patient", ""),
            steps=steps_of(row),
            asked=steps_asked(row),
            ended=row.get("ended", ""),
        )
    except CurveError as error:
        raise CurveError(f"line {number}: {error}") from None


_DIGITS = re.compile(r"[+-]?[0-9]{1,60}")
"""A whole number of up to 199 bits: as a float, seeds of 64 bits would be told apart no more."""


def _whole(text: str, name: str) -> int:
    if _DIGITS.fullmatch(text):
        return int(text)
    value = number_of(text, name)
    if "," in text or not value.is_integer():  # 1,000 may be one or a thousand
        raise CurveError(f"{name} must be a whole number, got {text!r}")
    return int(value)


def _flag(text: str, name: str) -> bool:
    word = text.lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise CurveError(f"{name} must be 0/1 or true/false, got {text!r}")


def _twin_cases(observations: Sequence[Score]) -> tuple[str, str] | None:
    """Two cases of different patients, scored alike throughout, with scores enough to tell."""
    scores: dict[str, list[float]] = defaultdict(list)
    for o in observations:
        if o.case and o.dice is not None:
            scores[o.case].append(o.dice)
    alike: dict[tuple[float, ...], list[str]] = defaultdict(list)
    for case, found in scores.items():
        fine = {dice for dice in found if not (dice * 1000).is_integer() and 0 < dice < 1}
        if len(fine) >= TELLING_SCORES:
            alike[tuple(sorted(found))].append(case)
    suspects = {case for cases in alike.values() if len(cases) > 1 for case in cases}
    return _first_twins([o for o in observations if o.case in suspects]) if suspects else None


def _first_twins(observations: Sequence[Score]) -> tuple[str, str] | None:
    """The first two cases of different patients with the same scores in the same runs."""
    tables: dict[str, dict[object, float | None]] = defaultdict(dict)
    units: dict[str, str] = {}
    for o in observations:
        if o.dice is not None:
            tables[o.case][o.structure, o.run_key] = o.dice
            units[o.case] = o.unit
    seen: dict[frozenset[object], str] = {}
    for case, table in tables.items():
        first = seen.setdefault(frozenset(table.items()), case)
        if units[first] != units[case]:
            return first, case
    return None
