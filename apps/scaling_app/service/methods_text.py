"""A paragraph for a paper's methods section: the sample size and how it was determined.

In the sense of CLAIM, the checklist for artificial intelligence in medical imaging (Tejani et al.,
Radiology: Artificial Intelligence 2024, doi:10.1148/ryai.240300): the intended sample size and how it was
determined belong into a report, with what the estimate rests on.
"""

from __future__ import annotations

from scaling_app import __version__
from scaling_app.forecast.answer import SEARCHED_TIMES
from scaling_app.forecast.prior import CurvePrior, shipped_prior
from scaling_app.forecast.stopping import percent
from scaling_app.service.page import duration, gain_points, points, spread
from scaling_app.service.payloads import CasesNeeded, Curve, Interval, Payload
from scaling_app.words import count, in_words

_SOURCES = {
    "prequential": "models tested on newly labelled cases before training on them",
    "fold": "cross-validation",
    "nested": "training on nested subsets",
    "arm": "trainings with other augmentation strategies",
}


_COMPONENTS = {
    "bank": "{curves} of {sets} for biomedical image segmentation",
    "lcdb": "{curves} of {sets} for tabular classification (LCDB 1.1, Yan et al., NeurIPS 2025)",
    "weak": "a weakly informative family of curves",
    "plateau": "curves that rise no more",
}


def methods_text(payload: Payload) -> str:
    """The paragraph, in plain text; authors complete what stands in brackets."""
    sentences = [_how(payload), prior_sentence(shipped_prior())]
    overall = payload.overall
    if overall and overall.now:
        sentences += [
            _level(payload, overall, overall.now),
            *_gain(payload),
            *_target(payload),
            *_readers(payload),
        ]
    else:
        sentences.append("There were too few measurements for an estimate when this was written.")
    sentences += [
        f"The tool's recommendation at this size was: “{payload.advice.sentence}”",
        "The intervals concern further cases from the same source; other scanners, hospitals and diseases were "
        "not assessed [state the source of the cases, the inclusion criteria and who annotated them].",
        f"Software: Scaling App {payload.version or __version__} on MONAI Label.",
    ]
    return " ".join(sentences)


def prior_sentence(prior: CurvePrior) -> str:
    """What the prior is made of: the share of each component, and the curves and data sets behind it."""
    parts = []
    for component, weight in zip(prior.components, prior.weights, strict=True):
        curves = count(len(component.templates), "learning curve")
        what = _COMPONENTS[component.name].format(curves=curves, sets=count(component.n_tasks, "data set"))
        parts.append(f"{what} ({100 * weight:.0f} %)")
    mixture = f"Its prior is a mixture of {in_words(parts)}" if len(parts) > 1 else f"Its prior is {parts[0]}"
    learned = any(component.n_tasks for component in prior.components)
    return (
        f"{mixture} [say so if the present cases are from one of these data sets]."
        if learned
        else f"{mixture}."
    )


def _how(payload: Payload) -> str:
    n, excluded = payload.n_in_curve, payload.n_labelled - payload.n_in_curve
    left_out = (
        f"; {count(excluded, 'further labelled case')} with open quality doubts left out"
        if excluded > 0
        else ""
    )
    pool = payload.n_pool
    of_pool = f", {count(pool, 'unlabelled case')} remaining" if pool is not None else ""
    kinds = {point.kind for point in payload.observed}
    sources = [text for kind, text in _SOURCES.items() if kind in kinds]
    rests = f" from {in_words(sources)}" if sources else ""
    return (
        f"Sample size: cases were labelled one after another, and the number of training cases (n = {n}{of_pool}"
        f"{left_out}) was judged by a learning curve of the Dice coefficient against the number of labelled "
        f"training cases, estimated{rests} with a hierarchical Bayesian model."
    )


def _level(payload: Payload, overall: Curve, now: Interval) -> str:
    names, share = [curve.name for curve in payload.structures], overall.prior_share
    over = f" over {len(names)} structures ({in_words(names)})" if len(names) > 1 else f" ({in_words(names)})"
    prior = f"; the prior's share of this information was {percent(share)}" if share is not None else ""
    return (
        f"At n = {payload.n_in_curve} the expected Dice{over} on further cases was {points(now.mean)} points "
        f"(80 % interval {spread(now.lo80, now.hi80)}; 95 % interval {spread(now.lo95, now.hi95)}{prior})."
    )


def _gain(payload: Payload) -> list[str]:
    rows = payload.overall.forecast if payload.overall else []
    ahead = next((row for row in rows if row.extra >= 5), None)
    if ahead is None or not ahead.gain:
        return []
    gain, minutes = ahead.gain, ahead.minutes
    cost = f" at about {duration(minutes)} of annotation" if minutes is not None else ""
    return [
        f"A further {ahead.extra} cases were expected to change it by {gain_points(gain.mean)} points (80 % "
        f"interval {spread(gain.lo80, gain.hi80, gain_points)}; probability of at least 1 point: "
        f"{percent(gain.p_at_least_1pt)}){cost}."
    ]


def _target(payload: Payload) -> list[str]:
    target = payload.target
    if not target or target.p_reached is None:
        return []
    needed = target.cases or CasesNeeded()
    more = ""
    if needed.median:
        more = f", and the median number of further cases to reach it {needed.median:.0f}"
    elif needed.median is None:
        more = f", and more likely than not it lies beyond {SEARCHED_TIMES} times the cases"
    return [
        f"The target was a Dice of {points(target.dice)} points [state the reason for it]; the probability that "
        f"it was reached was {percent(target.p_reached)}{more}."
    ]


def _readers(payload: Payload) -> list[str]:
    agreement = payload.agreement
    agreed = agreement.overall if agreement else None
    if agreement is None or agreed is None or agreed.dice is None:
        return []
    dice, nsd = agreed.dice, agreed.nsd
    surface = (
        f"; surface Dice at {agreement.nsd_tolerance_mm:g} mm {points(nsd.mean)} (95 % interval {spread(nsd.lo95, nsd.hi95)})"
        if nsd
        else ""
    )
    return [
        f"Two readers who drew {count(agreed.n_cases, 'case')} independently ({agreement.n_readers} readers in all) agreed to "
        f"a Dice of {points(dice.mean)} points (95 % interval over cases {spread(dice.lo95, dice.hi95)}{surface})."
    ]
