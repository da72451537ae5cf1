"""What stands at the top of the panel, always in sight: what to do, what the next cases bring, what has changed."""

from __future__ import annotations

from slicer.i18n import tr as _

from scaling_app_client.payload import ForecastRow, Interval, Payload

from .forecast_words import (
    job_text,
    minutes_text,
    points,
    signed_tenths,
    target_points,
    tenths,
    under_way_text,
)
from .states import ForecastState, SessionState


def advice_text(answer: Payload | None) -> str:
    """What to do next, in a few words of the panel's own; the server's stand with the forecast."""
    if answer is None:
        return _("Connect to a server to see what the next case is worth.")
    advice = answer.advice
    action, cases = (advice.action, advice.cases) if advice is not None else ("", None)
    if answer.status == "error":
        return _("The server could not compute a forecast. You can go on labelling.")
    if answer.status == "too_few":
        return _first_forecast(answer, cases)
    because = advice.because if advice is not None else ""
    if action == "stop":
        return _stop(answer, because)
    if action == "continue" and cases:
        return _continue(cases, answer.n_pool)
    if action == "wait" and cases == 0:
        return _("Every case has a label.")
    if action == "wait" and answer.overall is not None:
        return _too_early(because)
    if answer.status == "computing":
        return _("The first forecast is being computed. You can go on labelling.")
    return _("There is no advice yet. You can go on labelling.")


def advice_sentence(answer: Payload | None) -> str:
    """The advice as the server gives it, with its numbers, and what it rests on: as yet other tasks, perhaps."""
    advice = answer.advice if answer is not None else None
    said = [part for part in (advice.sentence, advice.reason) if part] if advice is not None else []
    if answer is not None and answer.message and (not said or answer.status == "prior_dominated"):
        said.append(answer.message)
    return _("The server says: {sentence}").format(sentence="\n".join(said)) if said else ""


def _first_forecast(answer: Payload, cases: int | None) -> str:
    """There are too few labels, or no model has been tested on them."""
    left = answer.n_pool
    if cases and left is not None and left < cases:
        words = _(
            "For a first forecast, labels are missing: {count}. Images without a label: {left}. Please add images on the server."
        )
        return words.format(count=cases, left=left)
    if cases == 1:
        return _("Please label one more case for a first forecast.")
    if cases and not answer.n_labelled:
        return _("Please label {count} cases for a first forecast.").format(count=cases)
    if cases:
        return _("Please label {count} more cases for a first forecast.").format(count=cases)
    if answer.job.running:
        return _("The learning curve is being measured for a first forecast. You can go on labelling.")
    if answer.n_labelled:
        return _("For a first forecast, open “Forecast” below and press “Measure the learning curve”.")
    return _("Please label a few cases for a first forecast.")


def _stop(answer: Payload, because: str) -> str:
    if because == "target" and answer.target is not None:
        words = _("You can stop: for cases of this kind the target of {dice} points is reached.")
        return words.format(dice=target_points(answer.target))
    if because == "agreement":
        return _("You can stop: the model is about as right as two readers agree.")
    return _("You can stop: more cases of this kind are hardly worth your time.")


def _too_early(because: str) -> str:
    if because == "target":
        return _("The target seems to be reached, but it is too early to stop.")
    if because == "agreement":
        return _("The model seems to be about as right as two readers agree, but it is too early to stop.")
    if because == "minutes":
        return _("More cases seem to take longer than they save, but it is too early to stop.")
    return _("More cases seem to add little, but it is too early to stop.")


def _continue(cases: int, left: int | None) -> str:
    """No more are asked for than there are."""
    if left is not None and 1 < left < cases:
        return _("Please label the {count} cases that are left, then look again.").format(count=left)
    if left == 1:
        return _("Please label the last case, then look again.")
    if cases == 1:
        return _("Please label one more case, then look again.")
    return _("Please label {count} more cases, then look again.").format(count=cases)


