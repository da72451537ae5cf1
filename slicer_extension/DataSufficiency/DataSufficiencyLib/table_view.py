"""Filling a table that is as high as its rows, so that the module panel scrolls and the table does not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import qt

from .notice_label import as_markup, breakable

#: Pixels above and below the words of a row, together.
_ABOVE = 8


def prepare_table(table: Any, headers: Sequence[str], fitted: Sequence[int] = ()) -> None:
    """Set a read-only table up.

    Args:
        headers: The columns' titles.
        fitted: Columns that are as wide as their texts; the others share the rest, and a longer text goes on below.
    """
    table.setColumnCount(len(headers))
    table.setHorizontalHeaderLabels(list(headers))
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setMinimumSectionSize(1)
    header = table.horizontalHeader()
    header.setSectionResizeMode(qt.QHeaderView.Stretch)
    for column in fitted:
        header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
    header.setMinimumSectionSize(1)
    header.setHighlightSections(False)
    header.sectionResized.connect(lambda *_sizes: _fit_height(table))
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.setSelectionMode(qt.QAbstractItemView.NoSelection)
    table.setFocusPolicy(qt.Qt.NoFocus)
    table.setVerticalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
    table.setHorizontalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
    table.setVisible(False)


def fill_table(table: Any, rows: Sequence[Sequence[str]], tips: Sequence[str] = ()) -> None:
    """Show these rows; without any, hide the table."""
    table.setVisible(bool(rows))
    table.setRowCount(len(rows))
    for row, cells in enumerate(rows):
        for column, text in enumerate(cells):
            item = qt.QTableWidgetItem(breakable(_in_two_at_most(text)))
            item.setTextAlignment(qt.Qt.AlignCenter)
            if tips:
                item.setToolTip(as_markup(tips[row]))
            table.setItem(row, column, item)
    _fit_height(table)


def _in_two_at_most(text: str) -> str:
    """A number and its range in brackets part before the bracket, if they have to."""
    return re.sub(r"\(.*?\)", lambda bracket: bracket.group().replace(" ", "\u00a0"), text)


def _fit_height(table: Any) -> None:
    line = table.fontMetrics().height()
    header = table.horizontalHeader()
    titles = [table.horizontalHeaderItem(i).text() for i in range(table.columnCount)]
    header.setFixedHeight(line * max(title.count("\n") + 1 for title in titles) + _ABOVE)
    table.resizeRowsToContents()
    for row in range(table.rowCount):
        table.setRowHeight(row, max(table.rowHeight(row), line + _ABOVE))
    rows = sum(table.rowHeight(row) for row in range(table.rowCount))
    table.setFixedHeight(header.height + rows + 2 * table.frameWidth)
