"""The report's sections around a picture, with the numbers beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from scaling_app.forecast.arms import LONGER_TIMES, trained_longer
from scaling_app.forecast.scores import OVERALL
from scaling_app.service import figures
from scaling_app.service.outcomes import Outcome
from scaling_app.service.page import Page, gain_points, legend, numbers, points, section, spread, table
from scaling_app.service.payloads import (
    Curve,
    Difference,
    Interval,
    MeasuredPoint,
    Payload,
    Range,
    StrategyEffect,
)
from scaling_app.service.sections import level


def curve_section(page: Page, payload: Payload) -> str:
    """The curve with what it rests on."""
    overall, target = payload.overall, _target_dice(payload)
    observed = [p for p in _points_of(payload, OVERALL) if p.dice is not None]
    if not overall and not observed:
        return ""
    figure = figures.curve_figure(overall, observed, n_now=payload.n_in_curve, target=target)
    now = overall.now if overall else None
    alt = "Learning curve: Dice against the number of labelled training cases."
    if now is not None and now.mean is not None:
        alt += f" {points(now.mean)} points at {payload.n_in_curve} cases, rising from left to right."
    key = legend(_curve_legend(overall, observed, target))
    what = [
        [_kind(p), str(p.n), points(p.dice), spread(p.lo80, p.hi80), str(p.n_cases or "–")]
        for p in _ordered(observed)
    ]
    headings = ["Measured by", "Training cases", "Dice, points", "80 % range", "Test cases"]
    content = numbers(table(headings, what), "The measured points")
    if overall and overall.curve:
        fine = [[str(p.n), *level(p), spread(p.lo95, p.hi95)] for p in overall.curve]
        content += numbers(
            table(["Cases", "Dice, points", "80 % range", "95 % range"], fine), "The curve in numbers"
        )
    lead = (
        "Each mark is models of one size tested on cases that they were not trained on; its line is the 80 % range "
        "over those cases, which a single case does not have."
    )
    body = f"<figure>{key}{page.figure('curve', figure, alt)}</figure>{content}"
    return section("The learning curve", body, lead=lead)


def _curve_legend(
    overall: Curve | None, observed: Sequence[MeasuredPoint], target: float | None
) -> list[tuple[str, str]]:
    kinds = {p.kind for p in observed}
    entries = [(kind, what) for kind, (what, _) in figures.KINDS.items() if kind in kinds]
    if overall and overall.curve:
        entries += [("curve", "curve"), ("forecast", "forecast"), ("band80", "80 %"), ("band95", "95 %")]
    return entries if target is None else [*entries, ("target", "target")]


def gain_section(page: Page, payload: Payload) -> str:
    """Bars of the gain."""
    forecast = payload.overall.forecast if payload.overall else []
    rows = [row for row in forecast if row.gain is not None and row.gain.mean is not None]
    if not rows:
        return ""
    said = ", ".join(f"{gain_points(row.gain.mean)} for {row.extra} more" for row in rows if row.gain)
    chart = page.figure(
        "gain", figures.gain_figure(rows), f"Expected gain in Dice points: {said}.", look="low"
    )
    lead = "Expected gain in mean Dice from further cases of this kind, with its 80 % range."
    return section(
        "What more cases bring", f"<figure>{legend([('target', '1 point')])}{chart}</figure>", lead=lead
    )


def structures_section(page: Page, payload: Payload) -> str:
    """A small panel per structure."""
    curves = payload.structures
    if len(curves) < 2:
        return ""
    target, n_now = _target_dice(payload), payload.n_in_curve
    limits = _limits(payload)
    panels, rows = [], []
    for k, curve in enumerate(curves):
        now, name = curve.now or Interval(), curve.name
        observed = _points_of(payload, name)
        figure = figures.curve_figure(curve, observed, n_now=n_now, target=target, panel=True, y_range=limits)
        alt = f"Learning curve of {name}: {points(now.mean)} points now."
        chart = page.figure(f"structure-{k}", figure, alt, look="panel")
        reads = (
            f'<p class="muted small">{points(now.mean)} points now, 80 %: {spread(now.lo80, now.hi80)}</p>'
        )
        panels.append(f"<figure><figcaption><h3>{escape(name)}</h3>{reads}</figcaption>{chart}</figure>")
        rows.append([name, *level(now), *_gains(curve)])
    horizons = [f"+{row.extra}" for row in curves[0].forecast]
    headings = [
        "Structure",
        "Dice now, points",
        "80 % range",
        *(f"Gain {h}, points (80 % range)" for h in horizons),
    ]
    body = f'<div class="panels">{"".join(panels)}</div>{numbers(table(headings, rows))}'
    lead = "Same scale in every panel: Dice in points against labelled training cases; dashed is forecast."
    return section("Structure by structure", body, lead=lead)


def _gains(curve: Curve) -> list[str]:
    """Each gain with its 80 % range."""
    gains = [_difference(row.gain or Range()) for row in curve.forecast]
    return [mean if between == "–" else f"{mean} ({between})" for mean, between in gains]


def _limits(payload: Payload) -> tuple[float, float]:
    """A range of Dice points that fits every structure's curve and points."""
    names = {curve.name for curve in payload.structures}
    low = [p.dice for p in payload.observed if p.structure in names and p.dice is not None]
    high = list(low)
    for curve in payload.structures:
        low += [p.lo80 for p in curve.curve if p.lo80 is not None]
        high += [p.hi95 for p in curve.curve if p.hi95 is not None]
    return max(0.0, 100 * min(low, default=0.0) - 3), min(102.0, 100 * max(high, default=1.0) + 2)


