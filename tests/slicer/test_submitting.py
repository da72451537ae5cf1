"""A label on its way to the server: nothing is sent twice, nothing is lost."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import qt
import slicer
from DataSufficiencyLib.label_questions import Answers
from DataSufficiencyLib.session import Session
from session_bench import HandClock, label_values, new_session, paint
from session_fixtures import at_work, clock, connected, quick, session
from stub_server import StubServer, break_off

__all__ = ["at_work", "clock", "connected", "quick", "session"]


def test_a_submitted_label_arrives_whole(
    at_work: Session, server: StubServer, wait: object, tmp_path: Path
) -> None:
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "sent")
    (saved,) = server.saved
    assert (saved["image"], saved["tag"], saved["file_name"]) == ("case_007", "final", "label.nii.gz")
    assert saved["params"]["label_info"] == [{"name": "anterior", "idx": 1}, {"name": "posterior", "idx": 2}]
    assert saved["params"]["client_id"] == "radiologist"
    assert np.unique(label_values(saved["content"], tmp_path)).tolist() == [0, 1, 2]
    assert at_work.submission.waiting() == []


def test_the_forecast_is_new_after_a_label(at_work: Session, wait: object) -> None:
    at_work.cases.submit()
    wait(lambda: at_work.state.sufficiency.n_labelled == 7)


def test_minutes_and_blindness_follow_the_label(
    at_work: Session, server: StubServer, wait: object, clock: HandClock
) -> None:
    for _ in range(10):
        clock.seconds += 30
        paint(at_work.nodes, "anterior")
    clock.seconds += 3600  # a long telephone call
    paint(at_work.nodes, "anterior")
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "sent")
    assert server.notes == [("case_007", {"minutes": 5.0, "blind": False})]


def test_the_label_checks_answers_are_shown(at_work: Session, server: StubServer, wait: object) -> None:
    server.checks = [{"image": "case_007", "sentence": "Posterior is far smaller than in other cases."}]
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "sent")
    assert "far smaller" in at_work.state.notice.text
    assert at_work.state.notice.level == "warning"


def test_submitting_twice_sends_once(at_work: Session, server: StubServer, wait: object) -> None:
    server.delay = 0.2
    for _ in range(5):
        at_work.cases.submit()
        slicer.app.processEvents()
    wait(lambda: at_work.state.phase == "sent")
    at_work.cases.submit()
    assert at_work.state.phase == "sent"
    assert len([r for r in server.requests if r.startswith("PUT")]) == 1


def test_a_corrected_label_can_be_sent_again(at_work: Session, server: StubServer, wait: object) -> None:
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "sent")
    paint(at_work.nodes, "anterior", 2, 4)
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "sent" and len(server.saved) == 2)


def test_a_refused_label_is_kept_with_the_servers_reason(
    at_work: Session, server: StubServer, wait: object
) -> None:
    reason = "The label has 3 slices, the image 8."
    server.handlers["PUT", "/datastore/label"] = lambda handler: handler.answer({"detail": reason}, 422)
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "open")
    assert reason in at_work.state.notice.text
    assert len(at_work.submission.waiting()) == 1


def test_a_server_without_classes_learns_them_from_the_first_label(
    session: Session, server: StubServer, wait: object
) -> None:
    server.labels = {}
    session.connection.connect(server.url)
    wait(lambda: session.state.phase == "ready")
    session.cases.next_case("random")
    wait(lambda: session.state.phase == "open")
    session.cases.submit()
    assert "Nothing is drawn" in session.state.notice.text
    session.nodes.segmentation.GetSegmentation().AddEmptySegment("kidney", "kidney")
    paint(session.nodes, "kidney")
    session.cases.submit()
    assert [question.kind for question in session.state.questions] == ["structures"]
    session.cases.submit(Answers(accepted_structures=True))
    wait(lambda: session.state.phase == "sent" and session.state.info.labels == {"kidney": 1})
    session.cases.next_case("random")
    wait(lambda: session.state.phase == "open")
    assert session.nodes.segmentation.GetSegmentation().GetSegment("kidney") is not None


def test_a_first_model_is_noticed_after_training(session: Session, server: StubServer, wait: object) -> None:
    server.model = False
    session.connection.connect(server.url)
    wait(lambda: session.state.phase == "ready")
    assert session.state.info.models == ()
    session.training.start("segmentation", "genda")
    wait(lambda: session.state.training.running)
    server.model = True
    server.training = {**server.training, "status": "DONE"}
    wait(lambda: session.state.info.models == ("segmentation",))


def test_questions_come_before_sending(at_work: Session, server: StubServer, wait: object) -> None:
    at_work.nodes.segmentation.GetSegmentation().AddEmptySegment("scratch", "scratch")
    paint(at_work.nodes, "scratch", 15, 17)
    at_work.cases.submit()
    assert [q.kind for q in at_work.state.questions] == ["unknown"]
    assert at_work.state.phase == "open"
    at_work.cases.submit(Answers({"scratch": None}))
    wait(lambda: at_work.state.phase == "sent")
    assert at_work.state.questions == ()


def test_a_label_that_did_not_arrive_is_kept_and_sent_again(
    at_work: Session, server: StubServer, wait: object, tmp_path: Path
) -> None:
    port, image = server.server_port, server.image
    server.stop()
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "open")
    assert "kept on this computer" in at_work.state.notice.text
    (draft,) = at_work.submission.waiting()
    back = StubServer(image=image, port=port).start()
    at_work.submission.resend(draft)
    wait(lambda: at_work.state.phase == "sent")
    assert np.unique(label_values(back.saved[0]["content"], tmp_path)).tolist() == [0, 1, 2]
    assert at_work.submission.waiting() == []
    back.stop()


def test_a_kept_label_outlives_a_restart(
    at_work: Session, server: StubServer, wait: object, tmp_path: Path
) -> None:
    server.handlers["PUT", "/datastore/label"] = lambda handler: handler.answer({}, 503)
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "open")
    at_work.close()
    slicer.mrmlScene.Clear(0)
    server.handlers.clear()
    later = new_session(tmp_path / "drafts")
    assert [draft.image_id for draft in later.submission.waiting()] == ["case_007"]
    later.connection.connect(server.url)
    wait(lambda: later.state.phase == "ready")
    later.submission.resend(later.submission.waiting()[0])
    wait(lambda: server.saved and not later.submission.busy)
    assert server.saved[0]["image"] == "case_007"
    assert later.submission.waiting() == []
    later.close()


def test_a_kept_label_goes_to_its_own_server_only(at_work: Session, server: StubServer, wait: object) -> None:
    server.handlers["PUT", "/datastore/label"] = lambda handler: handler.answer({}, 503)
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "open")
    other = StubServer(image=server.image).start()
    at_work.connection.connect(other.url)
    wait(lambda: at_work.state.phase == "ready")
    assert at_work.submission.waiting() == []
    other.stop()


def test_kept_labels_are_readable_by_their_owner_alone(
    at_work: Session, server: StubServer, wait: object, tmp_path: Path
) -> None:
    server.handlers["PUT", "/datastore/label"] = lambda handler: handler.answer({}, 503)
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "open")
    files = [path for path in (tmp_path / "drafts").rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["draft.json", "label.nii.gz"]
    assert {path.stat().st_mode & 0o077 for path in files} == {0}


def test_a_case_deleted_on_the_server_keeps_its_label_here(
    at_work: Session, server: StubServer, wait: object
) -> None:
    server.cases.remove("case_007")
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "open")
    assert "no longer has this case" in at_work.state.notice.text
    (draft,) = at_work.submission.waiting()
    assert draft.case_gone
    at_work.submission.discard(draft)
    assert at_work.submission.waiting() == []


def test_minutes_that_did_not_arrive_are_sent_without_the_label(
    at_work: Session, server: StubServer, wait: object
) -> None:
    route = ("POST", "/sufficiency/case/case_007")
    server.handlers[route] = lambda handler: break_off(handler.connection)
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "sent")
    assert "the minutes it took did not" in at_work.state.notice.text
    server.handlers.clear()
    at_work.submission.resend(at_work.submission.waiting()[0])
    wait(lambda: not at_work.submission.busy)
    assert len(server.saved) == 1
    assert len(server.notes) == 1


def test_closing_the_scene_while_sending_loses_nothing(
    at_work: Session, server: StubServer, wait: object
) -> None:
    server.delay = 0.3
    at_work.cases.submit()
    slicer.mrmlScene.Clear(0)
    assert at_work.state.phase == "sending"
    wait(lambda: at_work.state.phase == "ready")
    assert len(server.saved) == 1
    assert "has arrived" in at_work.state.notice.text


def test_closing_the_scene_while_fetching_stops_it(
    connected: Session, server: StubServer, wait: object
) -> None:
    server.delay = 0.2
    connected.cases.next_case("random")
    slicer.mrmlScene.Clear(0)
    assert connected.state.phase == "ready"
    started = time.monotonic()
    wait(lambda: time.monotonic() - started > 0.6)
    assert not connected.nodes.alive
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0


@pytest.mark.parametrize("which", ["image", "segmentation"])
def test_a_deleted_node_is_said_and_the_next_case_works(at_work: Session, wait: object, which: str) -> None:
    slicer.mrmlScene.RemoveNode(getattr(at_work.nodes, which))
    assert at_work.state.phase == "ready"
    assert "case_007" in at_work.state.notice.text
    at_work.cases.submit()
    at_work.cases.next_case("random")
    wait(lambda: at_work.state.phase == "open")


def test_drawing_on_while_the_label_is_on_its_way_is_a_new_edit(
    at_work: Session, server: StubServer, wait: object
) -> None:
    server.delay = 0.2
    at_work.cases.submit()
    paint(at_work.nodes, "anterior", 2, 9)
    wait(lambda: at_work.state.phase == "open")
    assert at_work.state.edited
    at_work.cases.next_case("random")
    assert at_work.state.waiting_rule == "random"


def test_the_window_ticks_through_a_slow_submission(
    at_work: Session, server: StubServer, wait: object
) -> None:
    """The server takes 2.5 s for each of two answers; a 10 ms timer goes on meanwhile."""
    server.delay = 2.5
    gaps: list[int] = []
    watch = qt.QElapsedTimer()
    timer = qt.QTimer()
    timer.setInterval(10)
    timer.timeout.connect(lambda: gaps.append(watch.restart()))
    at_work.cases.submit()
    watch.start()
    timer.start()
    wait(lambda: at_work.state.phase == "sent", 20)
    timer.stop()
    assert len(gaps) > 250
    assert max(gaps) < 5000
    assert len(server.saved) == 1
