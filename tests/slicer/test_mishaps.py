"""A day on which much goes wrong: full disks, wrong passwords, refusals, classes that appear meanwhile."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util
from DataSufficiencyLib.label_questions import Answers
from DataSufficiencyLib.session import Session
from DataSufficiencyLib.states import CaseAtHand
from session_bench import label_file, label_values, paint
from session_fixtures import at_work, clock, connected, quick, session
from stub_server import StubServer, break_off

from scaling_app_client.drafts import Draft, DraftStore

__all__ = ["at_work", "clock", "connected", "quick", "session"]

CHECK = {"image": "case_007", "sentence": "Posterior is far smaller than in other cases."}


# Classes ------------------------------------------------------------------------------------------


def open_first_case(session: Session, server: StubServer, wait: Callable) -> None:
    """A case of a server that knows no classes, with two segments drawn."""
    server.labels = {}
    session.connection.connect(server.url)
    wait(lambda: session.state.phase == "ready")
    session.cases.next_case("random")
    wait(lambda: session.state.phase == "open")
    for index, name in enumerate(("kidney", "tumour")):
        session.nodes.segmentation.GetSegmentation().AddEmptySegment(name, name)
        paint(session.nodes, name, 2 + 6 * index, 6 + 6 * index)


def test_correcting_the_first_label_of_all_keeps_its_class_values(
    session: Session, server: StubServer, wait: Callable, tmp_path: Path
) -> None:
    open_first_case(session, server, wait)
    session.cases.submit(Answers(accepted_structures=True))
    wait(lambda: session.state.phase == "sent" and session.state.info.labels)
    session.nodes.segmentation.GetSegmentation().RemoveSegment("kidney")
    session.cases.submit()
    assert [(q.kind, q.subject) for q in session.state.questions] == [("absent", "kidney")]
    session.cases.submit(Answers(absent=frozenset({"kidney"})))
    wait(lambda: session.state.phase == "sent" and len(server.saved) == 2)
    assert np.unique(label_values(server.saved[1]["content"], tmp_path)).tolist() == [0, 2]
    assert server.saved[1]["params"]["label_info"] == [{"name": "tumour", "idx": 2}]


def test_classes_that_a_colleague_made_meanwhile_hold_for_the_open_case(
    session: Session, server: StubServer, wait: Callable, tmp_path: Path
) -> None:
    open_first_case(session, server, wait)
    server.labels, server.n = {"tumour": 1, "kidney": 2}, server.n + 1
    wait(lambda: session.state.info.labels)
    session.cases.submit()
    wait(lambda: session.state.phase == "sent")
    values = label_values(server.saved[0]["content"], tmp_path)
    assert np.unique(values[2:6, 4:9, 2:5]).tolist() == [2]
    assert np.unique(values[8:12, 4:9, 2:5]).tolist() == [1]


def test_a_deleted_segment_stays_deleted_while_a_training_is_followed(
    at_work: Session, server: StubServer, wait: Callable
) -> None:
    at_work.nodes.segmentation.GetSegmentation().RemoveSegment("posterior")
    at_work.training.start("segmentation")
    wait(lambda: at_work.state.training.running)
    server.train_stats = {"segmentation": {"epoch": 1, "total_epochs": 2}}
    wait(lambda: at_work.state.training.progress == 0.5)
    assert at_work.nodes.segmentation.GetSegmentation().GetNumberOfSegments() == 1


def test_questions_about_classes_that_are_no_more_are_asked_anew(
    at_work: Session, server: StubServer, wait: Callable, tmp_path: Path
) -> None:
    at_work.nodes.segmentation.GetSegmentation().GetSegment("posterior").SetName("Tail")
    at_work.cases.submit()
    segment = next(q.subject for q in at_work.state.questions if q.kind == "unknown")
    server.labels, server.n = {"tail": 1, "anterior": 2}, server.n + 1
    wait(lambda: "tail" in at_work.state.info.labels)
    assert at_work.state.questions == ()
    at_work.cases.submit()
    assert [q.guess for q in at_work.state.questions] == ["tail"]
    at_work.cases.submit(Answers({segment: "tail"}))
    wait(lambda: at_work.state.phase == "sent")
    assert server.saved[0]["params"]["label_info"] == [
        {"name": "tail", "idx": 1},
        {"name": "anterior", "idx": 2},
    ]


# This computer ------------------------------------------------------------------------------------


def test_a_disk_that_is_full_when_the_label_has_arrived_holds_nothing_up(
    at_work: Session, server: StubServer, wait: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = DraftStore.note

    def note(store: DraftStore, draft: Draft) -> None:
        if draft.label_sent:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(store, draft)

    monkeypatch.setattr(DraftStore, "note", note)
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "sent")
    assert len(server.saved) == len(server.notes) == 1
    at_work.cases.next_case("random")
    wait(lambda: at_work.state.phase == "open")


def test_a_kept_label_that_has_vanished_is_said_and_the_next_one_goes(
    at_work: Session, server: StubServer, wait: Callable
) -> None:
    server.handlers["PUT", "/datastore/label"] = lambda handler: handler.answer({}, 503)
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "open")
    server.handlers.clear()
    (draft,) = at_work.submission.waiting()
    at_work.drafts.forget(draft)  # by another Slicer on this computer
    at_work.submission.resend(draft)
    assert "could not be read" in at_work.state.notice.text
    assert (at_work.state.phase, at_work.submission.busy) == ("open", False)
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "sent")
    assert len(server.saved) == 1


def test_an_image_without_voxels_is_said_when_its_label_is_made(connected: Session) -> None:
    scene = slicer.mrmlScene
    image = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "its file was moved")
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "label")
    connected.cases.adopt(CaseAtHand("case_007", False), image, segmentation)
    grid = slicer.util.addVolumeFromArray(np.zeros((4, 6, 6), np.int16))
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        np.ones((4, 6, 6), np.uint8), segmentation, "anterior", grid
    )
    connected.cases.submit(Answers(absent=frozenset({"posterior"})))
    assert "no voxels" in connected.state.notice.text
    assert connected.state.edited


def test_cases_leave_nothing_behind_in_the_scene(connected: Session, wait: Callable) -> None:
    counts = set()
    for _ in range(3):
        connected.cases.next_case("random")
        wait(lambda: connected.state.phase == "open")
        counts.add(slicer.mrmlScene.GetNumberOfNodes())
    assert len(counts) == 1


# The server ---------------------------------------------------------------------------------------


def test_a_label_that_was_turned_away_counts_as_not_submitted(
    at_work: Session, server: StubServer, wait: Callable
) -> None:
    server.handlers["PUT", "/datastore/label"] = lambda handler: handler.answer({"detail": "3 slices"}, 422)
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "open")
    at_work.cases.next_case("random")
    assert (at_work.state.phase, at_work.state.waiting_rule) == ("open", "random")


def test_submitting_answers_the_question_about_the_next_case(at_work: Session, wait: Callable) -> None:
    at_work.cases.next_case("random")
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "sent")
    assert at_work.state.waiting_rule is None


def test_the_label_checks_outlive_the_servers_return(
    at_work: Session, server: StubServer, wait: Callable
) -> None:
    server.checks = [CHECK]
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "sent")
    server.handlers["GET", "/sufficiency/"] = lambda handler: break_off(handler.connection)
    wait(lambda: at_work.state.forecast.offline_since is not None)
    server.handlers.clear()
    wait(lambda: at_work.state.forecast.offline_since is None)
    assert "far smaller" in at_work.state.notice.text


def test_a_failure_is_forgotten_when_the_server_is_back(
    at_work: Session, server: StubServer, wait: Callable
) -> None:
    server.handlers["PUT", "/datastore/label"] = lambda handler: break_off(handler.connection)
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "open")
    wait(lambda: "answers again" in at_work.state.notice.text)
    assert len(at_work.submission.waiting()) == 1


def test_minutes_that_follow_later_claim_nothing_about_the_checks(
    at_work: Session, server: StubServer, wait: Callable
) -> None:
    server.checks = [CHECK]
    route = ("POST", "/sufficiency/case/case_007")
    server.handlers[route] = lambda handler: break_off(handler.connection)
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "sent")
    server.handlers.clear()
    at_work.submission.resend(at_work.submission.waiting()[0])
    wait(lambda: not at_work.submission.busy)
    assert at_work.state.notice.text == "The label of case_007 has arrived."


def test_a_server_that_does_not_check_is_not_said_to_have_found_nothing(
    at_work: Session, server: StubServer, wait: Callable
) -> None:
    server.handlers["PUT", "/datastore/label"] = lambda handler: handler.answer({"image": "case_007"})
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "sent")
    assert "checks" not in at_work.state.notice.text


def test_minutes_wait_for_a_new_sign_in(at_work: Session, server: StubServer, wait: Callable) -> None:
    route = ("POST", "/sufficiency/case/case_007")
    server.handlers[route] = lambda handler: handler.answer({}, 401)
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "sent")
    assert [draft.label_sent for draft in at_work.submission.waiting()] == [True]


def test_an_address_that_is_none_leaves_no_forecast_of_the_former_server(connected: Session) -> None:
    connected.connection.connect("ftp://elsewhere")
    assert (connected.state.phase, connected.state.sufficiency, connected.state.info) == (
        "disconnected",
        None,
        None,
    )


def test_a_prediction_that_was_cut_off_can_be_asked_for_again(
    connected: Session, server: StubServer, wait: Callable
) -> None:
    connected.cases.next_case("random")
    wait(lambda: connected.state.phase == "open")
    connected.prediction.fill_in()
    connected.connection.connect(server.url)
    wait(lambda: connected.state.phase == "open")
    assert connected.prediction.possible


def test_questions_end_with_the_connection(at_work: Session) -> None:
    at_work.nodes.segmentation.GetSegmentation().RemoveSegment("posterior")
    at_work.cases.submit()
    assert at_work.state.questions
    at_work.connection.disconnect()
    assert at_work.state.questions == ()


# Signing in ---------------------------------------------------------------------------------------


def guarded(server: StubServer, token: str = "abc") -> None:
    """A server that wants to know who asks."""

    def info(handler: object) -> None:
        if handler.headers.get("Authorization") == f"Bearer {token}":
            handler._get_info()
        else:
            handler.answer({}, 401)

    server.handlers["GET", "/info/"] = info
    server.handlers["POST", "/auth/token"] = lambda handler: handler.answer(
        *([{"access_token": token}] if b"right" in handler.body else [{"detail": "invalid_grant"}, 401])
    )


def test_a_wrong_password_is_called_so(session: Session, server: StubServer, wait: Callable) -> None:
    guarded(server)
    session.connection.connect(server.url)
    wait(lambda: session.state.needs_sign_in)
    session.connection.sign_in("doctor", "wrong")
    wait(lambda: "password is not right" in session.state.connection.text)
    assert session.state.needs_sign_in
    session.connection.sign_in("doctor", "right")
    wait(lambda: session.state.phase == "ready" and not session.state.needs_sign_in)


@pytest.mark.parametrize("password", ["wrong", "right"])
def test_signing_in_while_a_label_is_on_its_way_does_not_disturb_it(
    at_work: Session, server: StubServer, wait: Callable, password: str
) -> None:
    guarded(server)
    held: list[bool] = []

    def hold(handler: object) -> None:
        while not held:
            time.sleep(0.01)
        handler._put_datastore()

    server.handlers["PUT", "/datastore/label"] = hold
    at_work.state.needs_sign_in = True
    at_work.cases.submit()
    at_work.connection.sign_in("doctor", password)
    wait(lambda: not at_work.state.needs_sign_in or "password" in at_work.state.connection.text)
    assert at_work.state.phase == "sending"
    held.append(True)
    wait(lambda: at_work.state.phase == "sent")
    assert at_work.state.needs_sign_in == (password == "wrong")


def test_testing_the_connection_again_needs_no_new_sign_in(
    session: Session, server: StubServer, wait: Callable
) -> None:
    guarded(server)
    session.connection.connect(server.url)
    wait(lambda: session.state.needs_sign_in)
    session.connection.sign_in("doctor", "right")
    wait(lambda: session.state.phase == "ready")
    session.connection.connect(server.url)
    wait(lambda: session.state.phase != "connecting")
    assert session.state.phase == "ready"


def test_a_token_goes_to_no_other_server(session: Session, server: StubServer, wait: Callable) -> None:
    guarded(server)
    session.connection.connect(server.url)
    wait(lambda: session.state.needs_sign_in)
    session.connection.sign_in("doctor", "right")
    wait(lambda: session.state.phase == "ready")
    other = StubServer(image=server.image).start()
    session.connection.connect(other.url)
    wait(lambda: session.state.phase == "ready")
    assert not [headers for headers in other.headers_seen if "Authorization" in headers]
    other.stop()


# A label in doubt ---------------------------------------------------------------------------------


def test_a_case_in_doubt_is_opened_again_with_its_label(
    connected: Session, server: StubServer, wait: Callable, image_file: Path, tmp_path: Path
) -> None:
    server.prediction = label_file(image_file, tmp_path, {1: slice(2, 6), 2: slice(8, 10)})
    connected.cases.reopen("case_007")
    wait(lambda: connected.state.phase == "open")
    assert connected.state.case.image_id == "case_007"
    assert not connected.prediction.possible
    connected.cases.submit()
    wait(lambda: connected.state.phase == "sent")
    values = label_values(server.saved[0]["content"], tmp_path)
    assert np.unique(values[2:6, 4:9, 2:5]).tolist() == [1]
    assert np.unique(values[8:10, 4:9, 2:5]).tolist() == [2]
    assert server.notes == [], "the first drawing's minutes and blindness stand"
    assert connected.state.notice.level == "good"
    assert connected.submission.waiting() == []


def test_a_drawing_is_not_left_for_a_case_in_doubt(at_work: Session) -> None:
    at_work.cases.reopen("case_009")
    assert (at_work.state.phase, at_work.state.case.image_id) == ("open", "case_007")


def test_a_label_that_cannot_be_read_leaves_no_half_case(
    connected: Session, server: StubServer, wait: Callable
) -> None:
    server.prediction = b"broken"
    connected.cases.reopen("case_007")
    wait(lambda: connected.state.phase == "ready")
    assert connected.state.notice.level == "bad"
    assert not connected.nodes.alive
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
