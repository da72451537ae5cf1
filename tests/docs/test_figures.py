"""Quoted figures stand in their results: the rule, and the pages themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.quoted import complaints_of, main

RESULTS = "task,points,n\na,24.14 (12.6 to 38.9),2\nb,0.5 (-2.31 to 3.34),4\n"
NAMED = "<!-- figures: results.csv -->\n\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "results.csv").write_text(RESULTS)
    (tmp_path / "table.md").write_text("| a | +1.0 | -0.2 to +2.0 |\n|---|---|---|\nNot a row: 9.99\n")
    (tmp_path / "times.json").write_text('{"idle": {"median": 3.25}}')
    return tmp_path


def test_every_figure_of_the_pages_stands_in_its_results(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        "+24.1 points (12.6 to 38.9)",
        "**+24** (13 to 39)",
        "24.1, 12.6 to 38.9",
        "24.1 (95 %: 12.6\nto 38.9)",
        "0.5 [-2.3, 3.3]",
        "0.5 (-2.3 to 3.3) and 24.14",
        ".5 (-2.3 to 3.3) and .5",
    ],
)
def test_a_figure_stands_as_the_page_rounds_it(text: str, folder: Path) -> None:
    assert complaints_of(NAMED + text, folder) == []


@pytest.mark.parametrize(
    "text",
    [
        "24.2 (12.6 to 38.9)",  # another mean
        "24.1 (12.6 to 38.8)",  # another end
        "24.1 (-2.3 to 3.3)",  # of another row
        "0.5 (12.6 to 38.9)",
        "24.141 (12.6 to 38.9)",  # more exact than the results
        "24.1 (12.6 to 38.9) and 7.5",  # a number that is nowhere
        "24.1 (12.6 to 38.9) and .75",
    ],
)
def test_a_figure_that_the_results_do_not_give_is_told(text: str, folder: Path) -> None:
    assert len(complaints_of(NAMED + text, folder)) == (2 if "and" not in text else 1)


def test_a_figure_without_results_is_told_with_its_line(folder: Path) -> None:
    assert complaints_of("# Title\n\n24.1 (12.6 to 38.9)\n", folder) == [
        "3: 24.1 (12.6 to 38.9) names no results"
    ]


def test_results_that_nothing_is_quoted_from_are_told(folder: Path) -> None:
    page = "<!-- figures: results.csv table.md -->\n24.1 (12.6 to 38.9)"
    assert complaints_of(page, folder) == ["no figure is from table.md"]


def test_tables_and_json_are_results_and_text_beside_a_table_is_not(folder: Path) -> None:
    assert complaints_of("<!-- figures: table.md -->\n+1.0 (-0.2 to 2.0)", folder) == []
    assert complaints_of("<!-- figures: times.json -->\n3.25 ms", folder) == []
    assert len(complaints_of("<!-- figures: table.md -->\n9.99", folder)) == 2


def test_settings_addresses_and_versions_are_no_figures(folder: Path) -> None:
    page = (
        NAMED
        + "24.1 (12.6 to 38.9) at `0.7`, [paper](https://doi.org/10.1371/a.b), MONAI Label 0.8.5, v1.2.3\n"
    )
    assert complaints_of(page, folder) == []
    assert complaints_of(page + "<!-- figures: none -->\nfrom 7.5 to 8.5", folder) == []