def strategies_section(page: Page, payload: Payload) -> str:
    """What each augmentation strategy makes of a labelled case."""
    strategies = payload.strategies
    if not strategies:
        return ""
    rows = []
    surface_known = any(s.nsd_difference and s.nsd_difference.mean is not None for s in strategies)
    for strategy in strategies:
        kappa, difference = strategy.kappa or Range(), strategy.dice_difference or Difference()
        row = [
            _called(strategy),
            _times(kappa.mean),
            spread(kappa.lo80, kappa.hi80, _times),
            *_difference(difference),
        ]
        if surface_known:
            row += _difference(strategy.nsd_difference or Range())
        rows.append([*row, str(difference.n_cases or "–")])
    headings = [
        "Strategy",
        "Worth in cases",
        "80 % range",
        "Dice difference, points",
        "80 % range of the difference",
    ]
    if surface_known:
        headings += ["Surface Dice difference, points", "80 % range of that"]
    headings.append("Test cases")
    lead = (
        "How many cases one labelled case is worth when the model is trained with that strategy instead of the session's "
        "own (kappa), measured on the same training cases, seeds and test cases."
    )
    if any(trained_longer(strategy.name) for strategy in strategies):
        lead += f" Longer training is that with {LONGER_TIMES} times the steps."
    lead += "".join(f" {_called(s)}: {s.what}" for s in strategies if s.what)
    body = _kappa_picture(page, strategies) + table(headings, rows, fold=True)
    return section("What strategies make of a label", body, lead=lead)


def _called(strategy: StrategyEffect) -> str:
    return strategy.title or strategy.name


def _difference(found: Range) -> list[str]:
    """Mean and 80 % range of a difference in points."""
    return [gain_points(found.mean), spread(found.lo80, found.hi80, gain_points)]


def _kappa_picture(page: Page, strategies: Sequence[StrategyEffect]) -> str:
    """The strategies whose kappa is known; nothing when there is none."""
    known = [s for s in strategies if s.kappa and s.kappa.mean is not None]
    if not known:
        return ""
    said = "; ".join(f"{_called(s)} {_times(s.kappa.mean)}" for s in known if s.kappa)
    alt = f"Kappa per strategy: {said}."
    return f"<figure>{page.figure('kappa', figures.kappa_figure(known), alt, height=70 + 44 * len(known))}</figure>"


def _times(kappa: float | None) -> str:
    return "–" if kappa is None else f"{kappa:.2f}"


def reliability_section(page: Page, outcomes: Sequence[Outcome]) -> str:
    """Were earlier forecasts right?"""
    if not outcomes:
        return ""
    held = sum(o.held for o in outcomes)
    chart = page.figure(
        "reliability",
        figures.reliability_figure(outcomes),
        f"Earlier forecasts against what came: {held} of {len(outcomes)} ranges held it.",
        look="square",
    )
    key = legend(
        [("held", "range held it"), ("failed", "outside the range"), ("diagonal", "forecast = what came")]
    )
    rows = [
        [
            str(o.made_at),
            str(o.n),
            points(o.mean),
            spread(o.lo80, o.hi80),
            points(o.came),
            "yes" if o.held else "no",
        ]
        for o in outcomes
    ]
    headings = ["Made at", "For", "Forecast", "80 % range", "Came", "Held"]
    lead = (
        f"Earlier forecasts for sizes reached since: {len(outcomes)}; ranges that held what came: {held} (80 % are meant to). "
        "“What came” is the level estimated at that size, itself uncertain; forecasts of one session are not independent."
    )
    body = f"<figure>{key}{chart}</figure>{numbers(table(headings, rows))}"
    return section("Were earlier forecasts right?", body, lead=lead)


def _points_of(payload: Payload, structure: str) -> list[MeasuredPoint]:
    return [p for p in payload.observed if p.structure == structure]


def _ordered(observed: Sequence[MeasuredPoint]) -> list[MeasuredPoint]:
    return sorted(observed, key=lambda p: (p.kind, p.n))


def _target_dice(payload: Payload) -> float | None:
    return payload.target.dice if payload.target else None


def _kind(point: MeasuredPoint) -> str:
    kind = point.kind
    what = figures.KINDS[kind][0] if kind in figures.KINDS else kind
    return f"{what}: {point.strategy}" if point.strategy else what
