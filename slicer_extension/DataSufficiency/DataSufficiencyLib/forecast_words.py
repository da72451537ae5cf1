"""The forecast's numbers as people read them: Dice in points from 0 to 100, ranges beside every mean."""

from __future__ import annotations

from dataclasses import dataclass

from slicer.i18n import tr as _

from scaling_app_client.answers import TrainingPlan
from scaling_app_client.payload import (
    Coverage,
    Curve,
    Doubt,
    ForecastRow,
    Interval,
    Job,
    MeasuredPoint,
    Payload,
    StrategyEffect,
    Target,
)

from .server_words import STARTING, in_the_panels_language

#: After the name of a strategy that was trained for more steps.
_LONGER = "+longer"
#: The trainer that measures the learning curve; the others make models.
MEASURING = "learning_curve"
_DOUBTS_SHOWN = 3
#: Seconds that do not count in the age of a forecast.
_CLOCK_S = 90
#: Where the server does not say.
UNKNOWN = "\u2013"
#: How many times the cases at hand the server looks for a target among.
SEARCHED_TIMES = 32


@dataclass(frozen=True)
class TableRow:
    """One line of the table: more cases, Dice expected, gain, time."""

    cases: str
    dice: str
    gain: str
    minutes: str
    tip: str


def strategy_name(name: str, title: str = "") -> str:
    """How the server calls a strategy for people; an older one gives no title."""
    if name.endswith(_LONGER):
        base = strategy_name(name[: -len(_LONGER)], title.partition(",")[0])
        return _("{strategy}, longer training").format(strategy=base)
    return title or name


def points(dice: float | None) -> str:
    return UNKNOWN if dice is None else f"{100 * dice:.0f}"


def target_points(target: Target) -> str:
    """As it was set: whole points without a tenth."""
    whole = abs(100 * target.dice - round(100 * target.dice)) < 0.05
    return points(target.dice) if whole else tenths(target.dice)


def decimal(value: float) -> str:
    """A number to a tenth, with the decimal sign of the language; a loss too small to be seen is no `-0.0`."""
    whole, tenth = f"{round(value, 1) + 0.0:.1f}".split(".")
    return _("{whole}.{tenth}").format(whole=whole, tenth=tenth)


def dice_text(dice: Interval | None) -> str:
    """`83.4 (81 to 85)`: to a tenth, as the gains are, so that level and gain add up."""
    if dice is None:
        return UNKNOWN
    if dice.lo80 is None or dice.hi80 is None:
        return tenths(dice.mean)
    words = _("{mean} ({low} to {high})")
    return words.format(mean=tenths(dice.mean), low=points(dice.lo80), high=points(dice.hi80))


def gain_text(gain: Interval | None) -> str:
    """`+2.0 (1.0 to 3.0)`."""
    if gain is None:
        return UNKNOWN
    mean = signed_tenths(gain.mean)
    if gain.lo80 is None or gain.hi80 is None:
        return mean
    words = _("{mean} ({low} to {high})")
    return words.format(mean=mean, low=tenths(gain.lo80), high=tenths(gain.hi80))


def signed_tenths(dice: float) -> str:
    """A difference in points: `+2.0`; one of nothing has no sign."""
    text = tenths(dice)
    return text if text.startswith("-") or not round(100 * dice, 1) else "+" + text


def tenths(dice: float) -> str:
    """In points, to a tenth."""
    return decimal(100 * dice)


def percent_text(share: float) -> str:
    """A chance or a share; never 0 % or 100 %, as in the server's report."""
    if share < 0.01:
        return _("under 1 %")
    return _("over 99 %") if share > 0.99 else _("{percent} %").format(percent=round(100 * share))


def minutes_text(minutes: float | None) -> str:
    """`45 min`, `1 h 30 min`."""
    if minutes is None:
        return UNKNOWN
    hours, rest = divmod(round(minutes), 60)
    if not hours:
        return _("{minutes} min").format(minutes=rest)
    if not rest:
        return _("{hours} h").format(hours=hours)
    return _("{hours} h {minutes} min").format(hours=hours, minutes=rest)


