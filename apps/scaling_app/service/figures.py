"""The pictures of the report, as Plotly figures in plain JSON.

Colours are names (`@accent`), which the page's script looks up in its style sheet: one figure serves light,
dark and paper. Dice goes in as [0, 1] and is drawn in points.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Literal, NamedTuple

from scaling_app.service.outcomes import Outcome
from scaling_app.service.page import gain_points
from scaling_app.service.payloads import Curve, ForecastRow, MeasuredPoint, Range, StrategyEffect
from scaling_app.words import tenths

Json = dict[str, Any]

KINDS: dict[str, tuple[str, str]] = {
    "prequential": ("new cases, before training on them", "circle"),
    "fold": ("cross-validation", "square"),
    "nested": ("smaller training sets", "diamond"),
    "arm": ("another strategy", "triangle-up"),
    "replay": ("replay", "circle"),
}
"""Kind of observation -> what it is, and its marker."""

Ends = tuple[float | None, float | None]


class Drawn(NamedTuple):
    """A point of the forecast's curve that is known."""

    n: int
    mean: float
    range80: Ends
    range95: Ends


def curve_figure(
    curve: Curve | None,
    observed: Sequence[MeasuredPoint],
    *,
    n_now: int,
    target: float | None,
    panel: bool = False,
    y_range: tuple[float, float] | None = None,
) -> Json:
    """Observed points by kind, the curve with its 80 % and 95 % bands, the target.

    Args:
        curve: of the payload, or None for points alone.
        observed: the measured points.
        n_now: cases in the curve now; what lies beyond is forecast.
        target: Dice aimed at.
        panel: a small picture, without axis titles.
        y_range: in points; None fits the data.
    """
    points = _drawn(curve)
    data = [_band(points, "95"), _band(points, "80")] if points else []
    if points:
        past = [p for p in points if p.n <= n_now]
        future = [p for p in points if p.n >= n_now]
        data += [_line(past, "solid"), _line(future, "dash")]
    # other strategies go below, faint: they are not what the curve is drawn through
    beneath_first = sorted(KINDS, key=lambda kind: kind != "arm")
    data += [trace for kind in beneath_first if (trace := _measured(kind, observed, panel))]
    sizes = [p.n for p in points] + [p.n for p in observed]
    furthest = max(sizes, default=1) * 1.02 + 0.5
    shapes, notes = _now_and_target(n_now, furthest, target, panel, _nearer_at_left(points, target))
    y_axis = axis(None if panel else "Dice (points)")
    if y_range is not None:
        y_axis["range"] = list(y_range)
    return {
        "data": data,
        "layout": {
            **layout(panel=panel),
            "xaxis": {**axis(None if panel else "labelled training cases"), "range": [0, furthest]},
            "yaxis": y_axis,
            "shapes": shapes,
            "annotations": notes,
        },
    }


def gain_figure(rows: Sequence[ForecastRow]) -> Json:
    """Bars of the expected gain per number of further cases, with 80 % ranges."""
    gains = [row.gain for row in rows if row.gain is not None]
    labels = [f"+{row.extra}" for row in rows if row.gain is not None]
    mean = [_in_points(gain.mean or 0.0) for gain in gains]
    return {
        "data": [
            {
                "type": "bar",
                "x": labels,
                "y": mean,
                "marker": {"color": "@accent"},
                "opacity": 0.85,
                "width": 0.55,
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": _differences(gains, "hi80", "mean"),
                    "arrayminus": _differences(gains, "mean", "lo80"),
                    "color": "@ink",
                    "thickness": 1.6,
                    "width": 7,
                },
                "customdata": [gain_points(gain.mean) for gain in gains],
                "hovertemplate": "%{x} cases: %{customdata} points<extra></extra>",
            }
        ],
        "layout": {
            **layout(),
            "xaxis": {**axis("further cases"), "type": "category", "showgrid": False},
            "yaxis": {**axis("gain (Dice points)"), "zeroline": True, "zerolinecolor": "@muted"},
            "shapes": [_across(1.0, "@target")],
        },
    }


