"""The panel and the plot in their main states: drawn, nothing clipped, and used in the docs.

The pictures in `slicer_extension/Screenshots` are these and those of `test_walk`, written anew by

    DATA_SUFFICIENCY_PICTURES=slicer_extension/Screenshots python -m pytest tests/slicer/test_pictures.py tests/slicer/test_walk.py
"""

from __future__ import annotations

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
    return panel_bench.pictures_folder(tmp_path)


@pytest.fixture
def module(scene: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.setattr(ForecastWatch, "CALM_S", 0.2)
    monkeypatch.setattr(ForecastWatch, "BUSY_S", 0.2)
    monkeypatch.setattr(TrainingWatch, "EVERY_S", 0.05)
    widget = panel_bench.open_module(unfolded=False)
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
    panel_bench.draw(module, folder / "panel-error.png")


def test_a_blind_case(
    module: object, server: StubServer, connect: Callable, open_case: Callable, folder: Path
) -> None:
    connect(12)
    server.blind = True
    open_case()
    panel_bench.draw(module, folder / "panel-blind.png")


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
    panel_bench.draw(module, folder / "panel-questions.png")


def test_an_unsent_label(
    module: object, server: StubServer, connect: Callable, open_case: Callable, wait: Callable, folder: Path
) -> None:
    connect(12)
    open_case()
    server.stop()
    module.ui.submitButton.click()
    wait(lambda: module.session.state.phase == "open" and module.ui.unsentFrame.isVisible())
    panel_bench.draw(module, folder / "panel-unsent.png")


def test_a_label_in_doubt(
    module: object, server: StubServer, connect: Callable, wait: Callable, folder: Path
) -> None:
    server.checks = [{"image": "case_003", "sentence": "Posterior is far smaller than in other cases."}]
    connect(12)
    panel_bench.unfold(module, "worthBox")
    wait(lambda: module.ui.doubtRow.isVisible())
    panel_bench.draw(module, folder / "panel-doubt.png")


def test_the_plot(scene: object, folder: Path) -> None:
    answer = Payload.from_json(sufficiency(12))
    chart = CurveNodes(curve_titles(), 13).show(
        answer.curve(""), answer.points(""), answer.target, "all structures together"
    )
    picture = chart_picture.draw(chart, (1000, 640), 2)
    image = qt.QImage(picture.tobytes(), 1000, 640, 3000, qt.QImage.Format_RGB888)
    folder.mkdir(parents=True, exist_ok=True)
    assert image.save(str(folder / "plot.png"))
    panel_bench.make_small(folder / "plot.png")
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize(
    "page", ["slicer_extension/README.md", "docs/slicer/tutorial.md", "docs/slicer/states.md"]
)
def test_every_picture_of_the_docs_is_there_and_small(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+\.png)\)", text)
    assert pictures
    for picture in pictures:
        path = (ROOT / page).parent / picture
        assert path.stat().st_size < 150_000
