"""No figure for people reads `-0.0`: what may be a small loss is written by `words`, and by nothing else.

The syntax trees are walked: a new figure is found on the day it comes.
"""

from __future__ import annotations

import ast
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from scaling_app.forecast.arms import StrategyEffect, _effect_in_words
from scaling_app.service.figures import gain_figure
from scaling_app.service.forecast_text import print_answer
from scaling_app.service.page import gain_points, points
from scaling_app.service.payloads import ForecastRow
from scaling_app.words import signed_tenths, tenths
from scaling_app_client.json_reader import JsonReader

ROOT = Path(__file__).parents[2]
PACKAGES = ("apps/scaling_app", "client/scaling_app_client", "slicer_extension/DataSufficiency")

TINY = -0.0004
"""A loss of 0.04 points of Dice."""


def doubtful(tree: ast.AST) -> Iterator[str]:
    """Figures with a sign, and points of Dice to a tenth, that are formatted on the spot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
            spec = ast.unparse(node.format_spec)[2:-1]
            if spec.startswith("+") or (spec == ".1f" and "100 *" in ast.unparse(node.value)):
                yield f"line {node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and ":+." in node.value:
            yield f"line {node.lineno}: {node.value}"


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.AST]:
    """Every module's tree, by its path."""
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in modules}


def test_nothing_is_counted_in_case_s(trees: dict[str, ast.AST]) -> None:
    """`1 case(s)` is written by nobody who can count."""
    found = {
        (name, node.value)
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(r"(?!http|sqrt)\b[a-z]{4,}\(s\)", node.value)
    }
    assert found == set()


def test_differences_are_written_in_one_place(trees: dict[str, ast.AST]) -> None:
    found = {name: list(doubtful(tree)) for name, tree in trees.items()}
    assert len(found) > 200
    assert {name: figures for name, figures in found.items() if figures} == {}


@pytest.mark.parametrize("code", ["f'{a:+.1f}'", "f'{100 * a:.1f}'", "x = '%{y:+.1f} points'"])
def test_a_figure_that_could_lose_its_sign_is_found(code: str) -> None:
    assert len(list(doubtful(ast.parse(code)))) == 1


@pytest.mark.parametrize(
    ("number", "plain", "signed"),
    [
        *((tiny, "0.0", "0.0") for tiny in (-0.04, -0.0, 0.0, 0.04)),
        *((-0.06, "-0.1", "-0.1"), (0.25, "0.2", "+0.2"), (2.0, "2.0", "+2.0"), (-12.34, "-12.3", "-12.3")),
    ],
)
def test_a_loss_too_small_to_be_seen_has_no_sign(number: float, plain: str, signed: str) -> None:
    assert (tenths(number), signed_tenths(number)) == (plain, signed)


def test_the_page_the_figures_and_the_sentences_say_zero() -> None:
    gain = {"mean": TINY, "lo80": TINY, "hi80": -TINY}
    figure = gain_figure([ForecastRow.model_validate({"extra": 1, "n": 6, "gain": gain})])
    effect = StrategyEffect.__new__(StrategyEffect)
    for name, value in {"name": "red", "n_cases": 8, "dice_difference": gain}.items():
        object.__setattr__(effect, name, value)
    said = [gain_points(TINY), points(TINY), *figure["data"][0]["customdata"], _effect_in_words(effect)]
    assert said == ["0.0", "0.0", "0.0", "red: 0.0 points of Dice on 8 cases (80 %: 0.0 to 0.0)"]


@pytest.mark.parametrize("width", [60, 120])
def test_the_command_line_says_zero(width: int) -> None:
    level = dict.fromkeys(("mean", "lo80", "hi80", "lo95", "hi95"), 0.6)
    gain = {"gain_mean": TINY, "gain_lo80": -0.012, "gain_hi80": 0.02}
    answer = {"method": "power law", "n_now": 8, "points": [{"structure": "organ", "n": 9, **level, **gain}]}
    answer |= {"message": "", "target": None, "advice": None, "trainings": "", "ranges": ""}
    out = io.StringIO()
    print_answer(answer, Console(file=out, width=width))
    assert "-0.0" not in out.getvalue()
    assert "-1.2 to +2.0" in out.getvalue()


def test_the_zero_with_a_minus_that_json_has_is_read_as_zero() -> None:
    assert str(JsonReader({"mean": -0.0}).number("mean")) == "0.0"