def kappa_figure(strategies: Sequence[StrategyEffect]) -> Json:
    """What each strategy makes of a labelled case: dots with 80 % ranges, 1 = no difference."""
    shown = [(s, s.kappa) for s in strategies if s.kappa and s.kappa.mean is not None][::-1]
    kappas = [kappa for _, kappa in shown]
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "markers",
                "x": [kappa.mean for kappa in kappas],
                "y": [escape(_short(s.title or s.name)) for s, _ in shown],
                "marker": {"color": "@accent", "size": 11},
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": _differences(kappas, "hi80", "mean", 1.0),
                    "arrayminus": _differences(kappas, "mean", "lo80", 1.0),
                    "color": "@accent",
                    "thickness": 2,
                    "width": 6,
                },
                "hovertemplate": "%{y}: one case counts as %{x:.2f}<extra></extra>",
            }
        ],
        "layout": {
            **layout(),
            "xaxis": {**axis("worth in cases (80 %)"), "rangemode": "tozero"},
            "yaxis": {**axis(None), "type": "category", "range": [-0.6, len(shown) - 0.4]},
            "shapes": [
                {
                    "type": "line",
                    "yref": "paper",
                    "x0": 1,
                    "x1": 1,
                    "y0": 0,
                    "y1": 1,
                    "line": {"color": "@muted", "dash": "dot", "width": 1.5},
                }
            ],
        },
    }


def reliability_figure(outcomes: Sequence[Outcome]) -> Json:
    """Forecasts against what came: on the diagonal, the forecast was exact."""
    ends = [100 * end for o in outcomes for end in (o.lo80, o.hi80, o.came)]
    low, high = min(ends) - 1, max(ends) + 1
    data: list[Json] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [low, high],
            "y": [low, high],
            "line": {"color": "@muted", "dash": "dot", "width": 1.5},
            "hoverinfo": "skip",
        }
    ]
    for held, colour, symbol in ((True, "@nested", "circle"), (False, "@target", "x")):
        chosen = [o for o in outcomes if o.held is held]
        if chosen:
            data.append(_outcome_trace(chosen, colour, symbol))
    return {
        "data": data,
        "layout": {
            **layout(),
            "xaxis": {**axis("forecast Dice (points), 80 % range"), "range": [low, high]},
            "yaxis": {**axis("what came (points)"), "range": [low, high]},
        },
    }


def _outcome_trace(chosen: Sequence[Outcome], colour: str, symbol: str) -> Json:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [_in_points(o.mean) for o in chosen],
        "y": [_in_points(o.came) for o in chosen],
        "marker": {"color": colour, "size": 9, "symbol": symbol},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": _differences(chosen, "hi80", "mean"),
            "arrayminus": _differences(chosen, "mean", "lo80"),
            "color": colour,
            "thickness": 1.3,
            "width": 4,
        },
        "text": [f"made at {o.made_at} cases for {o.n}" for o in chosen],
        "hovertemplate": "%{text}: forecast %{x:.1f}, came %{y:.1f}<extra></extra>",
    }


def _short(name: str, length: int = 18) -> str:
    """A name that leaves room for the picture."""
    return name if len(name) <= length else name[: length - 1] + "…"


def _nearer_at_left(points: Sequence[Drawn], target: float | None) -> bool:
    """Whether the curve comes closer to the target at its left end, so that a note belongs at the right."""
    if target is None or not points:
        return False
    first, last = points[0].mean, points[-1].mean
    return abs(first - target) < abs(last - target)


def _drawn(curve: Curve | None) -> list[Drawn]:
    """The points that a curve is drawn through."""
    points = curve.curve if curve else []
    return [Drawn(p.n, p.mean, (p.lo80, p.hi80), (p.lo95, p.hi95)) for p in points if p.mean is not None]


def _band(points: Sequence[Drawn], width: Literal["80", "95"]) -> Json:
    ends = [(p.n, *(p.range80 if width == "80" else p.range95)) for p in points]
    inside = [(n, low, high) for n, low, high in ends if low is not None and high is not None]
    upper = [(n, _in_points(high)) for n, _, high in inside]
    lower = [(n, _in_points(low)) for n, low, _ in reversed(inside)]
    outline = upper + lower
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [n for n, _ in outline],
        "y": [value for _, value in outline],
        "fill": "toself",
        "fillcolor": f"@band{width}",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _line(points: Sequence[Drawn], dash: str) -> Json:
    texts = [f"{p.n} cases: {tenths(_in_points(p.mean))}" + _range_text(*p.range80) for p in points]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [p.n for p in points],
        "y": [_in_points(p.mean) for p in points],
        "line": {"color": "@accent", "width": 2.6, "dash": dash, "shape": "spline", "smoothing": 0.6},
        "text": texts,
        "hovertemplate": "%{text}<extra></extra>",
    }