def next_text(answer: Payload | None) -> str:
    """What the next case and the next five bring: `Next case: +0.5 points (80 %: 0.2 to 0.8), 18 min of your time.`"""
    rows = answer.overall.forecast if answer is not None and answer.overall is not None else ()
    ahead = {row.extra: _worth(row) for row in rows if row.gain is not None}
    parts = []
    if 1 in ahead:
        parts.append(_("Next case: {worth}.").format(worth=ahead[1]))
    if 5 in ahead:
        parts.append(_("Next 5: {worth}.").format(worth=ahead[5]))
    return "\n".join(parts)


def _worth(row: ForecastRow) -> str:
    assert row.gain is not None
    gain = _in_points(row.gain)
    if row.minutes is None:
        return gain
    return _("{gain}, {time} of your time").format(gain=gain, time=minutes_text(row.minutes))


def _in_points(gain: Interval) -> str:
    mean = signed_tenths(gain.mean)
    if gain.lo80 is None or gain.hi80 is None:
        return _("{mean} points").format(mean=mean)
    low, high = tenths(gain.lo80), tenths(gain.hi80)
    return _("{mean} points (80 %: {low} to {high})").format(mean=mean, low=low, high=high)


def now_text(forecast: ForecastState) -> str:
    """How good it is now, and what has changed: `Dice now: 81.5 points (80 %: 79 to 84), +0.4 since the last label.`"""
    answer = forecast.latest
    now = answer.overall.now if answer is not None and answer.overall is not None else None
    if now is None:
        return ""
    level = _("Dice now: {mean} points").format(mean=tenths(now.mean))
    if now.lo80 is not None and now.hi80 is not None:
        words = _("Dice now: {mean} points (80 %: {low} to {high})")
        level = words.format(mean=tenths(now.mean), low=points(now.lo80), high=points(now.hi80))
    return level + _since(answer, forecast.before, now) + "."


def readers_text(answer: Payload | None) -> str:
    """What a model need not pass: `Two readers agree to 88 points (80 %: 84 to 91), n = 6 cases.`"""
    agreement = answer.agreement if answer is not None else None
    dice = agreement.dice if agreement is not None else None
    if agreement is None or dice is None or dice.lo80 is None or dice.hi80 is None:
        return ""
    words = _("Two readers agree to {mean} points (80 %: {low} to {high}), n = {count} cases.")
    return words.format(
        mean=points(dice.mean), low=points(dice.lo80), high=points(dice.hi80), count=agreement.n_cases
    )


def _since(answer: Payload | None, before: Payload | None, now: Interval) -> str:
    """The change of the estimate since there were fewer labels."""
    then = before.overall.now if before is not None and before.overall is not None else None
    if answer is None or before is None or then is None:
        return ""
    change = signed_tenths(now.mean - then.mean)
    labels = (answer.n_labelled or 0) - (before.n_labelled or 0)
    if labels == 1:
        return _(", {change} since the last label").format(change=change)
    return _(", {change} since the last {count} labels").format(change=change, count=labels)


def note_text(state: SessionState, offline_minutes: float | None) -> str:
    """What is under way, and what wants to be looked at, each in a sentence; empty when there is nothing."""
    answer, training = state.sufficiency, state.training
    parts = []
    if offline_minutes is not None:
        words = _("The server has not answered for {time}: these numbers are from before.")
        parts.append(words.format(time=minutes_text(max(1, offline_minutes))))
    elif state.forecast.trouble is not None:
        parts.append(state.forecast.trouble.text + " " + _("These numbers are from before."))
    if answer is not None and answer.busy:
        parts.append(job_text(answer))
    elif training.running:
        parts.append(under_way_text(training.measures, training.minutes_left))
    if parts and offline_minutes is None:
        parts.append(_("You can go on drawing."))
    doubts = len({doubt.image for doubt in answer.doubts}) if answer is not None else 0
    if doubts == 1:
        parts.append(_("One label is in doubt and left out: see the forecast below."))
    elif doubts:
        words = _("{count} labels are in doubt and left out: see the forecast below.")
        parts.append(words.format(count=doubts))
    return " ".join(parts)
