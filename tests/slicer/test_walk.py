"""The panel in the states of a session, as docs/slicer/states.md walks through them: nothing is cut off in any look.

The page's pictures are made here; how they are written anew stands in `test_pictures`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import chart_picture
import panel_bench
import pytest
import qt
from DataSufficiencyLib.forecast_watch import ForecastWatch
from DataSufficiencyLib.training import TrainingWatch
from german import in_german
from session_bench import paint_all
from stub_server import StubServer

pytestmark = [
    pytest.mark.slow_window,
    pytest.mark.skipif(not chart_picture.can_render(), reason=chart_picture.WHY_NOT),
]

#: Width in pixels, size of the words in points, dark, language; every two of them meet.
LOOKS = {
    "docs": (480, 9, False, "en"),
    "wide-large-dark": (720, 13, True, "en"),
    "wide-small-german": (720, 9, False, "de"),
    "narrow-large-german": (480, 13, False, "de"),
    "narrow-small-dark-german": (480, 9, True, "de"),
}


@pytest.fixture(params=LOOKS)
def look(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    _width, points, dark, language = LOOKS[request.param]
    if request.param != "docs" and not panel_bench.pictures_are_wanted():
        monkeypatch.setattr(chart_picture, "can_render", lambda: False)  # the plot is the same in every look
    font, palette = qt.QApplication.font(), qt.QApplication.palette()
    large = qt.QFont(font)
    large.setPointSize(points)
    qt.QApplication.setFont(large)
    if dark:
        qt.QApplication.setPalette(qt.QPalette(qt.QColor(53, 53, 53)))
    with in_german(tmp_path) if language == "de" else nullcontext():
        yield request.param
    qt.QApplication.setFont(font)
    qt.QApplication.setPalette(palette)


@pytest.fixture
def module(look: str, scene: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.setattr(ForecastWatch, "CALM_S", 0.2)
    monkeypatch.setattr(ForecastWatch, "BUSY_S", 0.2)
    monkeypatch.setattr(TrainingWatch, "EVERY_S", 0.05)
    widget = panel_bench.open_module(unfolded=False)
    yield widget
    panel_bench.close_module(widget)


def test_every_state_can_be_read_in_every_look(
    module: object, server: StubServer, look: str, wait: Callable, tmp_path: Path
) -> None:
    ui, session = module.ui, module.session
    state = session.state

    def draw(name: str) -> qt.QImage:
        folder = panel_bench.pictures_folder(tmp_path) if look == "docs" else tmp_path
        path = folder / f"state-{name}.png"
        return panel_bench.draw(module, path, LOOKS[look][0], of_the_docs=look == "docs")

    def learn(n: int, measured: bool = True) -> None:
        server.n, server.measured = n, measured
        session.forecast.ask()
        wait(
            lambda: state.sufficiency.n_labelled == n and (state.sufficiency.overall is not None) == measured
        )

    draw("no-server")

    server.n, server.model, server.measured = 0, False, False
    ui.serverAddress.setCurrentText(server.url)
    ui.connectButton.click()
    wait(lambda: state.phase == "ready")
    ui.nextButton.click()
    wait(lambda: state.phase == "open")
    draw("first-case")

    server.model = True
    learn(2, measured=False)
    paint_all(session)
    draw("too-few")
    learn(5, measured=False)
    draw("enough")

    learn(12)
    ui.submitButton.click()
    wait(lambda: state.phase == "sent" and state.sufficiency.n_labelled == 13)
    panel_bench.unfold(module, "worthBox")
    picture = draw("forecast")
    if look == "docs":
        place = qt.QRect(ui.plotHolder.mapTo(module.parent, qt.QPoint(0, 0)), ui.plotHolder.size)
        assert _blue_pixels(picture.copy(place)) > 50, "the forecast is drawn"
    ui.worthBox.setCollapsed(True)

    ui.nextButton.click()
    wait(lambda: state.phase == "open")
    server.train_stats = {"segmentation": {"epoch": 260, "total_epochs": 400, "current_time": "0:04:00"}}
    panel_bench.unfold(module, "trainingBox")
    ui.trainButton.click()
    wait(lambda: state.training.minutes_left is not None)
    draw("training")
    ui.trainingBox.setCollapsed(True)

    server.training["status"] = "DONE"
    server.target = 0.75
    session.forecast.ask()
    wait(lambda: not state.training.running and state.sufficiency.advice.action == "stop")
    draw("stop")

    if look != "docs":
        server.checks = [{"image": "case_003", "sentence": "Posterior is far smaller than in other cases."}]
        session.forecast.ask()
        wait(lambda: ui.doubtsLabel.text)
        panel_bench.unfold(module, "serverBox", *panel_bench.FOLDED)
        draw("unfolded")


def _blue_pixels(picture: qt.QImage) -> int:
    """Pixels of the forecast's line."""
    colours = [
        picture.pixelColor(x, y) for x in range(picture.width()) for y in range(0, picture.height(), 2)
    ]
    return sum(abs(c.red()) + abs(c.green() - 89) + abs(c.blue() - 166) < 40 for c in colours)