def table_rows(curve: Curve | None, target: Target | None) -> list[TableRow]:
    """The table of one structure: its horizons and the way to the target, in the order of further cases."""
    if curve is None:
        return []
    rows = [(float(row.extra), _horizon(row)) for row in curve.forecast]
    if target is not None:
        cases = target.median if target.median is not None else float("inf")
        rows.append((cases, _target_row(curve, target)))
    return [row for _cases, row in sorted(rows, key=lambda pair: pair[0])]


def _horizon(row: ForecastRow) -> TableRow:
    tip = _("with {n} cases in all").format(n=row.n)
    if row.p_at_least_1pt is not None:
        words = _("{percent} chance of at least one point")
        tip += "; " + words.format(percent=percent_text(row.p_at_least_1pt))
    return TableRow(f"+{row.extra}", dice_text(row.dice), gain_text(row.gain), minutes_text(row.minutes), tip)


def _target_row(curve: Curve, target: Target) -> TableRow:
    """How many more cases the target takes; the time is that of as many cases as the median says."""
    dice = _("target {dice}").format(dice=target_points(target))
    if target.median is None:
        beyond = _("beyond {times} times the cases").format(times=SEARCHED_TIMES)
        cases = UNKNOWN if target.p_reached is None else beyond
    elif target.median == target.hi80 == 0:
        return TableRow(_("reached"), dice, UNKNOWN, UNKNOWN, target_tip(target))
    else:
        # The end that the server leaves out is none: perhaps no number of cases is enough.
        words = _("+{median} ({low} or more)") if target.hi80 is None else _("+{median} ({low} to {high})")
        low, high = target.lo80 or 0, target.hi80 or 0
        cases = words.format(median=f"{target.median:.0f}", low=f"{low:.0f}", high=f"{high:.0f}")
    per_case = next((r.minutes / r.extra for r in curve.forecast if r.minutes and r.extra), None)
    minutes = per_case * target.median if per_case is not None and target.median is not None else None
    return TableRow(cases, dice, UNKNOWN, minutes_text(minutes), target_tip(target))


def target_tip(target: Target) -> str:
    parts = []
    if target.p_reached is not None:
        words = _("{percent} chance that it is reached already")
        parts.append(words.format(percent=percent_text(target.p_reached)))
    if target.p_unreachable is not None:
        words = _("{percent} chance that no number of cases reaches it")
        parts.append(words.format(percent=percent_text(target.p_unreachable)))
    return "; ".join(parts)


def state_text(answer: Payload, received_s: float, offline_minutes: float | None) -> str:
    """How old the forecast is, whether a new one is on its way, and how much of it is borrowed."""
    made = answer.overall is not None
    parts = [age_text(answer.age_s, received_s) if made else "", job_text(answer)]
    if offline_minutes is not None:
        parts.append(
            _("The server has not answered for {time}.").format(time=minutes_text(max(1, offline_minutes)))
        )
    if made and answer.n_labelled is not None and answer.n_in_curve not in (None, answer.n_labelled):
        words = _("It rests on {used} of {all} labels.")
        parts.append(words.format(used=answer.n_in_curve, all=answer.n_labelled))
    return " ".join(part for part in parts if part)


def prior_text(curve: Curve | None) -> str:
    """How much the session's own cases have settled."""
    if curve is None or curve.prior_share is None:
        return ""
    words = _(
        "{percent} of this forecast rests on your own cases, the rest on learning curves of other tasks. The gains rest on "
        "those even more."
    )
    return words.format(percent=percent_text(1 - curve.prior_share))


def doubts_text(doubts: tuple[Doubt, ...], files: tuple[Doubt, ...] = ()) -> str:
    """Labels that are left out of the curve until somebody has looked at them, and what is odd about files on the server."""
    parts = []
    if doubts:
        parts.append(
            _("Left out of the forecast until you have looked at them again:") + "\n" + _listed(doubts)
        )
    if files:
        parts.append(_("To be looked at where the server's files are:") + "\n" + _listed(files))
    return "\n".join(parts)


