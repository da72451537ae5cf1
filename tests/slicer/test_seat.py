"""What a radiologist sees from her seat: why a button is grey, whether the server is there, nothing cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import chart_picture
import panel_bench
import pytest
import qt
import slicer
import slicer.util
from DataSufficiencyLib.forecast_words import effect_tip
from DataSufficiencyLib.glance_words import advice_text
from DataSufficiencyLib.server_words import of_the_case
from DataSufficiencyLib.wording import label_question, say
from german import in_german
from session_bench import label_file, paint_all, pass_time
from stub_server import StubServer, break_off, sufficiency

from scaling_app_client.payload import Payload, StrategyEffect


@pytest.fixture(autouse=True)
def no_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart_picture, "can_render", lambda: False)


# The server ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("press", ["nextButton", "trainButton", "measureButton"])
def test_a_server_that_has_gone_is_not_called_connected_after_any_press(
    connected: object, server: StubServer, wait: Callable, press: str
) -> None:
    """The forecast is asked for every half minute; the first call that fails is enough to know."""
    assert "Connected" in connected.ui.serverStatus.text
    server.stop()
    getattr(connected.ui, press).click()
    wait(lambda: "Nothing answers" in connected.ui.serverStatus.text, 3)


def test_a_call_to_a_former_server_says_nothing_of_the_present_one(
    open_case: object, server: StubServer, wait: Callable
) -> None:
    server.handlers["GET", "/datastore/label/info"] = lambda handler: break_off(handler.connection)
    client = open_case.session.state.client
    other = StubServer(image=server.image).start()
    open_case.session.connection.connect(other.url)
    wait(lambda: open_case.session.state.phase == "ready")
    failures: list = []
    client.label_time("case_007", failures.append, failures.append)
    wait(lambda: failures)
    assert "Connected" in open_case.ui.serverStatus.text
    other.stop()


def test_a_server_without_a_case_says_why_itself(
    connected: object, server: StubServer, wait: Callable
) -> None:
    reason = "There is no image in the studies folder yet."
    route = ("POST", "/activelearning/random")
    server.handlers[route] = lambda handler: handler.answer({"message": reason})
    connected.ui.nextButton.click()
    wait(lambda: connected.ui.caseStatus.text == reason)
    assert connected.session.state.phase == "ready"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("A prediction may be shown for this case.", ""),
        ("Blind case: please draw this label without looking at a prediction first.", ""),
        (
            "A prediction may be shown for this case. No model of this task can learn from this image: it has 4 channels.",
            "No model of this task can learn from this image: it has 4 channels.",
        ),
    ],
)
def test_what_the_server_says_of_a_case_stands_below_it(
    connected: object, server: StubServer, wait: Callable, said: str, shown: str
) -> None:
    def with_message(handler: object) -> None:
        handler.answer({"id": "case_007", "name": "image.nii.gz", "blind": False, "message": said})

    server.handlers["POST", "/activelearning/random"] = with_message
    connected.ui.nextButton.click()
    wait(lambda: connected.session.state.phase == "open")
    status = connected.ui.caseStatus
    assert status.isVisible() == bool(shown)
    assert not shown or panel_bench.said(status) == shown


def test_what_the_server_says_of_a_case_is_translated_as_far_as_it_is_known(
    scene: object, tmp_path: Path
) -> None:
    said = "A prediction may be shown for this case. Picked at random, as one in four is, so that the curve stays honest. Odd."
    with in_german(tmp_path):
        words = of_the_case(said)
    assert words == "Zufällig gewählt wie jeder vierte Fall, damit die Kurve ehrlich bleibt. Odd."


def test_a_server_without_images_is_not_said_to_have_labels_of_all(
    connected: object, server: StubServer, wait: Callable
) -> None:
    server.cases.clear()
    server.total = 0
    connected.session.connection.connect(server.url)
    wait(lambda: connected.session.state.phase == "ready")
    connected.ui.nextButton.click()
    wait(lambda: "no images" in connected.ui.caseStatus.text)


def test_a_password_goes_to_no_server_but_the_one_in_the_field(
    module: object, server: StubServer, wait: Callable
) -> None:
    server.handlers["GET", "/info/"] = lambda handler: handler.answer({}, 401)
    ui = module.ui
    ui.serverAddress.setCurrentText(server.url)
    ui.connectButton.click()
    wait(lambda: ui.signInRow.isVisible())
    ui.serverAddress.setCurrentText("https://another.example.org")
    assert not ui.signInRow.isVisible()
    ui.passwordEdit.setText("s3cret")
    ui.passwordEdit.returnPressed.emit()
    pass_time(wait, 0.2)
    assert "POST /auth/token" not in server.requests
    ui.serverAddress.setCurrentText(server.url + "/")
    assert ui.signInRow.isVisible(), "the same server"


# Kept on this computer ----------------------------------------------------------------------------


def test_minutes_that_wait_are_not_called_an_unsent_label(
    at_work: object, server: StubServer, wait: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.handlers["POST", "/sufficiency/case/case_007"] = lambda handler: handler.answer({}, 500)
    ui, asked = at_work.ui, []
    ui.submitButton.click()
    wait(lambda: at_work.session.state.phase == "sent")
    assert ui.unsentLabel.text == "The label has arrived, only the minutes have not: case_007."
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda text: asked.append(panel_bench.read(text)))
    ui.discardButton.click()
    assert asked[0].startswith("Delete the minutes of case_007 from this computer?")
    at_work.session.connection.disconnect()
    assert ui.unsentLabel.text.endswith(f"case_007. Connect to {server.url} to send.")


# Grey buttons -------------------------------------------------------------------------------------


def test_without_a_server_the_panel_says_what_to_do_first(module: object) -> None:
    ui = module.ui
    assert ui.submitReason.isVisible()
    assert ui.submitReason.text == "First connect to a server and load a case."
    assert ui.trainingReason.text == "First connect to a server."


def test_without_a_server_a_case_at_hand_need_not_be_loaded(at_work: object) -> None:
    at_work.session.connection.disconnect()
    assert at_work.session.state.case is not None
    assert at_work.ui.submitReason.text == "First connect to a server."


def test_without_a_case_the_panel_says_how_to_get_one(connected: object) -> None:
    assert connected.ui.submitReason.text == "First load a case: press “Next case”."


def test_a_submit_button_that_is_grey_says_why(open_case: object, wait: Callable) -> None:
    ui, session = open_case.ui, open_case.session
    assert not ui.submitReason.isVisible()
    ui.submitButton.click()  # both classes are empty
    assert "answer the questions" in ui.submitReason.text
    ui.backButton.click()
    assert not ui.submitReason.isVisible()
    paint_all(session)
    ui.submitButton.click()
    wait(lambda: session.state.phase == "sent")
    assert ui.submitReason.text.startswith("This label has arrived")


def test_a_prediction_that_cannot_be_had_says_why(open_case: object) -> None:
    ui = open_case.ui
    assert not ui.predictionReason.isVisible()
    paint_all(open_case.session)
    assert "would be overwritten" in ui.predictionReason.text


def test_a_server_without_a_model_says_that_it_has_to_be_trained(
    connected: object, server: StubServer, wait: Callable
) -> None:
    server.model = False
    connected.session.connection.connect(server.url)
    wait(lambda: connected.session.state.phase == "ready")
    connected.ui.nextButton.click()
    wait(lambda: connected.session.state.phase == "open")
    assert "has to be trained first" in connected.ui.predictionReason.text


def test_a_label_in_doubt_says_why_it_cannot_be_opened(
    open_case: object, server: StubServer, wait: Callable, image_file: Path, tmp_path: Path
) -> None:
    server.checks = [{"image": "case_003", "sentence": "Posterior is far smaller than in other cases."}]
    server.prediction = label_file(image_file, tmp_path, {1: slice(2, 6)})
    open_case.session.forecast.ask()
    wait(lambda: open_case.ui.doubtRow.isVisible())
    assert not open_case.ui.reopenReason.isVisible()
    paint_all(open_case.session)
    assert "first submit the case at hand" in open_case.ui.reopenReason.text


# The target and the steps -------------------------------------------------------------------------


def test_no_target_is_shown_where_none_is_set(connected: object, server: StubServer, wait: Callable) -> None:
    ui, forecast = connected.ui, connected.session.forecast
    assert ui.targetSpin.value == 85
    server.target = None
    forecast.ask()
    wait(lambda: ui.targetSpin.text == "none")
    ui.targetSpin.setValue(70)
    before = connected.session.state.sufficiency
    forecast.ask()
    wait(lambda: connected.session.state.sufficiency is not before)
    assert ui.targetSpin.value == 70, "what is being typed stays"


def test_a_panel_without_a_server_shows_no_number_of_its_own(
    module: object, server: StubServer, wait: Callable
) -> None:
    ui, session = module.ui, module.session
    assert (ui.targetSpin.text, ui.stepsSpin.text) == ("none", "\u2013")
    session.connection.connect(server.url)
    wait(lambda: session.state.phase == "ready")
    assert (ui.targetSpin.text, ui.stepsSpin.text) == ("85", "400")
    session.connection.disconnect()
    assert (ui.targetSpin.text, ui.stepsSpin.text) == ("none", "\u2013")


def test_setting_no_target_takes_it_back(connected: object, server: StubServer, wait: Callable) -> None:
    connected.ui.targetSpin.setValue(0)
    connected.ui.targetButton.click()
    wait(lambda: server.target is None)


def test_one_of_a_thing_is_not_spoken_of_as_many(connected: object) -> None:
    connected.ui.stepsSpin.setValue(1)
    assert connected.ui.stepsSpin.text == "1"
    advice = {"action": "continue", "cases": 1, "sentence": ""}
    assert (
        advice_text(Payload.from_json({**sufficiency(6), "advice": advice}))
        == "Please label one more case, then look again."
    )
    assert "on one test case." in effect_tip(StrategyEffect("genda", None, None, None, 1), 6)
    assert label_question("overlap", "organ, nodule", 1) == (
        "One voxel lies in two structures. There the later one holds of: organ, nodule"
    )


# Room ---------------------------------------------------------------------------------------------

NARROW = 480


@pytest.fixture(params=["en", "de"])
def language(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with in_german(tmp_path) if request.param == "de" else nullcontext():
        yield request.param


@pytest.fixture(params=[9, 13])
def points(request: pytest.FixtureRequest) -> Iterator[int]:
    before = qt.QApplication.font()
    font = qt.QFont(before)
    font.setPointSize(request.param)
    qt.QApplication.setFont(font)
    yield request.param
    qt.QApplication.setFont(before)


@pytest.fixture
def panel(points: int, language: str, scene: object) -> Iterator[object]:
    widget = panel_bench.open_module()
    yield widget
    panel_bench.close_module(widget)


def test_the_panel_fits_into_slicers_own(panel: object) -> None:
    """Slicer's module panel has no scroll bar below: what is wider makes it wider."""
    for name in ("signInRow", "doubtRow", "waitingFrame", "questionFrame", "unsentFrame"):
        getattr(panel.ui, name).setVisible(True)
    margins = panel.parent.layout().contentsMargins
    around = margins.left() + margins.right()
    beside = panel.ui.scrollArea.verticalScrollBar().sizeHint().width()
    assert panel.ui.scrollContents.layout().minimumSize().width() <= NARROW - around - beside
    assert panel.ui.glanceFrame.minimumSizeHint().width() <= NARROW


