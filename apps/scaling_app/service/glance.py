"""What a person at a browser sees first: the advice, what the next cases bring, the change since the last label.

And what is under way. It says what the panel in Slicer says, in a page's words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from scaling_app.service.job_state import measuring
from scaling_app.service.page import duration, gain_points, points, spread
from scaling_app.service.payloads import ForecastRow, Job, Payload
from scaling_app.words import count


@dataclass(frozen=True)
class Training:
    """A training of the model that is under way.

    Attributes:
        done, total: steps; 0 before it has begun.
        seconds_left: None before there is anything to judge by.
    """

    done: int = 0
    total: int = 0
    seconds_left: float | None = None


def next_sentences(payload: Payload) -> list[str]:
    """What the next case brings, and the next five: `Next case: +0.5 points (80 %: +0.2 to +0.8) for 18 min of annotation.`"""
    rows = {row.extra: row for row in (payload.overall.forecast if payload.overall else ())}
    named = (("Next case", rows.get(1)), ("Next 5 cases", rows.get(5)))
    return [
        f"{name}: {_worth(row)}." for name, row in named if row and row.gain and row.gain.mean is not None
    ]


def _worth(row: ForecastRow) -> str:
    gain = row.gain
    assert gain is not None
    between = spread(gain.lo80, gain.hi80, gain_points)
    said = f"{gain_points(gain.mean)} points" + (f" (80 %: {between})" if between != "–" else "")
    return said if row.minutes is None else f"{said} for {duration(row.minutes)} of annotation"


def now_sentence(payload: Payload, history: Sequence[Mapping[str, Any]]) -> str:
    """How good it is now, and the change since there were fewer cases; empty before there is a forecast.

    Args:
        history: as `report_html` takes it; a curve of another recipe is another curve.
    """
    now = payload.overall.now if payload.overall else None
    if now is None or now.mean is None:
        return ""
    between = spread(now.lo80, now.hi80)
    said = f"Dice now: {points(now.mean)} points" + (f" (80 %: {between})" if between != "–" else "")
    before = _of_fewer_cases(payload, history)
    if before is None:
        return f"{said}."
    n, level = before
    more = payload.n_in_curve - n
    since = "the last label" if more == 1 else f"the last {more} labels"
    return f"{said}, {gain_points(now.mean - level)} since {since}."


def _of_fewer_cases(payload: Payload, history: Sequence[Mapping[str, Any]]) -> tuple[int, float] | None:
    for answer in reversed(history):
        n, level = int(answer["n_in_curve"]), ((answer.get("overall") or {}).get("now") or {}).get("mean")
        if n < payload.n_in_curve and answer.get("recipe") == payload.recipe and level is not None:
            return n, level
    return None


def work_sentences(job: Job, training: Training | None) -> list[str]:
    """What is under way on the server, with the time that it still takes."""
    said = []
    if training is not None:
        steps = f" ({training.done} of {training.total} steps)" if training.total else ""
        said.append(f"A new model is being trained{_left(training.seconds_left)}{steps}.")
    if job.state == "running":
        runs = f" ({job.done} of {count(job.total, 'training')} done)" if job.total else ""
        said.append(measuring(job.message, f"{_left(job.eta_seconds)}{runs}"))
    if said:
        said.append("You can go on labelling.")
    elif job.message:
        said.append(job.message)
    return said


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f": about {duration(max(1.0, seconds / 60))} left"


def glance(payload: Payload, history: Sequence[Mapping[str, Any]]) -> str:
    """Those sentences as a block, for the top of the live page."""
    lines = [*next_sentences(payload), now_sentence(payload, history)]
    return "".join(f"<p>{escape(line)}</p>" for line in lines if line)


def spoken(payload: Payload) -> str:
    """What a screen reader is told when it changes: the advice and the next case."""
    return " ".join([payload.advice.sentence, *next_sentences(payload)[:1]])