def _listed(doubts: tuple[Doubt, ...]) -> str:
    lines = [f"{doubt.image}: {doubt.sentence}" for doubt in doubts[:_DOUBTS_SHOWN]]
    if len(doubts) > _DOUBTS_SHOWN:
        lines.append(_("and {count} more").format(count=len(doubts) - _DOUBTS_SHOWN))
    return "\n".join(lines)


def age_text(age_s: float | None, received_s: float) -> str:
    """How long ago the server made the forecast; where it does not say, how long ago it came.

    Args:
        age_s: How old it was when the server sent it, by the server's clock.
        received_s: How long ago it came.
    """
    seconds = received_s + (age_s or 0.0)
    if age_s is not None and age_s < -_CLOCK_S:
        return _("How old the forecast is cannot be told: the server's clock was changed.")
    if seconds < _CLOCK_S:
        return _("Forecast made just now.")
    return _("Forecast made {time} ago.").format(time=minutes_text(seconds / 60))


def job_text(answer: Payload) -> str:
    """Whether a computation is running, and for how long still."""
    job: Job = answer.job
    if not job.running:
        if answer.status == "computing":
            return _("A new forecast is being computed.")
        return _("The last measurement: {sentence}").format(sentence=job.message) if job.message else ""
    if job.message == STARTING:
        return in_the_panels_language(job.message)
    if job.total:
        words = _("The learning curve is being measured: {done} of {total} trainings are done.")
        text = words.format(done=job.done or 0, total=job.total)
    else:
        text = _("The learning curve is being measured.")
    if job.eta_seconds is not None:
        text += " " + left_text(job.eta_seconds / 60)
    return text


def measured_text(point: MeasuredPoint) -> str:
    """What a measured point rests on: `test cases: 13; 80 % range: 78 to 83 points; cases held back from training`."""
    parts = []
    if point.n_cases is not None:
        parts.append(_("test cases: {count}").format(count=point.n_cases))
    if point.lo80 is not None and point.hi80 is not None:
        words = _("80 % range: {low} to {high} points")
        parts.append(words.format(low=points(point.lo80), high=points(point.hi80)))
    how = {
        "prequential": _("each tested before it was trained on"),
        "fold": _("cases held back from training"),
        "nested": _("trained on some of the cases, tested on others"),
    }
    return "; ".join([*parts, how[point.kind]] if point.kind in how else parts)


def kappa_text(effect: StrategyEffect, n: int | None) -> str:
    """`with GenDA your 8 cases work like 13 (10 to 17)`."""
    name = strategy_name(effect.name, effect.title)
    if effect.kappa is None or not n:
        if effect.dice_difference is not None:
            return _("{name}: how many cases it is worth is not known yet.").format(name=name)
        return _("{name}: not measured yet.").format(name=name)
    mean = f"{n * effect.kappa.mean:.0f}"
    if effect.kappa.lo80 is None or effect.kappa.hi80 is None:
        return _("With {name} your {n} cases work like {mean}.").format(name=name, n=n, mean=mean)
    low, high = f"{n * effect.kappa.lo80:.0f}", f"{n * effect.kappa.hi80:.0f}"
    words = _("With {name} your {n} cases work like {mean} ({low} to {high}).")
    return words.format(name=name, n=n, mean=mean, low=low, high=high)


def effect_tip(effect: StrategyEffect, n: int | None) -> str:
    """What `kappa_text` says, on how many cases it was measured, and the surface Dice, as far as known."""
    what = in_the_panels_language(effect.what)
    parts = [kappa_text(effect, n), *([what] if what else [])]
    if effect.n_cases is not None:
        one = effect.n_cases == 1
        words = _("Compared on one test case.") if one else _("Compared on {count} test cases.")
        parts.append(words.format(count=effect.n_cases))
    if effect.nsd_difference is not None:
        words = _("Surface Dice, in points: {difference}.")
        parts.append(words.format(difference=gain_text(effect.nsd_difference)))
    return " ".join(parts)


