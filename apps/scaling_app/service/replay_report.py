"""The report of a replay: curves per network and strategy, and their errors on logarithmic axes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from scaling_app import __version__
from scaling_app.forecast.lengths import flat_end_note, steps_in_words, trainings_of
from scaling_app.service import figures
from scaling_app.service.page import Page, legend, numbers, points, section, spread, table
from scaling_app.service.replay_table import Level, ReplayCurve
from scaling_app.words import counted

TITLE = "Learning curves of a replay"
COLOURS = 8


def replay_html(curves: Sequence[ReplayCurve]) -> str:
    """The page as text: a section per dataset."""
    page = Page(TITLE)
    page.add(f'<header class="top"><h1>{TITLE}</h1></header>')
    names = list(dict.fromkeys(curve.name for curve in curves))
    for k, dataset in enumerate(dict.fromkeys(curve.dataset for curve in curves)):
        chosen = [curve for curve in curves if curve.dataset == dataset]
        page.add(_dataset_section(page, k, dataset, chosen, names))
    page.add(
        f"<footer>Scaling App {escape(__version__)}. This page works offline and loads nothing.</footer>"
    )
    return page.html()


def _dataset_section(
    page: Page, number: int, dataset: str, curves: Sequence[ReplayCurve], names: Sequence[str]
) -> str:
    looks = {name: k % COLOURS for k, name in enumerate(names)}
    key = legend([(f"c{looks[curve.name]}", curve.name) for curve in curves])
    best = max(curves, key=lambda curve: curve.levels[-1].dice)
    alt = f"{dataset}: mean Dice against training cases; highest at the end: {best.name}."
    level = page.figure(f"dice-{number}", _level_figure(curves, looks), alt)
    error = page.figure(
        f"error-{number}", _error_figure(curves, looks), f"{dataset}: 1 - Dice on logarithmic axes."
    )
    pictures = (
        f'<div class="panels wide"><figure><figcaption><h3>Dice</h3></figcaption>{level}</figure>'
        f"<figure><figcaption><h3>Error, logarithmic</h3></figcaption>{error}</figure></div>"
    )
    return section(dataset, key + pictures + _tables(curves), lead=_lead(curves))


def _lead(curves: Sequence[ReplayCurve]) -> str:
    cases, structures = (
        counted([getattr(curve, name) for curve in curves], word)
        for name, word in (("cases", "test case"), ("structures", "structure"))
    )
    drawn = any(level.draws > 1 for curve in curves for level in curve.levels)
    ranges = (
        "lines are 80 % ranges over random draws of the training cases"
        if drawn
        else "one draw of the training cases, so without ranges"
    )
    return (
        f"Mean Dice over {cases} and {structures}, in points; {ranges}.{_lengths(curves)} On logarithmic axes a power law is a straight "
        "line, and a floor bends it."
    )


def _lengths(curves: Sequence[ReplayCurve]) -> str:
    """How long the trainings were, and of which curves that may be why they are flat."""
    steps = steps_in_words(made for curve in curves for made in curve.trained)
    cut, trainings = sum(curve.cut for curve in curves), sum(curve.trainings for curve in curves)
    said = [] if all(curve.flat for curve in curves) else [trainings_of(steps, cut, trainings)]
    flat: dict[tuple[str, int, int, bool], list[str]] = {}
    for curve in curves:
        if curve.flat:
            length = (steps_in_words(curve.trained), curve.cut, curve.trainings, curve.falls)
            flat.setdefault(length, []).append(curve.name)
    for (made, ended, of, falls), names in flat.items():
        said.append(f"{'; '.join(names)}: {flat_end_note(made, ended, of, falls=falls)}")
    return "".join(f" {sentence}" for sentence in said if sentence)


def _tables(curves: Sequence[ReplayCurve]) -> str:
    sizes = sorted({level.n for curve in curves for level in curve.levels})
    rows = []
    for curve in curves:
        dice = {level.n: points(level.dice) for level in curve.levels}
        exponent = "–" if curve.exponent is None else f"{curve.exponent:.2f}"
        rows.append([curve.name, *(dice.get(n, "–") for n in sizes), exponent])
    headings = ["Network, strategy", *(f"n = {n}" for n in sizes), "Power-law exponent"]
    fine = [
        [curve.name, str(level.n), points(level.dice), spread(level.lo80, level.hi80), str(level.draws)]
        for curve in curves
        for level in curve.levels
    ]
    details = table(["Network, strategy", "n", "Dice", "80 % range", "Draws"], fine)
    return table(headings, rows, caption="Mean Dice in points", fold=True) + numbers(details, "With ranges")


def _level_figure(curves: Sequence[ReplayCurve], looks: dict[str, int]) -> dict[str, Any]:
    return {
        "data": [_trace(curve, looks[curve.name], error=False) for curve in curves],
        "layout": {
            **figures.layout(),
            "xaxis": _size_axis(curves),
            "yaxis": figures.axis("Dice (points)"),
        },
    }


def _error_figure(curves: Sequence[ReplayCurve], looks: dict[str, int]) -> dict[str, Any]:
    ticks = [1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100]
    marks = {"type": "log", "tickvals": ticks, "ticktext": [str(tick) for tick in ticks]}
    return {
        "data": [_trace(curve, looks[curve.name], error=True) for curve in curves],
        "layout": {
            **figures.layout(),
            "xaxis": _size_axis(curves),
            "yaxis": {**figures.axis("1 - Dice (points)"), **marks},
        },
    }


def _size_axis(curves: Sequence[ReplayCurve]) -> dict[str, Any]:
    sizes = sorted({level.n for curve in curves for level in curve.levels})
    shown = [n for k, n in enumerate(sizes) if k == 0 or n >= 1.3 * sizes[k - 1]]
    ticks = {"tickvals": shown, "ticktext": [str(n) for n in shown]}
    return {**figures.axis("training cases"), "type": "log", **ticks}


def _trace(curve: ReplayCurve, look: int, *, error: bool) -> dict[str, Any]:
    levels = [level for level in curve.levels if not error or level.dice < 1]
    drawn = [_drawn(level, error) for level in levels]
    name = escape(curve.name)
    colour = f"@c{look}"
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [level.n for level in levels],
        "y": [value for value, _, _ in drawn],
        "line": {"color": colour, "width": 2},
        "marker": {"color": colour, "size": 8, "symbol": _SYMBOLS[look]},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [up for _, up, _ in drawn],
            "arrayminus": [down for _, _, down in drawn],
            "color": colour,
            "thickness": 1.2,
            "width": 3,
        },
        "hovertemplate": f"{name}, n = %{{x}}: %{{y:.1f}}<extra></extra>",
    }


_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "triangle-down", "cross")


def _drawn(level: Level, error: bool) -> tuple[float, float, float]:
    """The value, and how far its range goes up and down, in points."""
    up = 0.0 if level.hi80 is None else 100 * (level.hi80 - level.dice)
    down = 0.0 if level.lo80 is None else 100 * (level.dice - level.lo80)
    if not error:
        return round(100 * level.dice, 2), up, down
    value = 100 * (1 - level.dice)
    return round(value, 3), down, min(up, 0.9 * value)
