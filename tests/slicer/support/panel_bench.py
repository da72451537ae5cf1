"""The whole module in a window of its own, and its picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import ctk
import qt
import slicer
from DataSufficiency import DataSufficiencyWidget

#: As narrow as Slicer's module panel commonly is.
WIDTH = 480


#: The pictures of the docs, and under which name each keeps its words.
SHIPPED = Path(__file__).parents[3] / "slicer_extension" / "Screenshots"
_WORDS = "words"

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


def said(label: qt.QLabel) -> str:
    """A label's words, without what says where its lines may end."""
    return label.text.replace("\u200b", "").replace("\u00a0", " ")


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


def pictures_are_wanted() -> bool:
    """Whether pictures are made for the docs, as `test_pictures` tells."""
    return bool(os.environ.get("DATA_SUFFICIENCY_PICTURES"))


def pictures_folder(otherwise: Path) -> Path:
    """Where pictures go."""
    return Path(os.environ["DATA_SUFFICIENCY_PICTURES"]).absolute() if pictures_are_wanted() else otherwise


def draw(
    widget: DataSufficiencyWidget, path: Path, width: int = WIDTH, *, of_the_docs: bool = True
) -> qt.QImage:
    """Take a picture under a usual address, and see that no text is cut off.

    One of the docs keeps its words in the file; unless it is made anew, those have to be the words of now.
    """
    widget.ui.serverAddress.blockSignals(True)
    widget.ui.serverAddress.setCurrentText("http://127.0.0.1:8000")
    settle(widget, width)
    picture = qt.QPixmap(widget.parent.size * 1)
    picture.fill(widget.parent.palette.color(qt.QPalette.Window))
    widget.parent.render(picture)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(str(path))
    cut = clipped(widget.parent)
    assert cut == [], f"{path.name}: {cut}"
    assert picture.width() == width
    assert widget.ui.scrollContents.width <= widget.ui.scrollArea.viewport().width, (
        "there is a scroll bar below"
    )
    words = words_of(widget.parent)
    make_small(path, words)
    if of_the_docs and not pictures_are_wanted():
        assert words_in(SHIPPED / path.name) == words, f"draw {path.name} anew, as test_pictures tells"
    return picture.toImage()


def make_small(path: Path, words: str = "") -> None:
    """For the docs: as few colours as do, and the words that it shows."""
    from PIL import Image, PngImagePlugin

    if pictures_are_wanted():
        kept = PngImagePlugin.PngInfo()
        kept.add_itxt(_WORDS, words)
        small = Image.open(path).convert("RGB").quantize(160, dither=Image.Dither.NONE)
        small.save(path, optimize=True, pnginfo=kept)


def words_in(path: Path) -> str:
    """The words that a picture of the docs shows."""
    from PIL import Image

    return str(Image.open(path).info.get(_WORDS, ""))


def words_of(parent: qt.QWidget) -> str:
    """All that can be read in a window, a line each."""
    found = []
    for widget in parent.findChildren(qt.QWidget):
        if not widget.isVisible():
            continue
        if isinstance(widget, (qt.QLabel, qt.QAbstractButton, ctk.ctkCollapsibleButton)):
            found.append(widget.text)
        elif isinstance(widget, qt.QComboBox):
            found.append(widget.currentText)
        elif isinstance(widget, qt.QTableWidget):
            cells = [widget.item(i, j) for i in range(widget.rowCount) for j in range(widget.columnCount)]
            found += [cell.text() for cell in cells if cell is not None]
    return "\n".join(found)


def clipped(parent: qt.QWidget) -> list[str]:
    """Texts that do not fit where they are shown."""
    found = [label.text for label in parent.findChildren(qt.QLabel) if label.isVisible() and too_long(label)]
    for button in parent.findChildren(qt.QAbstractButton):
        if button.isVisible() and button.fontMetrics().horizontalAdvance(button.text) > button.width:
            found.append(button.text)
    for bar in parent.findChildren(ctk.ctkCollapsibleButton):
        if bar.isVisible() and bar.fontMetrics().horizontalAdvance(bar.text) > bar.width - 30:
            found.append(bar.text)
    for table in parent.findChildren(qt.QTableWidget):
        if table.isVisible():
            found += _cells_cut_off(table)
    return found + cut_off(parent.findChildren(qt.QComboBox))


def too_long(label: qt.QLabel) -> bool:
    """Whether a label has no room for its text."""
    hint = label.sizeHint()
    needed = label.heightForWidth(label.width) if label.wordWrap else hint.height()
    return needed > label.height or (not label.wordWrap and hint.width() > label.width)


def _cells_cut_off(table: qt.QTableWidget) -> list[str]:
    """Texts of a table that are wider than their column even in several lines, or in more lines than there is room for."""
    font, found = table.fontMetrics(), []
    for column in range(table.columnCount):
        title = table.horizontalHeaderItem(column)
        room = table.columnWidth(column) - 6
        if title and table.horizontalHeader().isVisible():
            found += [line for line in title.text().split("\n") if font.horizontalAdvance(line) > room]
        for row in range(table.rowCount):
            text = table.item(row, column).text() if table.item(row, column) else ""
            needed = font.boundingRect(qt.QRect(0, 0, room, 1000), qt.Qt.TextWordWrap, text)
            if needed.width() > room or needed.height() > table.rowHeight(row):
                found.append(text)
    return found
