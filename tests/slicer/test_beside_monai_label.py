"""Beside the MONAI Label module: its settings are read, its buttons followed; without it nothing is missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import panel_bench
import pytest
import slicer
from session_bench import label_file, paint, paint_all, pass_time
from stock_widget import StockWidget
from stub_server import StubServer

from scaling_app_client.drafts import Draft


@pytest.fixture
def stock(server: StubServer, scene: object) -> Iterator[StockWidget]:
    widget = StockWidget(server.url)
    slicer.modules.MONAILabelWidget = widget
    yield widget
    del slicer.modules.MONAILabelWidget


@pytest.fixture
def module(scene: object) -> Iterator[object]:
    widget = panel_bench.open_module()
    yield widget
    panel_bench.close_module(widget)


def connect(module: object, server: StubServer, wait: Callable) -> None:
    module.ui.serverAddress.setCurrentText(server.url)
    module.ui.connectButton.click()
    wait(lambda: module.session.state.phase == "ready")


def test_its_next_sample_is_the_case_at_hand(
    stock: StockWidget, module: object, server: StubServer, wait: Callable
) -> None:
    connect(module, server, wait)
    stock.ui.nextSampleButton.click()
    assert module.session.state.case.image_id == "case_009"
    assert module.ui.blindFrame.isVisible()
    assert module.session.nodes.segmentation is stock._segmentNode
    assert "/activelearning/" not in "".join(server.requests)


def test_its_submit_sends_the_minutes_and_asks_anew(
    stock: StockWidget, module: object, server: StubServer, wait: Callable
) -> None:
    connect(module, server, wait)
    server.label_times["case_009"] = 1000
    stock.ui.nextSampleButton.click()
    wait(lambda: server.told_times)
    server.n, server.label_times["case_009"] = server.n + 1, 1001
    stock.ui.saveLabelButton.click()
    wait(lambda: server.notes and module.session.state.sufficiency.n_labelled == 7)
    assert server.notes[0][0] == "case_009"
    assert server.notes[0][1]["blind"] is True
    assert not server.saved


def submit_there(stock: StockWidget, module: object, server: StubServer, wait: Callable) -> None:
    """Draw on its next sample, and let it send the label; the server's answer about that is slow."""
    connect(module, server, wait)
    stock.ui.nextSampleButton.click()
    wait(lambda: server.told_times)
    pass_time(wait, 0.2)
    paint(module.session.nodes, "anterior", 2, 4)
    server.label_times["case_009"], server.delay = 1001, 0.3
    stock.ui.saveLabelButton.click()


def test_what_is_drawn_while_the_server_is_asked_about_its_submit_is_not_lost(
    stock: StockWidget, module: object, server: StubServer, wait: Callable
) -> None:
    submit_there(stock, module, server, wait)
    paint(module.session.nodes, "anterior", 3, 6)
    wait(lambda: server.notes and module.session.state.phase == "open")
    assert module.session.state.edited
    module.ui.nextButton.click()
    assert module.ui.waitingFrame.isVisible()


def test_nothing_is_dropped_unasked_before_the_server_has_told_of_its_submit(
    stock: StockWidget, module: object, server: StubServer, wait: Callable
) -> None:
    submit_there(stock, module, server, wait)
    module.ui.nextButton.click()
    assert module.ui.waitingFrame.isVisible()
    wait(lambda: module.session.state.phase == "sent")
    assert not module.session.state.edited


def test_minutes_that_did_not_arrive_after_its_submit_are_said_and_kept(
    stock: StockWidget, module: object, server: StubServer, wait: Callable
) -> None:
    server.handlers["POST", "/sufficiency/case/case_009"] = lambda handler: handler.answer({}, 500)
    submit_there(stock, module, server, wait)
    submission = module.session.submission
    wait(lambda: module.session.state.phase == "sent")
    assert "the minutes it took did not" in module.ui.caseStatus.text
    assert [(draft.image_id, draft.label_sent) for draft in submission.waiting()] == [("case_009", True)]
    server.handlers.clear()
    module.ui.resendButton.click()
    wait(lambda: server.notes and not submission.busy)
    assert server.notes[0][0] == "case_009" and server.notes[0][1]["blind"] is True
    assert submission.waiting() == [] and not server.saved


