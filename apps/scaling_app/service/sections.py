"""The report's sections of words and tables, each from the payload to a block of HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import zip_longest

from scaling_app.forecast.answer import SEARCHED_TIMES
from scaling_app.forecast.prediction import MIN_CASES
from scaling_app.forecast.stopping import percent
from scaling_app.service.job_state import measuring
from scaling_app.service.methods_text import methods_text
from scaling_app.service.page import duration, gain_points, numbers, points, section, spread, table
from scaling_app.service.payloads import (
    Annotation,
    CasesNeeded,
    Doubt,
    Gain,
    Payload,
    Range,
    ReaderAgreement,
    Target,
)
from scaling_app.words import count, tenths

_ALL_LABELLED = "All labelled"
_ACTIONS = {"continue": "Go on labelling", "stop": "You may stop here", "wait": "Not yet clear"}


def advice(payload: Payload, more: str = "") -> str:
    """The one sentence, its reason, and the figures of the day; `more` is HTML that follows the sentence and tells the levels."""
    said = payload.advice
    tiles = "".join(
        f'<div class="tile"><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(note)}</small></dd></div>'
        for name, value, note in _tiles(payload, levels=not more)
    )
    reason = said.reason
    same = reason.rstrip(".").lower() in said.sentence.lower()
    because = f'<p class="reason">Reason: {escape(reason)}.</p>' if reason and not same else ""
    return (
        f'<section class="advice {escape(said.action)}" aria-label="Advice">'
        f'<span class="badge">{_ALL_LABELLED if said.because == "pool" else _ACTIONS[said.action]}</span>'
        f'<p class="sentence">{escape(said.sentence)}</p>{more}{because}<dl class="tiles">{tiles}</dl></section>'
    )


def _tiles(payload: Payload, *, levels: bool) -> list[tuple[str, str, str]]:
    in_curve, labelled, pool = payload.n_in_curve, payload.n_labelled, payload.n_pool
    left_out = (
        f"{labelled - in_curve} left out of the curve; " if payload.overall and labelled > in_curve else ""
    )
    tiles = [
        ("Labelled cases", str(labelled), left_out + ("" if pool is None else f"{pool} unlabelled left"))
    ]
    overall = payload.overall
    if levels and overall and overall.now:
        now = overall.now
        tiles.append(("Dice now, points", points(now.mean), f"80 %: {spread(now.lo80, now.hi80)}"))
        ahead = next((row for row in overall.forecast if row.extra >= 5), None)
        if ahead and ahead.gain:
            gain = ahead.gain
            more = f"80 %: {spread(gain.lo80, gain.hi80, gain_points)}"
            tiles.append((f"Gain of {ahead.extra} more, points", gain_points(gain.mean), more))
    target = payload.target
    if target and target.p_reached is not None:
        tiles.append(
            (f"Target {points(target.dice)} points", percent(target.p_reached), _target_note(target))
        )
    annotation = payload.annotation or Annotation()
    if annotation.minutes_per_case is not None:
        spent = f"median of {annotation.n_timed}; {duration(annotation.minutes_total)} in all"
        tiles.append(("Time per case", duration(annotation.minutes_per_case), spent))
    return tiles


def _target_note(target: Target) -> str:
    needed = target.cases or CasesNeeded()
    chance = "chance that it is reached"
    if needed.median is None:
        return f"{chance}; probably beyond {SEARCHED_TIMES} times the cases"
    if needed.median == 0:
        return chance
    upper = f"to {needed.hi80:.0f}" if needed.hi80 is not None else "or more"
    return f"{chance}; {count(round(needed.median), 'more case')} (80 %: {needed.lo80 or 0:.0f} {upper})"


def state_note(payload: Payload, *, with_job: bool = True) -> str:
    """A line for what the reader must know before the numbers; without the job where that stands elsewhere."""
    notes = []
    if payload.status == "computing":
        before = "; below is the one before" if payload.overall else ""
        notes.append(f'<p class="note">A new forecast is being computed{before}.</p>')
    if payload.status == "error":
        notes.append(f'<p class="note bad" role="alert">{escape(payload.message)}</p>')
    if payload.status == "prior_dominated":
        notes.append(f'<p class="note">{escape(payload.message)}</p>')
    job = payload.job
    if job.state == "running" and with_job:
        left = job.eta_seconds
        eta = "" if left is None else f", about {duration(max(60.0, left) / 60)} left"
        done = f" ({job.done} of {job.total} trainings done{eta})" if job.total else ""
        notes.append(f'<p class="note">{escape(measuring(job.message, done))}</p>')
    return "".join(notes)


def missing(payload: Payload) -> str:
    """What is needed before there can be a forecast."""
    if payload.overall or payload.status == "computing":
        return ""
    in_curve, doubts = payload.n_in_curve, payload.doubts
    observed = [p for p in payload.observed if p.dice is not None]
    n_points = len({(p.n, p.kind) for p in observed})
    # there are cases enough, so that it is the points of the curve that are missing
    too_few_scores = payload.status == "too_few" and in_curve >= MIN_CASES
    steps = [
        (
            in_curve >= MIN_CASES,
            f"{count(in_curve, 'labelled case')} without open doubts (at least {MIN_CASES} are needed)",
        ),
        (
            n_points > 0 and not too_few_scores,
            f"{count(n_points, 'measured point')} of the curve: train a model and label on, or have the learning curve measured",
        ),
    ]
    if doubts:
        steps.append(
            (
                False,
                f"{count(len(doubts), 'open doubt')} about labels, below: confirming or correcting the labels brings cases back",
            )
        )
    items = "".join(f"<li{' class=there' if there else ''}>{escape(text)}</li>" for there, text in steps)
    return section("What is missing", f'<ul class="plain missing">{items}</ul>')


def forecast_table(payload: Payload) -> str:
    """Now and what more cases are expected to bring."""
    overall = payload.overall
    if not overall or not overall.now:
        return ""
    timed = any(row.minutes is not None for row in overall.forecast)
    headings = [
        "",
        "Cases",
        "Dice, points",
        "80 % range",
        "Gain, points",
        "80 % range of the gain",
        "Chance of 1 point or more",
    ]
    rows = [["Now", str(payload.n_in_curve), *level(overall.now), "–", "–", "–"]]
    for row in overall.forecast:
        gain = row.gain or Gain()
        rows.append(
            [
                f"{row.extra} more",
                str(row.n),
                *level(row),
                gain_points(gain.mean),
                spread(gain.lo80, gain.hi80, gain_points),
                percent(gain.p_at_least_1pt),
            ]
        )
    if overall.ceiling:
        rows.append(["Ceiling, by the forecast", "any", *level(overall.ceiling), "–", "–", "–"])
    if (agreed := _agreed(payload)) and agreed.dice:
        rows.append([f"Two readers (n = {agreed.n_cases})", "–", *level(agreed.dice), "–", "–", "–"])
    if timed:
        headings.append("Annotation")
        costs = ["–", *(duration(row.minutes) for row in overall.forecast)]
        rows = [[*row, cost] for row, cost in zip_longest(rows, costs, fillvalue="–")]
    lead = (
        "Mean Dice over structures, in points (0 to 100), on further cases of the same kind. A range of 80 % means: "
        "in four of five such forecasts the level lies inside it."
    )
    return section("Now, and with more cases", table(headings, rows, marked=0, fold=True), lead=lead)


def _agreed(payload: Payload) -> ReaderAgreement | None:
    return payload.agreement.overall if payload.agreement else None


def readers_section(payload: Payload) -> str:
    """How far two readers agree, and whether the model is there."""
    agreement = payload.agreement
    if agreement is None:
        return ""
    lead = (
        "Cases that two people drew, each alone. One is scored against the other as a model would be: a model need not do "
        "better. The ranges are for further cases of these readers, not for other readers."
    )
    read = f"{count(agreement.n_cases, 'case')} read twice, by {agreement.n_readers} people."
    if agreement.overall is None:
        said = f"{read} From {agreement.n_needed} patients on there is a number."
        return section("Two readers", f"<p>{escape(said)}</p>", lead=lead)
    named = [("All structures", agreement.overall), *((one.name, one) for one in agreement.structures)]
    named = named[1:] if len(named) == 2 else named
    rows = []
    for name, found in named:
        surface = [*level(found.nsd)] if found.nsd else ["–", "–"]
        dice = level(found.dice) if found.dice else ["–", "–"]
        rows.append([name, str(found.n_cases), *dice, *surface, str(found.one_only)])
    headings = [
        "",
        "Cases",
        "Dice, points",
        "80 % range",
        f"NSD at {agreement.nsd_tolerance_mm:g} mm, points",
        "80 % range",
        "Drawn by one alone",
    ]
    if agreement.p_reached is not None:
        chance = percent(agreement.p_reached)
        read += f" The model is within a point of that in every structure now, or above, with probability {chance}."
    return section("Two readers", f"<p>{escape(read)}</p>{table(headings, rows, fold=True)}", lead=lead)


def level(interval: Range) -> list[str]:
    """Mean and 80 % range in points."""
    return [points(interval.mean), spread(interval.lo80, interval.hi80)]


def information_section(payload: Payload) -> str:
    """How much comes from this task, and how much from others."""
    named = [(c.name, c) for c in payload.structures]
    curves = named if len(named) == 1 else [("All structures", payload.overall), *named]
    shares = [(name, c.prior_share) for name, c in curves if c and c.prior_share is not None]
    if not shares:
        return ""
    rows = "".join(
        f'<span>{escape(name)}</span><span class="bar" role="img" aria-label="{percent(1 - share)} own cases">'
        f'<span style="width:{tenths(100 * (1 - share))}%"></span></span>'
        f'<span class="value">{percent(1 - share)} own</span>'
        for name, share in shares
    )
    lead = (
        "The coloured part rests on your own cases, the rest on learning curves of other tasks, not all of them "
        "segmentation. The larger the rest, the more the forecast is a guess from experience. The gains rest on other "
        "tasks more than the level does."
    )
    said = f'<p class="small muted">{escape(payload.message)}</p>' if payload.status == "ready" else ""
    return section("Where the information comes from", f'{said}<div class="share">{rows}</div>', lead=lead)


def coverage_section(payload: Payload) -> str:
    """Unlabelled cases unlike those labelled."""
    coverage = payload.coverage
    if not coverage or coverage.outside is None:
        return ""
    outside, pool = coverage.outside, coverage.pool
    if pool == 0:
        return ""
    of = "" if pool is None else f" of {count(pool, 'unlabelled case')} looked at"
    said = (
        f"<p>Shapes that the labelled cases do not explain: {outside or 'none'}{of}."
        f"{' The forecast says little about these.' if outside else ''}</p>"
    )
    if coverage.cases:
        rows = [[c.image, "–" if c.distance is None else tenths(c.distance)] for c in coverage.cases]
        said += numbers(
            table(["Case", "Distance, times the usual"], rows), "Which ones (label some of these next)"
        )
    return section("Cases that the labelled ones do not cover", said)


def doubts_section(payload: Payload, *, buttons: bool = False) -> str:
    """Doubts about labels; with buttons that settle them where a page can ask the server."""
    doubts = payload.doubts
    if not doubts:
        return ""
    lead = "These cases are left out of the curve until the label is corrected or confirmed."
    if not buttons:
        return section("Labels to look at", _listed(doubts), lead=lead)
    of_image: dict[str, list[str]] = {}
    for doubt in doubts:
        of_image.setdefault(doubt.image, []).append(doubt.sentence)
    items = "".join(_with_buttons(image, said) for image, said in of_image.items())
    aside = '<p class="small muted" id="aside" hidden><span></span> <button data-act="back">Show again</button></p>'
    return section("Labels to look at", f'<ul class="plain doubts">{items}</ul>{aside}', lead=lead)


def files_section(payload: Payload) -> str:
    """What is odd about files of the studies folder."""
    if not payload.files:
        return ""
    lead = (
        "These stand beside what is used, or cannot be used. They are settled where the files are, not here."
    )
    return section("Files to look at", _listed(payload.files), lead=lead)


def _listed(doubts: Sequence[Doubt]) -> str:
    items = "".join(f"<li><strong>{escape(p.image)}</strong>: {escape(p.sentence)}</li>" for p in doubts)
    return f'<ul class="plain">{items}</ul>'


def _with_buttons(image: str, said: Sequence[str]) -> str:
    name = escape(image)
    return (
        f'<li data-image="{name}"><strong>{name}</strong>: {escape(" ".join(said))}<br>'
        f'<button data-act="confirm" aria-label="The label of {name} is right">The label is right</button> '
        f'<button data-act="aside" aria-label="Set {name} aside">Set aside</button> '
        '<span role="status" aria-live="polite"></span></li>'
    )


def methods_section(payload: Payload) -> str:
    """The paragraph for a paper, once there is something to report."""
    if not payload.overall:
        return ""
    lead = (
        "For the methods section of a paper: the sample size and how it was determined (CLAIM 2024). "
        "Complete what stands in brackets."
    )
    text = f'<blockquote id="methods">{escape(methods_text(payload))}</blockquote>'
    return section(
        "Text for a paper", f'{text}<button data-copy="methods" hidden>Copy the text</button>', lead=lead
    )


def limits_section() -> str:
    """What the forecast does not say."""
    said = [
        "Nothing about other scanners, hospitals, protocols, diseases or age groups: it speaks of further cases drawn like those labelled.",
        "Nothing about whether a Dice is good enough for patients: that takes a clinical test on other data.",
        "Nothing about single cases: a mean of 85 points can hide a case with 40.",
        "Labels drawn with a prediction on screen agree with models more than they should; blind cases keep the estimate honest.",
        "The Dice is measured against these labels. Where readers differ, no number of cases makes a model more right than they are.",
    ]
    items = "".join(f"<li>{escape(text)}</li>" for text in said)
    return section("What this does not say", f'<ul class="plain">{items}</ul>')
