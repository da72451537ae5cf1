"""When to stop labelling: the rule, its guards, and the one sentence that says so.

Stop when, of cases of this kind,
  S1  the target is reached with probability >= 0.9 for every structure, or
  S4  every structure is as far as two readers agree, or within delta of it, with probability >= 0.9, or
  S2  the next max(5, N/4) cases gain less than delta with probability >= 0.8, at two updates max(3, N/8) cases apart, or
  S3  no number of further cases is worth its minutes;
otherwise continue. The guards turn a stop into a wait: fewer than 8 cases, fewer than 6 cases labelled
without a prediction on screen, models tested so far of fewer than half of the cases, an open alarm, and longer trainings
that gain on the same cases: a curve can be flat for want of steps.

The advice never says "sufficient": it speaks of cases of this kind and of nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scaling_app.forecast.agreement import Readers
from scaling_app.forecast.arms import LONGER_TIMES
from scaling_app.words import count, signed_tenths, tenths

P_TARGET = 0.9
P_LOW_GAIN = 0.8
MIN_LABELLED = 8
MIN_BLIND = 6
APART = 3
SHARE_APART = 1 / 8
"""Two updates are two opinions when so many cases, and so large a share of them, lie between them."""
STEPS = (1, 2, 3, 5, 8, 13, 21, 34)
"""Numbers of further cases whose net value is compared."""
_BEYOND = "this says nothing about other scanners, hospitals or diseases"


@dataclass(frozen=True)
class StopEvidence:
    """What the rule looks at.

    Attributes:
        n_now: labelled cases.
        cases: number of further cases the gain is judged over.
        delta: smallest gain worth having, Dice.
        p_gain: P(gain of these cases >= delta), mean over structures.
        gain: expected gain of these cases, Dice.
        p_gain_by_structure: the same per structure.
        low_gain_before: whether S2's probability held at the update that may confirm it (`confirming_size`).
        target: Dice aimed at.
        p_target: probability that every structure is there now.
        p_target_by_structure: that each of them is.
        minutes: for these cases.
        net_value: minutes won per number of further cases (`STEPS`), where a value is known.
        n_pool: unlabelled cases left.
        n_blind: cases labelled without a prediction on screen; None where scores name no cases.
        prior_dominated: the forecast rests on other tasks.
        alarms: sentences, each a reason to look before believing the curve.
        p_agreement: probability that every structure is within delta of what two readers agree to, or above; None where
            that is not known.
        readers: how far they agree.
        level: expected Dice now, mean over structures.
        longer: what trainings of `LONGER_TIMES` times the steps gained on the same cases, where it was tried:
            `mean`, `lo80`, `hi80`, Dice.
    """

    n_now: int
    cases: int
    delta: float
    p_gain: float
    gain: float
    p_gain_by_structure: Mapping[str, float] = field(default_factory=dict)
    low_gain_before: bool = False
    target: float | None = None
    p_target: float | None = None
    p_target_by_structure: Mapping[str, float] = field(default_factory=dict)
    minutes: float | None = None
    net_value: Mapping[int, float] = field(default_factory=dict)
    n_pool: int | None = None
    n_blind: int | None = None
    prior_dominated: bool = False
    alarms: Sequence[str] = ()
    p_agreement: float | None = None
    readers: Readers | None = None
    level: float = 0.0
    longer: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Advice:
    """What to do next.

    Attributes:
        action: `continue`, `stop` or `wait`.
        cases: number of further cases it speaks of.
        probability: of what the sentence claims.
        sentence: for a radiologist.
        reason: what it rests on.
        because: what speaks for a stop, also where it is held back: `target`, `agreement`, `gain` or `minutes`; `pool` where
            nothing is left to label; None where nothing does.
    """

    action: str
    cases: int | None
    probability: float | None
    sentence: str
    reason: str
    because: str | None = None


_SEEMS = {
    "target": "The target seems to be reached",
    "agreement": "The model seems to be about as right as two readers agree",
    "gain": "It looks as if more cases of this kind would add little",
    "minutes": "More cases of this kind seem to cost more minutes than they save",
}
"""How a stop that is held back begins."""


def check_size(n_now: int) -> int:
    """Number of further cases that a gain is judged over: max(5, N/4), rounded up."""
    return max(5, math.ceil(n_now / 4))


def confirming_size(n_now: int) -> int:
    """The most cases of an earlier update whose verdict confirms that of n_now: N - max(3, N/8), rounded down.

    An update of hardly fewer cases rests on nearly the same scores and would nearly always agree.
    """
    return n_now - max(APART, math.ceil(SHARE_APART * n_now))


def low_gain(evidence: StopEvidence) -> bool:
    """S2 at this update: little to gain overall, and no structure likely to gain."""
    still_rising = any(p > 0.5 for p in evidence.p_gain_by_structure.values())
    return 1.0 - evidence.p_gain >= P_LOW_GAIN and not still_rising


def advise(evidence: StopEvidence) -> Advice:
    """Applies the rule and its guards."""
    stop = _stop(evidence)
    guards = _guards(evidence)
    if evidence.n_pool == 0 and (stop is None or guards or stop.because in ("gain", "minutes")):
        return Advice("wait", 0, None, "Every case has a label.", "no unlabelled case is left", "pool")
    if stop is None:
        return _continue(evidence)
    if not guards:
        return stop
    return Advice(
        "wait",
        evidence.cases,
        stop.probability,
        f"{_SEEMS[stop.because or 'gain']}, but do not stop yet: {guards[0]}.",
        f"{stop.reason}; held back because {'; '.join(guards)}",
        stop.because,
    )


def _stop(e: StopEvidence) -> Advice | None:
    if e.target is not None and _at_target(e):
        sentence = (
            f"The target of {_points(e.target)} is reached for cases of this kind (probability "
            f"{percent(e.p_target)}); {_BEYOND}."
        )
        reason = f"chance that every structure is at the target: {percent(e.p_target)}, of {percent(P_TARGET)} that are asked for"
        return Advice("stop", 0, e.p_target, sentence, reason, "target")
    if _at_agreement(e):
        sentence = (
            f"The model's Dice of {100 * e.level:.0f} points is about as far as two readers agree: {agreed_in_words(e.readers)}. Within "
            f"{_points(e.delta)} of it, or above, with probability {percent(e.p_agreement)}; more cases of this kind "
            f"cannot make it more right than the readers are; {_BEYOND}."
        )
        reason = (
            f"chance that every structure is as far as two readers agree, less {_points(e.delta)}: "
            f"{percent(e.p_agreement)}, of {percent(P_TARGET)} that are asked for"
        )
        return Advice("stop", 0, e.p_agreement, sentence, reason, "agreement")
    if low_gain(e) and e.low_gain_before:
        sentence = (
            f"{e.cases} more cases of this kind are unlikely to raise the Dice by {_points(e.delta)} (probability "
            f"{percent(e.p_gain)}); {_BEYOND}{_of_longer(e)}."
        )
        reason = (
            f"chance that {e.cases} cases gain less than {_points(e.delta)}: {percent(1 - e.p_gain)}, and as little at "
            f"an update of {confirming_size(e.n_now)} cases or fewer"
        )
        return Advice("stop", e.cases, 1.0 - e.p_gain, sentence, reason, "gain")
    if e.net_value and max(e.net_value.values()) <= 0:
        sentence = (
            "Labelling one more case of this kind costs more minutes than it is expected to save; "
            f"{_BEYOND}{_of_longer(e)}."
        )
        reason = "no number of further cases has a positive net value in minutes"
        return Advice("stop", 0, None, sentence, reason, "minutes")
    return None


def _guards(e: StopEvidence) -> list[str]:
    guards = list(e.alarms)
    if e.n_now < MIN_LABELLED:
        are = "is" if e.n_now == 1 else "are"
        guards.append(f"{count(e.n_now, 'case')} {are} labelled, fewer than {MIN_LABELLED}")
    elif e.prior_dominated:
        guards.append(
            "no model of at least half of these cases has been tested yet, so that the forecast rests on other tasks"
        )
    if e.n_blind is not None and e.n_blind < MIN_BLIND:
        were = "was" if e.n_blind == 1 else "were"
        guards.append(
            f"only {e.n_blind} of at least {MIN_BLIND} cases {were} labelled without a prediction on screen"
        )
    if e.longer is not None and _longer_helps(e) and not (_at_target(e) or _at_agreement(e)):
        guards.append(f"{_longer_in_words(e.longer)}: train longer first")
    return guards


def _at_target(e: StopEvidence) -> bool:
    """S1."""
    return e.target is not None and e.p_target is not None and e.p_target >= P_TARGET


def _at_agreement(e: StopEvidence) -> bool:
    """S4."""
    return e.p_agreement is not None and e.p_agreement >= P_TARGET


def agreed_in_words(readers: Readers | None) -> str:
    """`88 points (n = 6 cases, 80 % range 84 to 91)`; empty where it is not known."""
    overall = None if readers is None else readers.overall
    edges = None if overall is None else overall.dice.edges(0.8)
    if overall is None or edges is None:
        return ""
    low, high = edges
    return f"{100 * overall.dice.mean:.0f} points (n = {overall.n_cases} cases, 80 % range {100 * low:.0f} to {100 * high:.0f})"


def _longer_helps(e: StopEvidence) -> bool:
    return e.longer is not None and e.longer["lo80"] > 0 and e.longer["mean"] >= e.delta


def _longer_in_words(longer: Mapping[str, float]) -> str:
    mean, lo80, hi80 = (signed_tenths(100 * longer[key]) for key in ("mean", "lo80", "hi80"))
    return (
        f"trainings of {LONGER_TIMES} times the steps change the Dice by {mean} points on the same cases "
        f"(80 %: {lo80} to {hi80})"
    )


def _instead(e: StopEvidence) -> str:
    """What longer trainings bring, where that is more than the cases do."""
    if e.longer is None or not _longer_helps(e) or e.longer["mean"] <= e.gain:
        return ""
    return (
        f"; training {LONGER_TIMES} times as long gains {tenths(100 * e.longer['mean'])} points without them"
    )


def _of_longer(e: StopEvidence) -> str:
    """What a stop for want of gain leaves open, or has had tried."""
    if e.longer is None or e.longer["hi80"] >= e.delta:
        return ", or about longer trainings"
    return f"; {_longer_in_words(e.longer)}"


def _continue(e: StopEvidence) -> Advice:
    chance, points = percent(e.p_gain), _points(e.delta)
    cost = f", and take about {_duration(e.minutes)}" if e.minutes is not None else ""
    left = (
        f" ({e.n_pool} {'is' if e.n_pool == 1 else 'are'} left)"
        if e.n_pool is not None and e.n_pool < e.cases
        else ""
    )
    if low_gain(e):
        sentence = (
            f"{e.cases} more cases of this kind{left} will probably add little (chance of {points} or more: "
            f"{chance}); an update some cases later will tell whether this holds{_instead(e)}."
        )
    else:
        sentence = (
            f"{e.cases} more cases of this kind{left} raise the Dice by {points} or more with a chance of "
            f"{chance}{cost}{_instead(e)}."
        )
    reason = f"expected gain {tenths(100 * e.gain)} points"
    rising = [name for name, p in e.p_gain_by_structure.items() if p > 0.5]
    if rising and len(rising) < len(e.p_gain_by_structure):
        reason += f"; most likely to gain: {', '.join(rising)}"
    behind = [f"{name} ({percent(p)})" for name, p in e.p_target_by_structure.items() if p < P_TARGET]
    if e.target is not None and behind:
        reason += f"; not surely at {_points(e.target)} yet: {', '.join(behind)}"
    if e.target is not None and e.readers is not None and _is_beyond(e.target, e.readers):
        reason += f"; the target of {_points(e.target)} lies beyond what two readers agree to, {agreed_in_words(e.readers)}"
    if low_gain(e):
        reason += "; little gain expected, to be confirmed at an update some cases later"
    if e.net_value:
        best = max(e.net_value, key=lambda k: e.net_value[k])
        reason += f"; best value in minutes after {best} more"
    if e.longer is not None and _longer_helps(e):
        reason += f"; {_longer_in_words(e.longer)}"
    if e.alarms:
        reason += f"; note: {'; '.join(e.alarms)}"
    return Advice("continue", e.cases, e.p_gain, sentence, reason)


def percent(share: float | None) -> str:
    """A probability or share in words; never 0 % or 100 %."""
    if share is None:
        return "–"
    if share < 0.01:
        return "under 1 %"
    return "over 99 %" if share > 0.99 else f"{100 * share:.0f} %"


def _is_beyond(target: float, readers: Readers) -> bool:
    overall = readers.overall
    edges = None if overall is None else overall.dice.edges(0.8)
    return edges is not None and target > edges[1]


def _points(delta: float) -> str:
    points = 100 * delta
    return f"{points:g} point" if points == 1 else f"{points:g} points"


def _duration(minutes: float) -> str:
    return count(max(1, round(minutes)), "minute") if minutes < 90 else f"{minutes / 60:.1f} hours"
