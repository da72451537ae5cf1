"""The page about the ledger tells of every table and column, and its examples run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scaling_app.ledger import Ledger, Observation, tables

PAGE = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", tables.metadata.sorted_tables, ids=lambda table: table.name)
def test_the_page_names_every_table_and_column(table) -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    row = next(line for line in rows if f"`{table.name}`" in line.split("|")[1])
    for column in table.columns:
        assert column.name == "id" or f"`{column.name}`" in row, column.name


def test_the_page_gives_the_numbers_that_mark_the_file() -> None:
    assert f"(schema {tables.SCHEMA_VERSION})" in PAGE
    assert str(tables.APPLICATION_ID) in PAGE


def test_the_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], new_case, new_run
) -> None:
    pytest.importorskip("pandas")
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.save_case(new_case("a"))
        ledger.start_run(new_run("r", ["b", "c"]))
        ledger.finish_run("r", [Observation("r", "a", "liver", "fold", dice=0.625)])
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        exec(compile(example, "docs/ledger.md", "exec"), {})
        assert "0.625" in capsys.readouterr().out