def test_its_submit_is_noticed_though_the_server_did_not_answer_at_first(
    stock: StockWidget, module: object, server: StubServer, wait: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    connect(module, server, wait)
    server.handlers["GET", "/datastore/label/info"] = lambda handler: handler.answer({}, 500)
    stock.ui.nextSampleButton.click()
    wait(lambda: "did not say which label" in caplog.text)
    server.handlers.clear()
    paint(module.session.nodes, "anterior", 2, 4)
    wait(lambda: server.told_times)
    pass_time(wait, 0.2)
    paint(module.session.nodes, "anterior", 2, 5)
    server.label_times["case_009"] = 1001
    stock.ui.saveLabelButton.click()
    wait(lambda: server.notes and module.session.state.phase == "sent")
    assert server.told_times[:2] == [None, 1001], "asked again once"


@pytest.mark.parametrize("silent", ["before its submit", "after its submit"])
def test_a_server_that_does_not_tell_of_its_submit_is_said_and_the_next_one_counts(
    stock: StockWidget,
    module: object,
    server: StubServer,
    wait: Callable,
    caplog: pytest.LogCaptureFixture,
    silent: str,
) -> None:
    connect(module, server, wait)
    if silent == "after its submit":
        stock.ui.nextSampleButton.click()
        wait(lambda: server.told_times)
        pass_time(wait, 0.2)
    server.handlers["GET", "/datastore/label/info"] = lambda handler: handler.answer({}, 500)
    if silent == "before its submit":
        stock.ui.nextSampleButton.click()
        wait(lambda: "did not say which label" in caplog.text)
        server.handlers.clear()
    server.label_times["case_009"] = 1001
    stock.ui.saveLabelButton.click()
    wait(lambda: "did not say whether the label of case_009 has arrived" in module.ui.caseStatus.text)
    assert server.notes == []
    server.handlers.clear()
    server.label_times["case_009"] = 1002
    stock.ui.saveLabelButton.click()
    wait(lambda: server.notes and module.session.state.phase == "sent")


def test_another_server_is_not_asked_about_its_case(
    stock: StockWidget, module: object, server: StubServer, wait: Callable
) -> None:
    other = StubServer(image=server.image).start()
    session = module.session
    draft = Draft(other.url, "case_007", "label.nii.gz", [], 1.0, False)
    session.drafts.prepare(draft).write_bytes(b"a label")
    session.drafts.keep(draft)
    connect(module, server, wait)
    stock.ui.nextSampleButton.click()
    wait(lambda: server.told_times)
    pass_time(wait, 0.2)
    connect(module, other, wait)
    module.ui.resendButton.click()
    wait(lambda: other.saved and not session.submission.busy)
    pass_time(wait, 0.2)
    assert "case_009" not in "".join(other.requests)
    other.stop()


@pytest.mark.parametrize("before", [None, 1000])
def test_its_submit_that_failed_leaves_the_drawing_unsent(
    stock: StockWidget, module: object, server: StubServer, wait: Callable, before: int | None
) -> None:
    connect(module, server, wait)
    if before is not None:
        server.label_times["case_009"] = before
    stock.ui.nextSampleButton.click()
    wait(lambda: server.told_times)
    paint(module.session.nodes, "anterior", 2, 4)
    stock.ui.saveLabelButton.click()
    wait(lambda: len(server.told_times) == 2)
    pass_time(wait, 0.2)
    assert (module.session.state.phase, module.session.state.edited, server.notes) == ("open", True, [])
    module.ui.nextButton.click()
    assert module.ui.waitingFrame.isVisible()


def test_its_submit_says_nothing_about_another_case_that_has_a_label(
    stock: StockWidget, module: object, server: StubServer, wait: Callable, image_file: Path, tmp_path: Path
) -> None:
    connect(module, server, wait)
    stock.ui.nextSampleButton.click()
    wait(lambda: server.told_times)
    pass_time(wait, 0.2)
    server.prediction = label_file(image_file, tmp_path, {1: slice(2, 6)})
    server.label_times["case_007"] = 1000
    module.session.cases.reopen("case_007")
    wait(lambda: module.session.state.phase == "open")
    paint(module.session.nodes, "anterior", 2, 4)
    stock.ui.saveLabelButton.click()
    wait(lambda: len(server.told_times) == 2)
    pass_time(wait, 0.2)
    assert (module.session.state.phase, module.session.state.edited, server.notes) == ("open", True, [])


def test_its_submit_that_failed_after_one_of_ours_leaves_the_drawing_unsent(
    stock: StockWidget, module: object, server: StubServer, wait: Callable
) -> None:
    connect(module, server, wait)
    stock.ui.nextSampleButton.click()
    wait(lambda: server.told_times)
    pass_time(wait, 0.2)
    paint_all(module.session)
    server.label_times["case_009"] = 1000
    module.ui.submitButton.click()
    wait(lambda: module.session.state.phase == "sent")
    pass_time(wait, 0.2)
    paint(module.session.nodes, "anterior", 2, 4)
    stock.ui.saveLabelButton.click()
    pass_time(wait, 0.2)
    assert (module.session.state.phase, module.session.state.edited) == ("open", True)


def test_its_next_sample_that_was_cancelled_changes_nothing(
    stock: StockWidget, module: object, server: StubServer, wait: Callable
) -> None:
    connect(module, server, wait)
    stock.ui.nextSampleButton.click()
    paint(module.session.nodes, "anterior", 2, 4)
    module._stock._after_next()
    assert module.session.state.edited


def test_another_servers_case_is_left_alone(
    stock: StockWidget, module: object, server: StubServer, wait: Callable
) -> None:
    connect(module, server, wait)
    stock._address = "http://elsewhere:8000"
    stock.ui.nextSampleButton.click()
    assert module.session.state.case is None


def test_a_module_with_other_buttons_does_no_harm(module: object, server: StubServer, wait: Callable) -> None:
    slicer.modules.MONAILabelWidget = SimpleNamespace(ui=SimpleNamespace())
    try:
        module.exit()
        module.enter()
        connect(module, server, wait)
    finally:
        del slicer.modules.MONAILabelWidget


def test_its_address_and_name_are_taken_over(scene: object) -> None:
    settings = slicer.app.userSettings()
    settings.setValue("MONAILabel/serverUrl", "http://monai:8000")
    settings.setValue("MONAILabel/clientId", "reader-2")
    module = panel_bench.open_module()
    assert module.ui.serverAddress.currentText == "http://monai:8000"
    assert "MONAI Label module" in module.ui.serverAddress.toolTip
    assert module.session.client_id == "reader-2"
    panel_bench.close_module(module)


def test_without_it_a_name_is_made_up_once(scene: object) -> None:
    names = set()
    for _ in range(2):
        module = panel_bench.open_module()
        names.add(module.session.client_id)
        panel_bench.close_module(module)
    (name,) = names
    assert name.startswith("slicer-")
