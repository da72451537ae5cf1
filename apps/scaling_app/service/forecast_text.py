"""The answer of `scaling-app forecast`: as JSON, and as text for a terminal of any width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scaling_app.forecast.answer import SEARCHED_TIMES
from scaling_app.forecast.lengths import flat_end_note, steps_in_words, trainings_of
from scaling_app.forecast.scores import OVERALL, Score
from scaling_app.forecast.stopping import percent
from scaling_app.service.page import points, spread
from scaling_app.service.table_lengths import counts_cut
from scaling_app.words import count, signed_tenths

_TABLE_WIDTH = 80
"""Characters from which the rows stand in a table; below, each is a few lines of its own."""


def answer_of(
    payload: Mapping[str, Any], *, method: str, n_now: int, own: Sequence[Score] = ()
) -> dict[str, Any]:
    """The JSON of the command, from the JSON of the service.

    Args:
        payload: of `Answer.payload`.
        method: how it was made.
        own: the curve's own scores, for what its trainings were.
        n_now: number of cases of the largest training set in the curve.
    """
    points = []
    for curve in [{"name": OVERALL, **(payload["overall"] or {})}, *payload["structures"]]:
        for row in curve.get("forecast", []):
            gain = {f"gain_{key}": row["gain"][key] for key in ("mean", "lo80", "hi80")}
            levels = {key: row[key] for key in ("n", "mean", "lo80", "hi80", "lo95", "hi95")}
            points.append({"structure": curve["name"], **levels, **gain})
    head = {key: payload[key] for key in ("status", "message")}
    steps = steps_in_words(o.steps for o in own)
    note = (flat_end_note if payload["low_gain"] else trainings_of)(steps, *counts_cut(own))
    return {"method": method, "n_now": n_now, **head, "points": points} | {
        "target": payload["target"],
        "advice": payload["advice"],
        "trainings": note,
    }


def print_answer(answer: Mapping[str, Any], console: Console | None = None) -> None:
    """Prints what `answer_of` made, Dice in points: the rows, what they rest on, the target, the advice."""
    console = console or Console()
    rows = _rows(answer["points"])
    if rows:
        title = f"Forecast by {answer['method']} from {answer['n_now']} labelled cases (Dice points)"
        if console.width >= _TABLE_WIDTH:
            console.print(_table(title, rows))
        else:
            console.print(title)
            for row in rows:
                console.print(Text(_block(row)))
    advice = (answer["advice"] or {}).get("sentence")
    target = target_sentence(answer["target"])
    sentences = [answer["message"], target, advice, answer["trainings"]]
    for sentence in dict.fromkeys(sentences):
        if sentence:
            console.print(Text(sentence))


def target_sentence(target: Mapping[str, Any] | None) -> str:
    """How many more cases a target takes, in words; empty where there is none or nothing is known."""
    if not target or target.get("p_reached") is None:
        return ""
    aim, needed = f"Dice {points(target['dice'])}", target.get("cases") or {}
    chance = f"reached now with a chance of {percent(target['p_reached'])}"
    if needed.get("median") == 0:
        return f"Target {aim}: {chance}."
    never = f"never, as far as can be seen, with a chance of {percent(target['p_unreachable'])}"
    if needed.get("median") is None:
        beyond = f"more likely than not beyond {SEARCHED_TIMES} times the cases at hand"
        return f"Target {aim}: {beyond}; {chance}; {never}."
    upper = "or more" if needed.get("hi80") is None else f"to {needed['hi80']:.0f}"
    more = f"{count(round(needed['median']), 'more case')} (80 % range {needed.get('lo80') or 0:.0f} {upper})"
    return f"Target {aim}: {more}; {chance}; {never}."


def _rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Without the mean over structures where there is one structure, whose rows are the same."""
    if len({row["structure"] for row in rows}) > 2:
        return list(rows)
    return [row for row in rows if row["structure"] != OVERALL]


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD)
    for heading in ("structure", "cases", "Dice", "80 % range", "95 % range", "gain", "80 % range"):
        table.add_column(heading, justify="left" if heading == "structure" else "right")
    for row in rows:
        table.add_row(
            Text(row["structure"]),
            str(row["n"]),
            points(row["mean"]),
            spread(row["lo80"], row["hi80"]),
            spread(row["lo95"], row["hi95"]),
            _gain(row["gain_mean"]),
            spread(row["gain_lo80"], row["gain_hi80"], _gain),
        )
    return table


def _block(row: Mapping[str, Any]) -> str:
    wide = f"80 %: {spread(row['lo80'], row['hi80'])}, 95 %: {spread(row['lo95'], row['hi95'])}"
    gain = f"{_gain(row['gain_mean'])} (80 %: {spread(row['gain_lo80'], row['gain_hi80'], _gain)})"
    return f"{row['structure']}, {row['n']} cases\n  Dice {points(row['mean'])} ({wide})\n  gain {gain}"


def _gain(dice: float) -> str:
    """With a minus that every terminal has."""
    return signed_tenths(100 * dice)
