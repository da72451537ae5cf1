"""The panel over a long day: scenes that come and go, two servers, labels in doubt, names and tips everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import chart_picture
import panel_bench
import pytest
import qt
import slicer
from DataSufficiencyLib.forecast_watch import ForecastWatch
from DataSufficiencyLib.forecast_words import coverage_text, gain_text, prior_text, table_rows
from DataSufficiencyLib.label_questions import Question
from session_bench import label_file, paint_all, pass_time
from stock_widget import StockWidget
from stub_server import StubServer, sufficiency

from scaling_app_client.drafts import Draft
from scaling_app_client.payload import Coverage, Curve, ForecastRow, Interval, Target


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ForecastWatch, "BUSY_S", 0.1)
    monkeypatch.setattr(ForecastWatch, "CALM_S", 0.2)
    monkeypatch.setattr("DataSufficiency.KEEP_MINUTES_S", 0.1)
    monkeypatch.setattr(chart_picture, "can_render", lambda: False)


def save_scene(folder: Path) -> Path:
    """Save the scene with everything in it."""
    scene = slicer.mrmlScene
    kinds = (
        ("vtkMRMLScalarVolumeNode", ".nrrd"),
        ("vtkMRMLSegmentationNode", ".seg.nrrd"),
        ("vtkMRMLTableNode", ".tsv"),
    )
    for kind, suffix in kinds:
        for index in range(scene.GetNumberOfNodesByClass(kind)):
            node = scene.GetNthNodeByClass(index, kind)
            storage = node.CreateDefaultStorageNode()
            scene.AddNode(storage)
            node.SetAndObserveStorageNodeID(storage.GetID())
            storage.SetFileName(str(folder / f"{node.GetID()}{suffix}"))
            assert storage.WriteData(node)
    scene.SetURL(str(folder / "scene.mrml"))
    scene.Commit()
    return folder / "scene.mrml"


def load_scene(path: Path) -> None:
    slicer.mrmlScene.SetURL(str(path))
    slicer.mrmlScene.Connect()


# Scenes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("button", ["submitButton", "connectButton"])
def test_a_scene_that_is_loaded_while_the_server_is_busy_has_its_case_back(
    at_work: object, server: StubServer, wait: Callable, tmp_path: Path, button: str
) -> None:
    path = save_scene(tmp_path)
    server.delay = 0.2
    getattr(at_work.ui, button).click()
    load_scene(path)
    wait(lambda: at_work.session.state.phase == "open")
    assert at_work.ui.caseLabel.text == "case_007"
    assert at_work.session.state.edited
    at_work.ui.submitButton.click()
    wait(lambda: at_work.session.state.phase == "sent")


def test_loading_scenes_over_and_over_leaves_one_chart(
    at_work: object, wait: Callable, tmp_path: Path
) -> None:
    counts = []
    for _ in range(3):
        load_scene(save_scene(tmp_path))
        wait(lambda: at_work.session.state.phase == "open")
        counts.append(
            [
                slicer.mrmlScene.GetNumberOfNodesByClass(kind)
                for kind in ("vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTableNode")
            ]
        )
    assert counts[0][0] == 1
    assert counts[0] == counts[1] == counts[2]
    chart = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode")
    assert at_work.panel.worth.plot.view.mrmlPlotViewNode().GetPlotChartNodeID() == chart.GetID()
    assert chart.GetNumberOfPlotSeriesNodes() > 4


def test_a_saved_scene_keeps_the_minutes_and_does_not_invent_blindness(
    connected: object, server: StubServer, wait: Callable, tmp_path: Path
) -> None:
    server.blind = None
    connected.ui.nextButton.click()
    wait(lambda: connected.session.state.phase == "open")
    paint_all(connected.session)
    connected.session.clock.restart(minutes=12)
    wait(lambda: connected.logic.getParameterNode().minutes > 11)
    path = save_scene(tmp_path)
    load_scene(path)
    wait(lambda: connected.session.state.phase == "open")
    connected.ui.submitButton.click()
    wait(lambda: server.notes)
    (note,) = server.notes
    assert note[1]["minutes"] == pytest.approx(12, abs=0.5)
    assert "blind" not in note[1]


def test_a_saved_scene_knows_that_its_case_had_a_label_before(
    connected: object, server: StubServer, wait: Callable, image_file: Path, tmp_path: Path
) -> None:
    server.prediction = label_file(image_file, tmp_path, {1: slice(2, 6), 2: slice(8, 10)})
    connected.session.cases.reopen("case_007")
    wait(lambda: connected.session.state.phase == "open")
    load_scene(save_scene(tmp_path))
    wait(lambda: connected.session.state.phase == "open")
    connected.ui.submitButton.click()
    wait(lambda: connected.session.state.phase == "sent")
    assert server.notes == [], "the first drawing's minutes and blindness stand"


# Servers ------------------------------------------------------------------------------------------


def test_another_servers_curve_leaves_the_chart(
    connected: object, server: StubServer, wait: Callable
) -> None:
    chart = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode")
    assert chart.GetNumberOfPlotSeriesNodes() > 0
    other = StubServer(image=server.image).start()
    other.n = 2
    panel_bench.connect(connected, other.url, wait)
    assert chart.GetNumberOfPlotSeriesNodes() == 0
    panel_bench.connect(connected, server.url, wait)
    assert chart.GetNumberOfPlotSeriesNodes() > 0
    other.stop()


def test_questions_of_one_server_do_not_block_the_next(
    at_work: object, server: StubServer, wait: Callable
) -> None:
    at_work.session.nodes.segmentation.GetSegmentation().RemoveSegment("posterior")
    at_work.ui.submitButton.click()
    assert at_work.ui.questionFrame.isVisible()
    other = StubServer(image=server.image).start()
    panel_bench.connect(at_work, other.url, wait)
    assert not at_work.ui.questionFrame.isVisible()
    assert at_work.ui.submitButton.enabled
    other.stop()


def test_unsent_labels_of_two_servers_are_told_apart(module: object) -> None:
    store, box = module.session.drafts, module.ui.unsentBox
    for number, address in enumerate(("http://one:8000", "http://two:8000")):
        draft = Draft(address, "case_007", "label.nii.gz", [], 1.0, False, saved_at=float(number))
        store.prepare(draft).write_bytes(b"label")
        store.keep(draft)
    module.panel.refresh()
    assert [box.itemText(i) for i in range(2)] == ["case_007 (http://one:8000)", "case_007 (http://two:8000)"]
    assert "http://one:8000, http://two:8000" in module.ui.unsentLabel.text
    first = box.toolTip
    box.setCurrentIndex(1)
    assert box.toolTip != first


def test_what_was_sent_is_not_said_to_want_a_connection(at_work: object, wait: Callable) -> None:
    at_work.ui.submitButton.click()
    wait(lambda: at_work.session.state.phase == "sent")
    assert at_work.ui.submitButton.toolTip.startswith("This label has arrived")


def test_a_module_that_was_closed_follows_no_other_module(
    scene: object, server: StubServer, wait: Callable
) -> None:
    stock = slicer.modules.MONAILabelWidget = StockWidget(server.url)
    try:
        module = panel_bench.open_module()
        panel_bench.connect(module, server.url, wait)
        panel_bench.close_module(module)
        asked = len(server.requests)
        stock.ui.nextSampleButton.click()
        stock.ui.saveLabelButton.click()
        pass_time(wait, 0.2)
    finally:
        del slicer.modules.MONAILabelWidget
    assert module.session.state.case is None
    assert len(server.requests) == asked


def test_slicers_settings_are_written_once_not_at_every_answer(
    module: object, server: StubServer, wait: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, written = slicer.app.userSettings(), []
    write = settings.setValue
    monkeypatch.setattr(settings, "setValue", lambda key, value: (written.append(key), write(key, value)))
    panel_bench.connect(module, server.url, wait)
    asked = server.requests.count("GET /sufficiency/")
    wait(lambda: server.requests.count("GET /sufficiency/") > asked + 3)
    assert sorted(written) == ["DataSufficiency/serverAddress", "DataSufficiency/serverHistory"]


# Labels in doubt ----------------------------------------------------------------------------------


@pytest.fixture
def doubtful(connected: object, server: StubServer, wait: Callable) -> object:
    server.checks = [
        {"image": name, "sentence": "Posterior is far smaller than in other cases."}
        for name in ("case_003", "case_007")
    ]
    wait(lambda: connected.ui.doubtRow.isVisible())
    return connected


def test_a_label_in_doubt_can_be_confirmed(doubtful: object, server: StubServer, wait: Callable) -> None:
    ui = doubtful.ui
    ui.doubtBox.setCurrentIndex(1)
    ui.confirmButton.click()
    wait(lambda: ui.doubtBox.count == 1)
    assert server.notes == [("case_007", {"confirmed": True})]
    assert "case_003" in ui.doubtsLabel.text
    server.checks = []
    wait(lambda: not ui.doubtRow.isVisible())


def test_odd_files_on_the_server_are_told_without_a_button(
    connected: object, server: StubServer, wait: Callable
) -> None:
    ui, odd = (
        connected.ui,
        [{"image": "a", "sentence": "a.nrrd is the label in use; a.nii.gz beside it is not."}],
    )
    server.handlers["GET", "/sufficiency/"] = lambda handler: handler.answer(
        {**sufficiency(12), "files": odd}
    )
    wait(lambda: "a.nii.gz beside it is not" in ui.doubtsLabel.text)
    assert "Left out" not in ui.doubtsLabel.text and "in doubt" not in ui.glanceNote.text
    assert not ui.doubtRow.isVisible()


def test_a_second_click_confirms_no_other_label(doubtful: object, server: StubServer, wait: Callable) -> None:
    ui = doubtful.ui
    ui.doubtBox.setCurrentIndex(1)
    ui.confirmButton.click()
    assert not ui.confirmButton.enabled, "the answer is not there yet"
    wait(lambda: ui.doubtBox.count == 1)
    ui.confirmButton.click()
    pass_time(wait, 0.3)
    assert server.notes == [("case_007", {"confirmed": True})]
    assert (ui.doubtBox.currentIndex, ui.confirmButton.enabled, ui.reopenButton.enabled) == (-1, False, False)
    ui.doubtBox.setCurrentIndex(0)
    assert ui.confirmButton.enabled and ui.reopenButton.enabled


def test_a_doubt_that_cannot_be_confirmed_is_told_in_the_servers_words(
    doubtful: object, server: StubServer, wait: Callable
) -> None:
    reason = "This cannot be confirmed, only corrected."
    route = ("POST", "/sufficiency/case/case_003")
    server.handlers[route] = lambda handler: handler.answer({"detail": reason}, 409)
    doubtful.ui.confirmButton.click()
    wait(lambda: reason in doubtful.ui.caseStatus.text)
    assert doubtful.ui.confirmButton.enabled


def test_a_label_in_doubt_can_be_looked_at_again(
    doubtful: object, server: StubServer, wait: Callable, image_file: Path, tmp_path: Path
) -> None:
    server.prediction = label_file(image_file, tmp_path, {1: slice(2, 6), 2: slice(8, 10)})
    doubtful.ui.doubtBox.setCurrentIndex(1)
    doubtful.ui.reopenButton.click()
    wait(lambda: doubtful.session.state.phase == "open")
    assert doubtful.ui.caseLabel.text == "case_007"
    assert doubtful.session.nodes.drawn_on
    paint_all(doubtful.session)
    assert not doubtful.ui.reopenButton.enabled, "a drawing would be lost"
    doubtful.ui.submitButton.click()
    wait(lambda: doubtful.session.state.phase == "sent")
    assert "minutes" not in doubtful.ui.caseStatus.text
    assert doubtful.ui.reopenButton.enabled


# Numbers ------------------------------------------------------------------------------------------


def test_a_forecast_says_for_how_many_cases_in_all_it_is(connected: object) -> None:
    table = connected.ui.worthTable
    assert [panel_bench.read(table.item(row, 1).toolTip()).split(";")[0] for row in range(3)] == [
        f"with {n} cases in all" for n in (7, 11, 12)
    ]


def test_a_loss_too_small_to_be_seen_has_no_sign_of_its_own() -> None:
    assert gain_text(Interval(-0.0004, -0.0003, 0.012)) == "0.0 (0.0 to 1.2)"


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.0, "under 1 %"), (0.004, "under 1 %"), (0.6, "60 %"), (0.996, "over 99 %"), (1.0, "over 99 %")],
)
def test_nothing_is_said_to_be_certain(share: float, said: str) -> None:
    curve = Curve("", None, (ForecastRow(1, 7, None, None, share, None),), 1 - share)
    ahead, target = table_rows(curve, Target(0.85, share, None, None, None, share))
    assert ahead.tip == f"with 7 cases in all; {said} chance of at least one point"
    assert target.tip == (
        f"{said} chance that it is reached already; {said} chance that no number of cases reaches it"
    )
    assert prior_text(curve).startswith(f"{said} of this forecast rests on your own cases")


def test_coverage_speaks_of_the_cases_that_were_looked_at() -> None:
    words = coverage_text(Coverage(0, 24, ()))
    assert words.startswith("Unlabelled cases looked at: 24. All resemble")


# The server's texts -------------------------------------------------------------------------------

MARKUP = "<b>1</b> & <img src=x>"


@pytest.fixture
def hostile(module: object, server: StubServer, wait: Callable) -> object:
    """Connected to a server whose names and sentences look like markup."""
    answer = json.dumps(sufficiency(6))
    for text in ("genda", "GenDA", "Bends your cases into new shapes of the same kind."):
        answer = answer.replace(json.dumps(text), json.dumps(MARKUP))
    doubts = [{"image": MARKUP, "sentence": MARKUP}]
    server.handlers["GET", "/sufficiency/"] = lambda handler: handler.answer(
        {**json.loads(answer), "doubts": doubts}
    )
    server.choices = {"random": MARKUP}
    panel_bench.connect(module, server.url, wait)
    return module


def test_only_labels_with_texts_of_our_own_may_read_markup(hostile: object) -> None:
    hostile.session.state.questions = (Question("structures", "", MARKUP),)
    hostile.panel.refresh()
    assert MARKUP in hostile.ui.doubtsLabel.text
    labels = hostile.parent.findChildren(qt.QLabel)
    ours = {"addressLabel", "chooseLabel", "questionTitle", "plotKey", "structureLabel", "targetLabel"}
    assert {label.objectName for label in labels if label.textFormat != qt.Qt.PlainText} == ours


def test_tooltips_show_the_servers_texts_as_they_stand(
    hostile: object, server: StubServer, wait: Callable
) -> None:
    ui = hostile.ui
    assert MARKUP in panel_bench.read(ui.strategyTable.item(0, 0).toolTip())
    assert panel_bench.read(ui.ruleBox.itemData(0, qt.Qt.ToolTipRole)) == MARKUP
    route = ("POST", "/sufficiency/update")
    server.handlers[route] = lambda handler: handler.answer({"detail": MARKUP}, 409)
    ui.measureButton.click()
    wait(lambda: MARKUP in panel_bench.read(ui.caseStatus.toolTip))


def test_a_name_cannot_turn_around_what_stands_beside_it_and_is_sent_back_as_it_came(
    module: object, server: StubServer, wait: Callable
) -> None:
    name, shown = "case\u202e7\x07", "case\ufffd7\ufffd"
    server.checks = [{"image": name, "sentence": f"{name} is odd."}]
    panel_bench.connect(module, server.url, wait)
    ui = module.ui
    wait(lambda: ui.doubtBox.count == 1)
    assert ui.doubtBox.itemText(0) == shown
    assert f"{shown}: {shown} is odd." in ui.doubtsLabel.text
    ui.confirmButton.click()
    wait(lambda: f"POST /sufficiency/case/{quote(name)}" in server.requests)


def test_dialogs_show_the_servers_names_as_they_stand(
    module: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, asked = module.session.drafts, []
    draft = Draft("http://one:8000", MARKUP, "label.nii.gz", [], 1.0, False)
    store.prepare(draft).write_bytes(b"label")
    store.keep(draft)
    module.panel.refresh()
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", asked.append)
    module.ui.discardButton.click()
    assert MARKUP in panel_bench.read(asked[0])


# Names and tips -----------------------------------------------------------------------------------


def test_everything_to_press_or_fill_in_says_what_it_does(module: object) -> None:
    kinds = (qt.QAbstractButton, qt.QComboBox, qt.QSpinBox, qt.QLineEdit)
    ours = {name: widget for name, widget in vars(module.ui).items() if isinstance(widget, kinds)}
    hidden = {"unsentBox"}  # tells where the chosen label lies, once there is one
    assert [name for name, widget in ours.items() if not widget.toolTip and name not in hidden] == []


def test_a_screen_reader_has_a_name_for_every_field(module: object) -> None:
    kinds = (qt.QComboBox, qt.QSpinBox, qt.QLineEdit, qt.QTableWidget, qt.QProgressBar)
    labelled = {label.buddy() for label in module.parent.findChildren(qt.QLabel)}
    fields = {name: widget for name, widget in vars(module.ui).items() if isinstance(widget, kinds)}
    assert [n for n, field in fields.items() if not field.accessibleName and field not in labelled] == []