def test_the_headline_is_a_fifth_larger_than_the_text_around_it(panel: object, points: int) -> None:
    font = panel.ui.adviceLabel.font
    assert font.pointSizeF() == pytest.approx(1.2 * points)
    assert font.bold()


def test_what_is_to_be_trained_can_be_read(panel: object, server: StubServer, wait: Callable) -> None:
    panel.ui.serverAddress.setCurrentText(server.url)
    panel.ui.connectButton.click()
    wait(lambda: panel.session.state.phase == "ready")
    panel.parent.resize(NARROW, 900)
    panel_bench.settle(panel, NARROW)
    boxes = [panel.ui.trainerBox, panel.ui.trainingStrategyBox, panel.ui.ruleBox, panel.ui.structureBox]
    assert panel_bench.cut_off(boxes) == []


def test_long_names_make_the_panel_no_wider(open_case: object, server: StubServer, wait: Callable) -> None:
    """A case may be called by a DICOM number of 64 digits; nothing of it is cut off where it is named."""
    long = "1.2.826.0.1.3680043.8.498.45787841905473114233124723359129632652"
    ui, state = open_case.ui, open_case.session.state
    server.checks = [{"image": long, "sentence": f"{long} is far smaller than other cases."}]
    state.case = replace(state.case, image_id=long)
    state.notice = say("nothing_drawn", case=long)
    open_case.session.forecast.ask()
    wait(lambda: ui.doubtRow.isVisible())
    panel_bench.settle(open_case, NARROW)
    assert ui.scrollContents.width <= ui.scrollArea.viewport().width
    assert panel_bench.said(ui.caseLabel) == long
    labels = (ui.caseLabel, ui.caseStatus, ui.doubtsLabel)
    assert [panel_bench.too_long(label) for label in labels] == [False] * 3