def what_text(effects: tuple[StrategyEffect, ...]) -> str:
    """What each strategy does, a line each."""
    lines = [f"{strategy_name(e.name, e.title)}: {in_the_panels_language(e.what)}" for e in effects if e.what]
    return "\n".join(lines)


def training_text(trainer: str, plan: TrainingPlan | None, steps: int | None, labels: int | None) -> str:
    """What a training means, in time and effect.

    Args:
        plan: What the server says of this trainer.
        steps: How long to train.
        labels: How many labels there are.
    """
    if trainer == MEASURING:
        effect = _("Measures the learning curve; the model in use stays as it is.")
    elif labels == 1:
        effect = _("Makes a new model from your label; it then makes the predictions.")
    elif labels:
        words = _("Makes a new model from your {count} labels; it then makes the predictions.")
        effect = words.format(count=labels)
    else:
        effect = _("Makes a new model from the labels; it then makes the predictions.")
    return f"{effect} {_duration(plan, steps)} " + _("Until then you can go on drawing.")


def _duration(plan: TrainingPlan | None, steps: int | None) -> str:
    """How long, judged by the last one, else at most."""
    expected = plan.expected_minutes(steps) if plan else None
    if expected is not None:
        words = _("Takes about {time}, judging by the last time.")
        return words.format(time=minutes_text(max(1, expected)))
    if plan is not None and plan.most_minutes is not None:
        return _("Takes {time} at most.").format(time=minutes_text(plan.most_minutes))
    return _("How long it takes is not known yet.")


def trainer_name(name: str) -> str:
    """What a trainer makes, as people call it."""
    known = {"segmentation": _("the model"), MEASURING: _("the learning curve")}
    return known.get(name, name)


def under_way_text(measures: bool, minutes_left: float | None) -> str:
    """What runs on the server, and how long still."""
    text = _("The learning curve is being measured.") if measures else _("A new model is being trained.")
    return text if minutes_left is None else f"{text} {left_text(minutes_left)}"


def left_text(minutes: float) -> str:
    return _("About {time} left.").format(time=minutes_text(max(1, minutes)))


def kappa_number(effect: StrategyEffect) -> str:
    kappa = effect.kappa
    if kappa is None:
        return UNKNOWN
    if kappa.lo80 is None or kappa.hi80 is None:
        return decimal(kappa.mean)
    words = _("{mean} ({low} to {high})")
    return words.format(mean=decimal(kappa.mean), low=decimal(kappa.lo80), high=decimal(kappa.hi80))


def best_strategy(effects: tuple[StrategyEffect, ...]) -> StrategyEffect | None:
    """The strategy that helps for sure, the most; None where no range lies above one."""
    helping = [e for e in effects if e.kappa is not None and (e.kappa.lo80 or 0.0) > 1.0]
    return max(helping, key=lambda e: e.kappa.mean if e.kappa else 0.0, default=None)


def strategy_summary(effects: tuple[StrategyEffect, ...], n: int | None) -> str:
    """The sentence above the table of strategies."""
    if not any(effect.kappa for effect in effects):
        return _(
            "Not measured: the learning curve compares the strategies that the server was told to compare."
        )
    best = best_strategy(effects)
    if best is None:
        return _("No strategy is sure to help on your cases so far.")
    return kappa_text(best, n)


def coverage_text(coverage: Coverage | None) -> str:
    if coverage is None:
        return _("Not known yet.")
    if coverage.pool == 0:
        return _("No case without a label has been looked at.")
    if coverage.outside == 0:
        words = _("Unlabelled cases looked at: {pool}. All resemble cases that have been labelled.")
        return words.format(pool=coverage.pool)
    words = _("Unlabelled cases looked at: {pool}. Outside what has been labelled so far: {outside}.")
    return words.format(outside=coverage.outside, pool=coverage.pool)
