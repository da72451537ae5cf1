"""No table of ours runs anything in a spreadsheet."""

from __future__ import annotations

import csv
import io

import pytest

from scaling_app.curve.ledger_curve import curve_csv
from scaling_app.experiments.runs_table import COLUMNS, _csv_text
from scaling_app.forecast.scores import Score
from scaling_app.storage import inert, restored

RUN = ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1"]


@pytest.mark.parametrize("text", RUN)
def test_a_text_that_would_be_run_becomes_inert_and_is_read_back_as_it_was(text):
    assert str(inert(text))[0] == "'" and restored(str(inert(text))) == text.replace("\r", " ")


@pytest.mark.parametrize("value", [0.5, -1, "-1.5", "+3e2", "liver", "a=b", "'quoted'", ""])
def test_numbers_and_other_texts_stay_as_they_are(value):
    assert inert(value) == value and restored(str(value)) == str(value)


@pytest.mark.parametrize("text", RUN)
def test_no_table_holds_a_cell_that_would_be_run(text):
    seen = Score(n=5, dice=0.5, structure=text, case=text, run=text, patient=text)
    tables = [
        curve_csv([seen]),
        _csv_text(
            [{name: text if name in ("dataset", "case", "structure") else -1 for name in COLUMNS}],
            header=True,
        ),
    ]
    for table in tables:
        for row in csv.reader(io.StringIO(table, newline="")):
            for cell in row:
                assert cell == str(inert(cell)), cell
