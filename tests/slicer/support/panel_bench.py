"""The whole module in a window of its own, and its picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import qt
import slicer
from DataSufficiency import DataSufficiencyWidget

WIDTH = 540


FOLDED = ("worthBox", "strategiesBox", "trainingBox", "trainingOptions", "coverageBox")


def open_module(*, unfolded: bool = True) -> DataSufficiencyWidget:
    """The panel on the screen, as it opens or with everything unfolded."""
    widget = DataSufficiencyWidget()
    widget.setup()
    widget.enter()
    widget.parent.resize(WIDTH, 900)
    widget.parent.show()
    if unfolded:
        unfold(widget, "serverBox", *FOLDED)
    slicer.app.processEvents()
    return widget


def unfold(widget: DataSufficiencyWidget, *boxes: str) -> None:
    for name in boxes:
        getattr(widget.ui, name).setCollapsed(False)


def connect(widget: DataSufficiencyWidget, address: str, wait: Callable[..., None]) -> None:
    """Type an address, and wait until its server has answered."""
    widget.ui.serverAddress.setCurrentText(address)
    widget.ui.connectButton.click()
    wait(lambda: widget.session.state.connected and widget.session.state.client.address == address)


def close_module(widget: DataSufficiencyWidget) -> None:
    widget.exit()
    widget.cleanup()
    widget.parent.close()
    widget.parent.deleteLater()


def read(tip: str) -> str:
    """What a person reads where Qt looks for markup: a tooltip, a dialog."""
    return qt.QTextDocumentFragment.fromHtml(tip).toPlainText()


def settle(widget: DataSufficiencyWidget, width: int = WIDTH) -> None:
    """Make the window so high that nothing has to be scrolled."""
    contents, area = widget.ui.scrollContents, widget.ui.scrollArea
    for _ in range(4):
        slicer.app.processEvents()
        layout = contents.layout()
        inside = max(layout.totalHeightForWidth(contents.width), layout.totalMinimumSize().height())
        widget.parent.resize(width, widget.parent.height + inside - area.viewport().height)


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


def take_picture(widget: DataSufficiencyWidget, path: Path, width: int = WIDTH) -> qt.QImage:
    settle(widget, width)
    picture = qt.QPixmap(widget.parent.size * 1)
    picture.fill(widget.parent.palette.color(qt.QPalette.Window))
    widget.parent.render(picture)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(str(path))
    return picture.toImage()
