"""Filling a table that is as high as its rows, so that the module panel scrolls and the table does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt

from .notice_label import as_markup


def prepare_table(table: Any, headers: Sequence[str]) -> None:
    """Set a read-only table up; the columns share the width."""
    table.setColumnCount(len(headers))
    table.setHorizontalHeaderLabels(list(headers))
    table.verticalHeader().setVisible(False)
    header = table.horizontalHeader()
    header.setSectionResizeMode(qt.QHeaderView.Stretch)
    header.setHighlightSections(False)
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
            item = qt.QTableWidgetItem(text)
            item.setTextAlignment(qt.Qt.AlignCenter)
            if tips:
                item.setToolTip(as_markup(tips[row]))
            table.setItem(row, column, item)
    line = table.verticalHeader().defaultSectionSize
    table.horizontalHeader().setFixedHeight(line)
    table.setFixedHeight((len(rows) + 1) * line + 2 * table.frameWidth)
