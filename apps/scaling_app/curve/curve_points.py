"""Which runs the learning curve is still owed: ledger state in, list of runs out.

Four kinds of runs are planned here (test-then-train points are free and made elsewhere):

- *folds*: cross-validation with up to 5 folds by patient, once the number of usable cases has reached one
  of `CURVE_SIZES`; every case is tested once, by a network that saw about 80 % of them;
- *nested*: in some folds also a half and a quarter of the fold's training cases, tested on the same held
  out cases: the slope of the curve with paired noise;
- *again*: some folds a second time with other first weights and batches, where the luck of a training is large: what
  luck alone does;
- *arms*: other strategies on the very same folds, once the session's own runs are done: what a strategy is
  worth, in pairs.

Folds are dealt from the patients in the order of a hash, so the same patients always give the same folds,
in any order of labelling. The cases of a curve size are fixed when its first run starts (its *block*): a
label that arrives in the middle of a job changes nothing until the next curve size.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from scaling_app.forecast.prediction import MEASURED_FROM

CURVE_SIZES = (MEASURED_FROM, 8, 12, 16, 24, 32, 48)
FOLDS = 5
NESTED_SHARES = (0.25, 0.5)
NESTED_FOLDS = 2
"""In how many of the folds nested subsets are trained too."""
REPEATED_FOLDS = 2
"""How many folds are trained a second time where luck is large."""


@dataclass(frozen=True)
class UsableCase:
    """A labelled case without open doubts."""

    image_id: str
    patient: str
    label_hash: str


Purpose = Literal["fold", "nested", "arm"]


@dataclass(frozen=True)
class ArmDue:
    """A strategy, and the hash of all settings that decide a result with it (strategy, network, steps, ...)."""

    strategy: str
    settings_hash: str


@dataclass(frozen=True)
class RunDue:
    """A training that the curve is owed.

    `run_id` is a function of everything that decides the result: the cases and their labels, the split,
    the settings (the strategy among them) and the seed. A run of that name that is done need not be repeated.
    `seed` is the training's own: other sizes and folds begin with other weights, the arms of a fold with the same, and
    what is trained `again` with others.
    """

    run_id: str
    purpose: Purpose
    strategy: str
    settings_hash: str
    curve_size: int
    fold: int
    share: float
    seed: int
    train_ids: tuple[str, ...]
    test_ids: tuple[str, ...]
    again: bool = False

    @property
    def n(self) -> int:
        """Cases trained on."""
        return len(self.train_ids)


def curve_size_of(n_cases: int) -> int | None:
    """The largest curve size reached with `n_cases` usable cases; None before the first."""
    return max((c for c in CURVE_SIZES if c <= n_cases), default=None)


def deal_folds(patients: Iterable[str], seed: int, folds: int = FOLDS) -> dict[str, int]:
    """Patient -> fold, as even as possible and independent of the order given.

    Fewer patients than folds give each its own fold (leave one out).
    """
    ordered = in_hash_order(set(patients), seed, "fold")
    return {patient: k % min(folds, len(ordered)) for k, patient in enumerate(ordered)}


def nested_subset(patients: Iterable[str], share: float, seed: int, fold: int) -> list[str]:
    """`share` of the patients, at least one; a smaller share is always part of a larger one."""
    ordered = in_hash_order(set(patients), seed, "nested", fold)
    return ordered[: max(1, math.ceil(share * len(ordered)))]


def in_hash_order(names: Iterable[str], *key: object) -> list[str]:
    """The names in an order that looks random and depends on them and on `key` alone."""
    return sorted(names, key=lambda name: (digest_of(*key, name), name))


def training_seed(seed: int, *which: object) -> int:
    """The seed of one of many trainings: each has first weights and batches of its own, so that their luck is independent."""
    return int(digest_of(seed, "training", *which)[:7], 16)


def block_of(
    cases: Sequence[UsableCase], curve_size: int, blocks: Mapping[int, Sequence[str]]
) -> list[UsableCase]:
    """The cases that a curve size's runs are made of.

    The block begun earlier, as far as its cases are still usable; all usable cases when there is none, or
    when fewer than that size are left of it.
    """
    begun = set(blocks.get(curve_size, ()))
    members = [case for case in cases if case.image_id in begun]
    return members if len(members) >= curve_size else list(cases)


def runs_due(
    cases: Sequence[UsableCase],
    *,
    done: Collection[str],
    own: ArmDue,
    seed: int,
    blocks: Mapping[int, Sequence[str]],
    again: bool = False,
    arms: Sequence[ArmDue] = (),
) -> list[RunDue]:
    """The runs still missing at the present curve size.

    Args:
        cases: the usable cases.
        done: ids of the finished runs in the ledger.
        own: how the session's own curve is trained.
        seed: of folds, subsets and trainings.
        blocks: curve size -> image ids of the block begun there.
        again: whether some folds are trained a second time.
        arms: the strategies to compare with it.

    Returns:
        First the session's own, fewest training cases first, ties by fold; then those that are made again; then one arm
        after the other, fold by fold. Empty before the first curve size or with a single patient.
    """
    curve_size = curve_size_of(len(cases))
    if curve_size is None:
        return []
    members = block_of(cases, curve_size, blocks)
    wanted = sorted(
        _runs_of_block(members, curve_size, own, seed), key=lambda run: (run.n, run.fold, -run.share)
    )
    folds = sorted((run for run in wanted if run.purpose == "fold"), key=lambda run: run.fold)
    if again:
        wanted += [_once_more(run) for run in folds[:REPEATED_FOLDS]]
    wanted += [_as_arm(run, arm, seed, members) for arm in arms for run in folds]
    return [run for run in wanted if run.run_id not in done]


def fits_budget(elapsed_s: float, budget_s: float, seconds_per_run: Sequence[float]) -> bool:
    """Whether another run may begin: the budget is not used up, nor would a run like the last ones do so.

    The first run may always begin, so that every job brings at least one point.
    """
    if not seconds_per_run:
        return True
    expected = sum(seconds_per_run[-3:]) / len(seconds_per_run[-3:])
    return elapsed_s + expected <= budget_s


def seconds_left(
    elapsed_s: float, budget_s: float, under_way: Sequence[float], waiting: Iterable[float]
) -> float:
    """Seconds until a job ends: what is under way ends, and of what waits as much begins as the budget has room for.

    Args:
        elapsed_s, budget_s: of the job.
        under_way: seconds that each run under way still takes; they run side by side.
        waiting: seconds that the others take, in their order.
    """
    ends = sorted(under_way)
    for seconds in waiting:
        if elapsed_s + ends[0] + seconds > budget_s:
            break
        ends = sorted([*ends[1:], ends[0] + seconds])
    return ends[-1]


def _runs_of_block(members: Sequence[UsableCase], curve_size: int, own: ArmDue, seed: int) -> list[RunDue]:
    fold_of = deal_folds((case.patient for case in members), seed)
    folds = sorted(set(fold_of.values()))
    if len(folds) < 2:
        return []
    runs: list[RunDue] = []
    for fold in folds:
        test = [case for case in members if fold_of[case.patient] == fold]
        rest = [case for case in members if fold_of[case.patient] != fold]
        whole = _run("fold", rest, test, curve_size, fold, 1.0, own, seed)
        runs.append(whole)
        if fold >= NESTED_FOLDS:
            continue
        sizes = {whole.n}
        for share in NESTED_SHARES:
            kept = set(nested_subset((case.patient for case in rest), share, seed, fold))
            part = [case for case in rest if case.patient in kept]
            if len(part) in sizes:
                continue
            sizes.add(len(part))
            runs.append(_run("nested", part, test, curve_size, fold, share, own, seed))
    return runs


def _once_more(fold: RunDue) -> RunDue:
    """The same training and test cases with luck of their own."""
    return replace(fold, run_id=f"{fold.run_id}-again", seed=training_seed(fold.seed, "again"), again=True)


def _as_arm(fold: RunDue, arm: ArmDue, seed: int, members: Sequence[UsableCase]) -> RunDue:
    """The same training and test cases with another strategy."""
    by_id = {case.image_id: case for case in members}
    train, test = ([by_id[i] for i in ids] for ids in (fold.train_ids, fold.test_ids))
    return _run("arm", train, test, fold.curve_size, fold.fold, 1.0, arm, seed)


def _run(
    purpose: Purpose,
    train: Sequence[UsableCase],
    test: Sequence[UsableCase],
    curve_size: int,
    fold: int,
    share: float,
    arm: ArmDue,
    seed: int,
) -> RunDue:
    train = sorted(train, key=lambda case: case.image_id)
    test = sorted(test, key=lambda case: case.image_id)
    facts = [f"{case.image_id}:{case.label_hash}" for case in (*train, *test)]
    identity = digest_of(arm.settings_hash, seed, len(train), *facts)
    return RunDue(
        run_id=f"{purpose}-{curve_size}-{fold}-{len(train)}-{identity[:12]}",
        purpose=purpose,
        strategy=arm.strategy,
        settings_hash=arm.settings_hash,
        curve_size=curve_size,
        fold=fold,
        share=share,
        seed=training_seed(seed, curve_size, fold, len(train)),
        train_ids=tuple(case.image_id for case in train),
        test_ids=tuple(case.image_id for case in test),
    )


def digest_of(*parts: object) -> str:
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()
