"""The whole module in a window of its own, and its picture."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import qt
import slicer
from DataSufficiency import DataSufficiencyWidget

WIDTH = 540


def open_module() -> DataSufficiencyWidget:
    widget = DataSufficiencyWidget()
    widget.setup()
    widget.enter()
    widget.parent.resize(WIDTH, 900)
    widget.parent.show()
    slicer.app.processEvents()
    return widget


def close_module(widget: DataSufficiencyWidget) -> None:
    widget.exit()
    widget.cleanup()
    widget.parent.close()
    widget.parent.deleteLater()


def read(tip: str) -> str:
    """What a person reads where Qt looks for markup: a tooltip, a dialog."""
    return qt.QTextDocumentFragment.fromHtml(tip).toPlainText()


def settle(widget: DataSufficiencyWidget, width: int = WIDTH) -> None:
    """Let the layout find its height, as in Slicer's scrolling module panel."""
    for _ in range(4):
        slicer.app.processEvents()
        widget.parent.resize(width, widget.parent.layout().totalHeightForWidth(width))


def cut_off(boxes: Iterable[qt.QComboBox]) -> list[str]:
    """What is chosen in a list, where there is no room to read it."""
    found = []
    for box in boxes:
        option = qt.QStyleOptionComboBox()
        box.initStyleOption(option)
        style = qt.QStyle
        room = box.style().subControlRect(style.CC_ComboBox, option, style.SC_ComboBoxEditField, box).width()
        if box.isVisible() and box.fontMetrics().horizontalAdvance(box.currentText) > room:
            found.append(box.currentText)
    return found


def take_picture(widget: DataSufficiencyWidget, path: Path) -> qt.QImage:
    settle(widget)
    picture = qt.QPixmap(widget.parent.size * 1)
    picture.fill(qt.QColor(239, 239, 239))
    widget.parent.render(picture)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(str(path))
    return picture.toImage()