def _measured(kind: str, observed: Sequence[MeasuredPoint], panel: bool) -> Json | None:
    chosen = [(p, p.dice) for p in observed if p.kind == kind and p.dice is not None]
    if not chosen:
        return None
    what, symbol = KINDS[kind]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": what,
        "opacity": 0.7 if kind == "arm" else 1.0,
        "x": [p.n for p, _ in chosen],
        "y": [_in_points(dice) for _, dice in chosen],
        "marker": {
            "color": f"@{kind}",
            "symbol": symbol,
            "size": 6 if panel else 9,
            "line": {"color": "@surface", "width": 1},
        },
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [100 * ((dice if p.hi80 is None else p.hi80) - dice) for p, dice in chosen],
            "arrayminus": [100 * (dice - (dice if p.lo80 is None else p.lo80)) for p, dice in chosen],
            "color": f"@{kind}",
            "thickness": 1.2,
            "width": 0 if panel else 3,
        },
        "text": [f"{what}{_of_point(p)}" for p, _ in chosen],
        "hovertemplate": "%{x} cases: %{y:.1f} (%{text})<extra></extra>",
    }


def _of_point(point: MeasuredPoint) -> str:
    """The strategy's name, where it is another, and the number of test cases."""
    strategy, tested = point.strategy, point.n_cases
    name = f", {escape(_short(strategy))}" if strategy else ""
    return name if tested is None else f"{name}, tested on {tested}"


def _now_and_target(
    n_now: int, furthest: float, target: float | None, panel: bool, at_right: bool
) -> tuple[list[Json], list[Json]]:
    shapes: list[Json] = []
    notes: list[Json] = []
    if 0 < n_now < furthest:
        future = {"type": "rect", "yref": "paper", "x0": n_now, "x1": furthest, "y0": 0, "y1": 1}
        shapes.append({**future, "fillcolor": "@future", "line": {"width": 0}, "layer": "below"})
        edge = {"type": "line", "yref": "paper", "x0": n_now, "x1": n_now, "y0": 0, "y1": 1}
        shapes.append({**edge, "line": {"color": "@muted", "width": 1, "dash": "dot"}})
        if not panel:
            notes.append(
                {
                    "x": n_now,
                    "yref": "paper",
                    "y": 1,
                    "yanchor": "bottom",
                    "text": f"now: {n_now}",
                    "showarrow": False,
                    "font": {"color": "@muted", "size": 12},
                }
            )
    if target is not None:
        shapes.append(_across(100 * target, "@target"))
        if not panel:
            notes.append(_line_note(f"target {100 * target:.0f}", 100 * target, "@target", right=at_right))
    return shapes, notes


def _across(y: float, colour: str) -> Json:
    line = {"color": colour, "width": 1.6, "dash": "dash"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line}


def _line_note(text: str, y: float, colour: str, *, right: bool) -> Json:
    side = {"x": 1, "xanchor": "right"} if right else {"x": 0, "xanchor": "left"}
    place = {"xref": "paper", **side, "y": y, "yanchor": "bottom"}
    return {**place, "text": text, "showarrow": False, "font": {"color": colour, "size": 12}}


def axis(title: str | None) -> Json:
    """An axis that looks like the others and makes room for its labels."""
    look: Json = {
        "gridcolor": "@grid",
        "linecolor": "@line",
        "zeroline": False,
        "tickfont": {"color": "@muted"},
        "automargin": True,
        "fixedrange": True,
    }
    if title:
        look["title"] = {"text": title, "font": {"color": "@muted", "size": 13}, "standoff": 10}
    return look


def layout(*, panel: bool = False) -> Json:
    """What every picture shares: no frame, no tools, colours of the page."""
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, Arial, sans-serif", "color": "@ink"},
        "margin": {
            "l": 34 if panel else 46,
            "r": 6 if panel else 12,
            "t": 8 if panel else 22,
            "b": 28 if panel else 40,
        },
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "@surface", "bordercolor": "@line", "font": {"color": "@ink"}},
        "dragmode": False,
    }


def _in_points(dice: float) -> float:
    return round(100 * dice, 2)


def _range_text(low: float | None, high: float | None) -> str:
    return (
        ""
        if low is None or high is None
        else f" (80 %: {tenths(_in_points(low))} to {tenths(_in_points(high))})"
    )


def _differences(rows: Sequence[Range | Outcome], high: str, low: str, scale: float = 100.0) -> list[float]:
    """`scale * (high - low)` per row, 0 where an end is not known."""
    ends = [(getattr(row, high), getattr(row, low)) for row in rows]
    return [0.0 if None in pair else round(scale * max(0.0, pair[0] - pair[1]), 4) for pair in ends]
