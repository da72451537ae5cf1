"""The panel as a person uses it: real `.ui`, real buttons, real scene, a server of our own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import chart_picture
import numpy as np
import panel_bench
import pytest
import qt
import slicer
import slicer.util
from DataSufficiencyLib.forecast_watch import ForecastWatch
from DataSufficiencyLib.training import TrainingWatch
from session_bench import label_file, label_values, paint
from stub_server import StubServer


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ForecastWatch, "BUSY_S", 0.1)
    monkeypatch.setattr(ForecastWatch, "CALM_S", 0.3)
    monkeypatch.setattr(TrainingWatch, "EVERY_S", 0.05)
    monkeypatch.setattr(chart_picture, "can_render", lambda: False)


def table_texts(table: object) -> list[list[str]]:
    cells = [[table.item(row, c).text() for c in range(table.columnCount)] for row in range(table.rowCount)]
    return [[text.replace("\u00a0", " ") for text in row] for row in cells]


def test_without_a_server_only_the_connection_can_be_tested(module: object) -> None:
    ui = module.ui
    kind = qt.QAbstractButton
    buttons = [w for w in vars(ui).values() if isinstance(w, kind) and w.isVisible() and w.enabled]
    assert buttons == [ui.connectButton]
    assert "Connect to a server" in ui.adviceLabel.text


def test_every_widget_of_the_ui_file_is_reached_by_name(module: object) -> None:
    names = [
        "serverAddress",
        "connectButton",
        "segmentEditor",
        "worthTable",
        "plotHolder",
        "coverageTable",
        "questionHolder",
    ]
    assert [name for name in names if not hasattr(module.ui, name)] == []


def test_connecting_fills_the_panel(connected: object) -> None:
    ui = connected.ui
    assert "6 of 60" in ui.serverStatus.text
    assert [ui.ruleBox.itemText(i) for i in range(ui.ruleBox.count)] == [
        "random",
        "most unlike first",
    ]
    assert ui.adviceLabel.text == "Please label 5 more cases, then look again."
    assert ui.reasonLabel.text.startswith("The server says: 5 more cases of this kind raise the Dice")
    rows = table_texts(ui.worthTable)
    assert [row[0] for row in rows] == ["+1", "+5", "+6", "+10", "+19 (6 to 136)"]
    assert rows[1][2].startswith("+5.2 (2.5 to ")
    assert rows[1][3] == "1 h 30 min"
    assert rows[-1][1] == "target 85"
    assert panel_bench.said(ui.priorLabel).startswith("60 % of this forecast rests on your own cases")
    assert ui.strategySummary.text == "With GenDA your 6 cases work like 10 (7 to 13)."
    assert "looked at: 24. Outside what has been labelled so far: 7." in ui.coverageLabel.text


def test_a_strategys_tip_says_against_what_and_on_how_many_cases(connected: object) -> None:
    table = connected.ui.strategyTable
    tips = [panel_bench.read(table.item(row, 0).toolTip()) for row in range(table.rowCount)]
    summary = connected.ui.strategySummary.text
    assert tips[0] == (
        f"{summary} Bends your cases into new shapes of the same kind. Compared on 6 test cases. "
        "Surface Dice, in points: +3.0 (1.0 to 5.0)."
    )
    assert "Surface" not in tips[1]
    assert "Compared" not in tips[1], "the server does not say on how many"
    assert "against the session's own strategy" in table.horizontalHeader().toolTip


def test_two_cases_say_what_is_missing(connected: object, server: StubServer, wait: Callable) -> None:
    server.n = 2
    wait(lambda: connected.session.state.sufficiency.n_labelled == 2)
    assert "2 more" in connected.ui.adviceLabel.text
    assert not connected.ui.worthTable.isVisible()
    assert not connected.ui.plotHolder.isVisible()


def test_a_failure_is_told_in_plain_words_with_the_reason_as_tooltip(
    module: object, server: StubServer, wait: Callable
) -> None:
    server.stop()
    module.ui.serverAddress.setCurrentText(server.url)
    module.ui.connectButton.click()
    wait(
        lambda: (
            module.session.state.phase == "disconnected" and module.session.state.connection.level != "info"
        )
    )
    assert "Nothing answers at this address" in module.ui.serverStatus.text
    assert "unreachable" in module.ui.serverStatus.toolTip


def test_a_forecast_that_fails_later_is_said(connected: object, server: StubServer, wait: Callable) -> None:
    server.handlers["GET", "/sufficiency/"] = lambda handler: handler.answer({}, 500)
    connected.session.forecast.ask()
    wait(lambda: "failed inside" in connected.ui.serverStatus.text)
    server.handlers["GET", "/sufficiency/"] = lambda handler: handler.answer({}, 401)
    connected.session.forecast.ask()
    wait(lambda: connected.ui.signInRow.isVisible())
    assert "Please sign in" in connected.ui.serverStatus.text


def test_the_address_is_remembered_only_when_it_worked(connected: object, server: StubServer) -> None:
    assert slicer.app.userSettings().value("DataSufficiency/serverAddress") == server.url


def test_nothing_secret_is_stored(
    module: object, server: StubServer, wait: Callable, private_settings: Path
) -> None:
    server.handlers["GET", "/info/"] = lambda handler: handler.answer({}, 401)
    server.handlers["POST", "/auth/token"] = lambda handler: handler.answer({"access_token": "t0ken"})
    module.ui.serverAddress.setCurrentText(server.url)
    module.ui.connectButton.click()
    wait(lambda: module.ui.signInRow.isVisible())
    module.ui.userEdit.setText("doctor")
    module.ui.passwordEdit.setText("s3cret")
    module.ui.signInButton.click()
    assert module.ui.passwordEdit.text == ""
    wait(lambda: len([r for r in server.requests if r == "GET /info/"]) == 2)
    slicer.app.userSettings().sync()
    stored = "".join(
        path.read_text(errors="replace") for path in private_settings.rglob("*") if path.is_file()
    )
    scene_text = slicer.mrmlScene.GetFirstNodeByClass(
        "vtkMRMLScriptedModuleNode"
    ).GetParameterNamesAsCommaSeparatedList()
    assert not [word for word in ("s3cret", "t0ken", "doctor") if word in stored + str(scene_text)]


def test_an_open_address_elsewhere_is_warned_about(module: object) -> None:
    module.ui.serverAddress.setCurrentText("http://pacs.example.org:8000")
    assert "not encrypted" in module.ui.privacyNote.text
    for fine in ("https://pacs.example.org", "http://127.0.0.1:8000", "http://localhost:8000"):
        module.ui.serverAddress.setCurrentText(fine)
        assert module.ui.privacyNote.text == ""


def test_a_blind_case_is_marked_and_its_segmentation_withheld(
    connected: object, server: StubServer, wait: Callable
) -> None:
    server.blind = True
    connected.ui.nextButton.click()
    wait(lambda: connected.session.state.phase == "open")
    assert connected.ui.blindFrame.isVisible()
    assert "withheld, because" in connected.ui.blindLabel.text
    assert not connected.ui.predictionButton.isVisible()


def test_the_segment_editor_works_on_the_case_with_slicers_own_node(at_work: object) -> None:
    editor = at_work.ui.segmentEditor
    assert editor.segmentation is at_work.session.nodes.segmentation
    assert editor.source is at_work.session.nodes.image
    assert editor.editor_node is slicer.mrmlScene.GetSingletonNode(
        "SegmentEditor", "vtkMRMLSegmentEditorNode"
    )


def test_the_editor_is_kept_as_slicers_own_module_keeps_it(connected: object) -> None:
    from qSlicerSegmentationsEditorEffectsPythonQt import qSlicerSegmentEditorEffectFactory

    editor = connected.ui.segmentEditor
    assert editor.undo_states == 10
    before = editor.effect_lists
    qSlicerSegmentEditorEffectFactory().instance().effectRegistered.emit("Local Threshold")
    assert editor.effect_lists == before + 1
    connected.exit()
    editor.lightboxes = True
    connected.enter()
    assert not editor.lightboxes
    assert "show one each" in connected.ui.caseStatus.text


def test_editor_and_plot_come_back_after_other_modules_used_theirs(at_work: object) -> None:
    editor, scene = at_work.ui.segmentEditor, slicer.mrmlScene
    at_work.exit()
    editor.setSegmentationNode(scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "another"))
    at_work.enter()
    assert editor.segmentation is at_work.session.nodes.segmentation
    view = at_work.panel.worth.plot.view.mrmlPlotViewNode()
    ours, other = view.GetPlotChartNodeID(), scene.AddNewNodeByClass("vtkMRMLPlotChartNode", "another")
    slicer.app.applicationLogic().GetSelectionNode().SetActivePlotChartID(other.GetID())
    slicer.app.applicationLogic().PropagatePlotChartSelection()
    assert view.GetPlotChartNodeID() == ours


def test_a_case_of_another_server_is_asked_about_before_it_is_sent(
    at_work: object, server: StubServer, wait: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = StubServer(image=server.image).start()
    at_work.ui.serverAddress.setCurrentText(other.url)
    at_work.ui.connectButton.click()
    wait(lambda: at_work.session.cases.from_elsewhere)
    assert "another server" in at_work.ui.caseStatus.text
    answers = iter([False, True])
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda _text: next(answers))
    at_work.ui.submitButton.click()
    assert at_work.session.cases.from_elsewhere
    at_work.ui.submitButton.click()
    wait(lambda: at_work.session.state.phase == "sent")
    assert (len(server.saved), len(other.saved)) == (0, 1)
    other.stop()


def test_a_round_from_next_to_a_new_forecast(
    at_work: object, server: StubServer, wait: Callable, tmp_path: Path
) -> None:
    at_work.ui.submitButton.click()
    wait(lambda: at_work.session.state.phase == "sent" and at_work.session.state.sufficiency.n_labelled == 7)
    assert "has arrived" in at_work.ui.caseStatus.text
    assert "7 of 60" in at_work.ui.serverStatus.text
    assert np.unique(label_values(server.saved[0]["content"], tmp_path)).tolist() == [0, 1, 2]


def test_two_clicks_on_submit_send_one_label(at_work: object, server: StubServer, wait: Callable) -> None:
    server.delay = 0.2
    for _ in range(3):
        at_work.ui.submitButton.click()
    assert not at_work.ui.submitButton.enabled
    wait(lambda: at_work.session.state.phase == "sent")
    at_work.ui.submitButton.click()
    assert len(server.saved) == 1


def test_questions_are_asked_in_the_panel(
    at_work: object, server: StubServer, wait: Callable, tmp_path: Path
) -> None:
    inner = at_work.session.nodes.segmentation.GetSegmentation()
    inner.GetSegment("anterior").SetName("Anterior ")
    inner.RemoveSegment("posterior")
    ui = at_work.ui
    ui.submitButton.click()
    assert ui.questionFrame.isVisible()
    assert not ui.sendButton.enabled
    box = ui.questionFrame.findChildren(qt.QComboBox)[0]
    assert box.currentText == "it is anterior"
    ui.questionFrame.findChildren(qt.QCheckBox)[0].setChecked(True)
    assert ui.sendButton.enabled
    ui.sendButton.click()
    wait(lambda: at_work.session.state.phase == "sent")
    assert np.unique(label_values(server.saved[0]["content"], tmp_path)).tolist() == [0, 1]
    assert not ui.questionFrame.isVisible()


def test_going_back_from_the_questions_sends_nothing(at_work: object, server: StubServer) -> None:
    at_work.session.nodes.segmentation.GetSegmentation().RemoveSegment("posterior")
    at_work.ui.submitButton.click()
    at_work.ui.backButton.click()
    assert not at_work.ui.questionFrame.isVisible()
    assert at_work.ui.submitButton.enabled
    assert server.saved == []


def test_an_unsent_label_is_offered_after_a_restart(
    at_work: object, server: StubServer, wait: Callable, scene: object
) -> None:
    server.handlers["PUT", "/datastore/label"] = lambda handler: handler.answer({}, 503)
    at_work.ui.submitButton.click()
    wait(lambda: at_work.session.state.phase == "open")
    assert at_work.ui.unsentFrame.isVisible()
    panel_bench.close_module(at_work)
    slicer.mrmlScene.Clear(0)
    server.handlers.clear()
    again = panel_bench.open_module()
    assert again.ui.unsentFrame.isVisible()
    assert server.url in again.ui.unsentLabel.text
    assert not again.ui.resendButton.enabled
    again.ui.connectButton.click()
    wait(lambda: again.session.state.phase == "ready")
    again.ui.resendButton.click()
    wait(lambda: not again.session.submission.busy and server.saved)
    assert server.saved[0]["image"] == "case_007"
    assert not again.ui.unsentFrame.isVisible()
    panel_bench.close_module(again)


def test_discarding_asks_once_more(
    at_work: object, server: StubServer, wait: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.handlers["PUT", "/datastore/label"] = lambda handler: handler.answer({}, 503)
    at_work.ui.submitButton.click()
    wait(lambda: at_work.session.state.phase == "open")
    answers = iter([False, True])
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda _text: next(answers))
    at_work.ui.discardButton.click()
    assert at_work.ui.unsentFrame.isVisible()
    at_work.ui.discardButton.click()
    assert not at_work.ui.unsentFrame.isVisible()


def test_next_with_unsent_edits_asks_inside_the_panel(
    at_work: object, server: StubServer, wait: Callable
) -> None:
    at_work.ui.nextButton.click()
    assert at_work.ui.waitingFrame.isVisible()
    at_work.ui.submitFirstButton.click()
    wait(lambda: at_work.session.state.phase == "sent")
    assert not at_work.ui.waitingFrame.isVisible()
    assert len(server.saved) == 1


def test_the_prediction_is_a_button_away(
    connected: object, server: StubServer, wait: Callable, image_file: Path, tmp_path: Path
) -> None:
    server.prediction = label_file(image_file, tmp_path, {1: slice(2, 6), 2: slice(8, 10)})
    connected.ui.nextButton.click()
    wait(lambda: connected.session.state.phase == "open")
    connected.ui.predictionButton.click()
    wait(lambda: not connected.session.state.filling)
    paint(connected.session.nodes, "anterior")
    assert not connected.ui.predictionButton.enabled


def test_a_structure_is_chosen_and_stays_chosen(connected: object, wait: Callable) -> None:
    ui = connected.ui
    before = table_texts(ui.worthTable)
    ui.structureBox.setCurrentIndex(2)
    after = table_texts(ui.worthTable)
    assert after[0] != before[0]
    assert len(after) == len(before) - 1
    first = connected.session.state.sufficiency
    wait(lambda: connected.session.state.sufficiency is not first)
    assert ui.structureBox.currentText == "posterior"
    assert table_texts(ui.worthTable) == after


def test_a_reached_target_says_stop(connected: object, wait: Callable) -> None:
    connected.ui.targetSpin.setValue(60)
    connected.ui.targetButton.click()
    wait(lambda: "is reached" in connected.ui.adviceLabel.text)


def test_a_target_can_be_taken_back_and_set_again(
    connected: object, server: StubServer, wait: Callable
) -> None:
    ui = connected.ui
    ui.targetSpin.setValue(60)
    ui.clearTargetButton.click()
    wait(lambda: server.target is None and not ui.clearTargetButton.enabled)
    assert "target 85" not in [row[1] for row in table_texts(ui.worthTable)]
    server.target = 0.85
    wait(lambda: ui.clearTargetButton.enabled)
    assert ui.targetSpin.value == 85


def test_a_running_computation_is_shown_with_its_time(connected: object, wait: Callable) -> None:
    connected.ui.measureButton.click()
    wait(lambda: "0 of 9 trainings" in panel_bench.said(connected.ui.stateLabel))
    assert "About 4 min left" in panel_bench.said(connected.ui.stateLabel)
    assert not connected.ui.measureButton.enabled


def test_a_measurement_can_be_stopped_where_trainings_are(
    connected: object, server: StubServer, wait: Callable
) -> None:
    ui = connected.ui
    ui.measureButton.click()
    assert not ui.measureButton.enabled, "pressed once is enough"
    assert "The measurement is being started." in panel_bench.said(ui.stateLabel)
    wait(lambda: ui.stopButton.enabled)
    assert not ui.trainButton.enabled
    assert server.requests.count("POST /sufficiency/update") == 1
    ui.stopButton.click()
    wait(lambda: ui.trainButton.enabled)
    assert server.training["status"] == "STOPPED"


def test_a_measurement_that_is_refused_can_be_asked_for_again(
    connected: object, server: StubServer, wait: Callable
) -> None:
    ui, busy = connected.ui, {"detail": "A training is running already; stop it or wait for its end."}
    route = ("POST", "/sufficiency/update")
    server.handlers[route] = lambda handler: handler.answer(busy, 429)
    server.training = {"id": "1", "status": "RUNNING", "request": {"model": "segmentation"}, "details": []}
    ui.measureButton.click()
    wait(lambda: ui.measureButton.enabled and ui.stopButton.enabled)
    assert "being started" not in ui.stateLabel.text
    del server.handlers[route]
    ui.measureButton.click()
    wait(lambda: server.job["state"] == "running")


def test_a_measurement_of_somebody_else_is_followed(
    connected: object, server: StubServer, wait: Callable
) -> None:
    assert not connected.ui.stopButton.enabled
    server.training = {"id": "1", "status": "RUNNING", "request": {"model": "learning_curve"}, "details": []}
    server.job = {"state": "running", "done": 0, "total": 9, "eta_seconds": 240}
    wait(lambda: connected.ui.stopButton.enabled)


def test_steps_come_from_the_server_and_go_back_to_it(
    connected: object, server: StubServer, wait: Callable
) -> None:
    spin = connected.ui.stepsSpin
    assert spin.value == 400
    spin.setValue(1600)
    assert server.steps == 400, "nothing is sent while a number is being typed"
    spin.editingFinished.emit()
    wait(lambda: server.steps == 1600 and connected.session.state.info.steps == 1600)
    spin.setValue(2000)
    connected.ui.trainButton.click()
    wait(lambda: connected.session.state.training.running)
    assert server.training["request"]["steps"] == 2000
    wait(lambda: server.steps == 2000)


def test_steps_that_the_server_chooses_can_be_raised_and_left_to_it_again(
    connected: object, server: StubServer, wait: Callable
) -> None:
    ui, session = connected.ui, connected.session
    server.steps = "auto"
    session.connection.connect(server.url)
    wait(lambda: ui.stepsSpin.text == "auto")
    assert ui.stepsSpin.enabled
    ui.stepsSpin.setValue(4000)
    ui.stepsSpin.editingFinished.emit()
    wait(lambda: server.steps == 4000 and session.state.info.steps == 4000)
    ui.stepsSpin.setValue(0)
    assert ui.stepsSpin.text == "auto"
    ui.trainButton.click()
    wait(lambda: session.state.training.running)
    assert server.training["request"]["steps"] == "auto"
    wait(lambda: server.steps == "auto" and session.state.info.steps == "auto")


def test_training_from_start_to_error(connected: object, server: StubServer, wait: Callable) -> None:
    ui = connected.ui
    ui.trainButton.click()
    wait(lambda: connected.session.state.training.running)
    assert ui.stopButton.enabled
    assert not ui.trainButton.enabled
    server.train_stats = {"segmentation": {"epoch": 1, "total_epochs": 2}}
    wait(lambda: ui.trainingProgress.value == 50)
    server.training = {**server.training, "status": "ERROR", "details": ["RuntimeError: CUDA out of memory"]}
    wait(lambda: "out of memory" in ui.trainingStatus.text)
    assert ui.trainButton.enabled


def test_the_window_ticks_while_the_server_takes_its_time(
    at_work: object, server: StubServer, wait: Callable
) -> None:
    server.delay = 2.0
    gaps: list[int] = []
    watch, timer = qt.QElapsedTimer(), qt.QTimer()
    timer.setInterval(10)
    timer.timeout.connect(lambda: gaps.append(watch.restart()))
    at_work.ui.submitButton.click()
    watch.start()
    timer.start()
    wait(lambda: at_work.session.state.phase == "sent", 20)
    timer.stop()
    assert len(gaps) > 150
    assert max(gaps) < 1000


def test_closing_the_scene_keeps_the_panel_alive(at_work: object, wait: Callable) -> None:
    slicer.mrmlScene.Clear(0)
    assert at_work.ui.caseLabel.text == "No case is loaded"
    assert not at_work.ui.submitButton.enabled
    chart = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode")
    assert chart.GetNumberOfPlotSeriesNodes() > 0
    at_work.ui.nextButton.click()
    wait(lambda: at_work.session.state.phase == "open")


def test_leaving_the_panel_stops_asking(connected: object, server: StubServer, wait: Callable) -> None:
    connected.exit()
    started = time.monotonic()
    wait(lambda: time.monotonic() - started > 0.2)
    before = len(server.requests)
    wait(lambda: time.monotonic() - started > 0.9)
    assert len(server.requests) == before
    assert not connected.ui.segmentEditor.shortcuts
    connected.enter()
    wait(lambda: len(server.requests) > before)


def test_a_saved_scene_brings_case_and_plot_back(
    at_work: object, server: StubServer, wait: Callable, tmp_path: Path
) -> None:
    scene, path = slicer.mrmlScene, tmp_path / "scene.mrml"
    for node in (at_work.session.nodes.image, at_work.session.nodes.segmentation):
        storage = node.CreateDefaultStorageNode()
        scene.AddNode(storage)
        node.SetAndObserveStorageNodeID(storage.GetID())
        storage.SetFileName(str(tmp_path / f"{node.GetID()}.{'seg.' if 'Segm' in node.GetID() else ''}nrrd"))
        assert storage.WriteData(node)
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLTableNode")):
        node = scene.GetNthNodeByClass(index, "vtkMRMLTableNode")
        storage = node.CreateDefaultStorageNode()
        scene.AddNode(storage)
        node.SetAndObserveStorageNodeID(storage.GetID())
        storage.SetFileName(str(tmp_path / f"{node.GetID()}.tsv"))
        assert storage.WriteData(node)
    scene.SetURL(str(path))
    scene.Commit()
    panel_bench.close_module(at_work)
    assert server.url not in path.read_text()
    scene.Clear(0)
    scene.SetURL(str(path))
    scene.Connect()
    again = panel_bench.open_module()
    assert again.session.state.case.image_id == "case_007"
    charts = scene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode")
    series = scene.GetNthNodeByClass(0, "vtkMRMLPlotChartNode").GetNumberOfPlotSeriesNodes()
    assert (charts, series > 4) == (1, True)
    again.ui.connectButton.click()
    wait(lambda: again.session.state.phase == "open")
    assert not again.ui.predictionButton.isEnabled()
    again.ui.nextButton.click()
    assert again.ui.waitingFrame.isVisible()
    again.ui.stayButton.click()
    assert scene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode") == 1
    again.ui.submitButton.click()
    wait(lambda: again.session.state.phase == "sent")
    assert np.unique(label_values(server.saved[0]["content"], tmp_path)).tolist() == [0, 1, 2]
    panel_bench.close_module(again)


def test_the_modules_own_test_passes(scene: object) -> None:
    from DataSufficiency import DataSufficiencyTest

    DataSufficiencyTest().runTest()


def test_the_module_lists_itself_under_active_learning() -> None:
    from types import SimpleNamespace

    from DataSufficiency import DataSufficiency

    parent = SimpleNamespace()
    DataSufficiency(parent)
    assert parent.title == "Data Sufficiency"
    assert parent.categories == ["Active Learning"]
    assert "MONAILabel" not in parent.dependencies
    assert {"Volumes", "Segmentations", "SegmentEditor", "Plots", "Tables"} <= set(parent.dependencies)
