"""The panel and the plot in their main states: drawn, nothing clipped, and used in the docs.

The pictures in `slicer_extension/Screenshots` are these, written anew by

    DATA_SUFFICIENCY_PICTURES=slicer_extension/Screenshots python -m pytest tests/slicer/test_pictures.py
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import chart_picture
import numpy as np
import panel_bench
import pytest
import qt
from DataSufficiencyLib.curve_nodes import CurveNodes
from DataSufficiencyLib.forecast_watch import ForecastWatch
from DataSufficiencyLib.plot_section import curve_titles
from DataSufficiencyLib.training import TrainingWatch
from session_bench import paint_all
from stub_server import StubServer, sufficiency

from scaling_app_client.payload import Payload

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow_window,
    pytest.mark.skipif(not chart_picture.can_render(), reason=chart_picture.WHY_NOT),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    wanted = os.environ.get("DATA_SUFFICIENCY_PICTURES")
    return Path(wanted).absolute() if wanted else tmp_path


@pytest.fixture
def module(scene: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.setattr(ForecastWatch, "CALM_S", 0.2)
    monkeypatch.setattr(ForecastWatch, "BUSY_S", 0.2)
    monkeypatch.setattr(TrainingWatch, "EVERY_S", 0.05)
    widget = panel_bench.open_module()
    yield widget
    panel_bench.close_module(widget)


@pytest.fixture
def server(image_file: Path) -> Iterator[StubServer]:
    stub = StubServer(image=image_file).start()
    stub.n = 12
    yield stub
    stub.stop()


@pytest.fixture
def connect(module: object, server: StubServer, wait: Callable) -> Callable[[int], None]:
    def go(n: int) -> None:
        server.n = n
        module.ui.serverAddress.setCurrentText(server.url)
        module.ui.connectButton.click()
        wait(lambda: module.session.state.phase == "ready")

    return go


@pytest.fixture
def open_case(module: object, wait: Callable) -> Callable[[], None]:
    def go() -> None:
        module.ui.nextButton.click()
        wait(lambda: module.session.state.phase == "open")
        paint_all(module.session)

    return go


def drawn(module: object, path: Path) -> qt.QImage:
    """Take the picture under a usual address, and see that no text is cut off."""
    module.ui.serverAddress.blockSignals(True)
    module.ui.serverAddress.setCurrentText("http://127.0.0.1:8000")
    picture = panel_bench.take_picture(module, path)
    assert clipped(module.parent) == []
    assert picture.width() == panel_bench.WIDTH
    make_small(path)
    return picture


def make_small(path: Path) -> None:
    """For the docs: as few colours as do."""
    from PIL import Image

    if os.environ.get("DATA_SUFFICIENCY_PICTURES"):
        Image.open(path).convert("RGB").quantize(160, dither=Image.Dither.NONE).save(path, optimize=True)


def clipped(parent: qt.QWidget) -> list[str]:
    """Texts that do not fit where they are shown."""
    found = []
    for label in parent.findChildren(qt.QLabel):
        if label.isVisible() and label.text:
            hint = label.property("sizeHint")
            needed = label.heightForWidth(label.width) if label.wordWrap else hint.height()
            if needed > label.height or (not label.wordWrap and hint.width() > label.width):
                found.append(label.text)
    for button in parent.findChildren(qt.QAbstractButton):
        if (
            button.isVisible()
            and button.text
            and button.fontMetrics().horizontalAdvance(button.text) > button.width
        ):
            found.append(button.text)
    found += panel_bench.cut_off(parent.findChildren(qt.QComboBox))
    for table in parent.findChildren(qt.QTableWidget):
        for row in range(table.rowCount if table.isVisible() else 0):
            for column in range(table.columnCount):
                item = table.item(row, column)
                if item and table.fontMetrics().horizontalAdvance(item.text()) + 6 > table.columnWidth(
                    column
                ):
                    found.append(item.text())
    return found


def test_no_server(module: object, folder: Path) -> None:
    drawn(module, folder / "panel-no-server.png")


def test_an_error(module: object, server: StubServer, wait: Callable, folder: Path) -> None:
    server.stop()
    module.ui.serverAddress.setCurrentText(server.url)
    module.ui.connectButton.click()
    wait(
        lambda: (
            module.session.state.phase == "disconnected"
            and module.session.state.connection.level == "warning"
        )
    )
    drawn(module, folder / "panel-error.png")


def test_two_cases(module: object, connect: Callable, open_case: Callable, folder: Path) -> None:
    connect(2)
    open_case()
    drawn(module, folder / "panel-2-cases.png")


def test_twelve_cases(module: object, connect: Callable, open_case: Callable, folder: Path) -> None:
    connect(12)
    open_case()
    picture = drawn(module, folder / "panel-12-cases.png")
    blue = qt.QColor.fromRgbF(0.0, 0.35, 0.65)
    place = module.ui.plotHolder.mapTo(module.parent, qt.QPoint(0, 0))
    area = picture.copy(qt.QRect(place, module.ui.plotHolder.size))
    pixels = [area.pixelColor(x, y) for x in range(0, area.width()) for y in range(0, area.height(), 2)]
    assert sum(abs(p.red() - blue.red()) + abs(p.blue() - blue.blue()) < 30 for p in pixels) > 50


def test_a_blind_case(
    module: object, server: StubServer, connect: Callable, open_case: Callable, folder: Path
) -> None:
    connect(12)
    server.blind = True
    open_case()
    drawn(module, folder / "panel-blind.png")


def test_questions_before_sending(
    module: object, connect: Callable, open_case: Callable, folder: Path
) -> None:
    connect(12)
    open_case()
    inner = module.session.nodes.segmentation.GetSegmentation()
    inner.GetSegment("anterior").SetName("Anterior part")
    inner.RemoveSegment("posterior")
    module.ui.segmentEditor.updateWidgetFromMRML()
    module.ui.submitButton.click()
    drawn(module, folder / "panel-questions.png")


def test_an_unsent_label(
    module: object, server: StubServer, connect: Callable, open_case: Callable, wait: Callable, folder: Path
) -> None:
    connect(12)
    open_case()
    server.stop()
    module.ui.submitButton.click()
    wait(lambda: module.session.state.phase == "open" and module.ui.unsentFrame.isVisible())
    drawn(module, folder / "panel-unsent.png")


def test_training(
    module: object, server: StubServer, connect: Callable, wait: Callable, folder: Path
) -> None:
    connect(12)
    server.train_stats = {"segmentation": {"epoch": 26, "total_epochs": 40}}
    server.job = {"state": "running", "done": 3, "total": 9, "eta_seconds": 240}
    module.ui.trainButton.click()
    wait(
        lambda: (
            module.session.state.training.progress is not None
            and module.session.state.sufficiency.job.running
        )
    )
    drawn(module, folder / "panel-training.png")


def test_a_label_in_doubt(
    module: object, server: StubServer, connect: Callable, wait: Callable, folder: Path
) -> None:
    server.checks = [{"image": "case_003", "sentence": "Posterior is far smaller than in other cases."}]
    connect(12)
    wait(lambda: module.ui.doubtRow.isVisible())
    drawn(module, folder / "panel-doubt.png")


def test_target_reached(
    module: object, server: StubServer, connect: Callable, open_case: Callable, folder: Path
) -> None:
    server.target = 0.79
    connect(12)
    open_case()
    drawn(module, folder / "panel-target-reached.png")


def test_the_plot(scene: object, folder: Path) -> None:
    answer = Payload.from_json(sufficiency(12))
    chart = CurveNodes(curve_titles(), 13).show(
        answer.curve(""), answer.points(""), answer.target, "all structures together"
    )
    picture = chart_picture.draw(chart, (1000, 640), 2)
    image = qt.QImage(picture.tobytes(), 1000, 640, 3000, qt.QImage.Format_RGB888)
    folder.mkdir(parents=True, exist_ok=True)
    assert image.save(str(folder / "plot.png"))
    make_small(folder / "plot.png")
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize("page", ["slicer_extension/README.md", "docs/slicer/tutorial.md"])
def test_every_picture_of_the_docs_is_there_and_small(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+\.png)\)", text)
    assert pictures
    for picture in pictures:
        path = (ROOT / page).parent / picture
        assert path.stat().st_size < 150_000
