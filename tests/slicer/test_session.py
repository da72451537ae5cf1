"""The session with its server, its case, its training and its clock: nothing late does harm."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import slicer
from DataSufficiencyLib.activity import ActiveClock
from DataSufficiencyLib.label_questions import Answers
from DataSufficiencyLib.session import Session
from session_bench import HandClock, label_file, label_values, paint
from session_fixtures import at_work, clock, connected, quick, session
from stub_server import StubServer

__all__ = ["at_work", "clock", "connected", "quick", "session"]


# The server ---------------------------------------------------------------------------------------


def test_connecting_brings_the_forecast(connected: Session) -> None:
    assert connected.state.sufficiency.n_labelled == 6
    assert connected.state.info.labels == {"anterior": 1, "posterior": 2}


@pytest.mark.parametrize(
    ("route", "answer", "status", "words"),
    [
        ("/info/", {"x": 1}, 200, "not a MONAI Label server"),
        ("/info/", {}, 401, "sign in"),
        ("/info/", {}, 403, "may not"),
        ("/sufficiency/", {}, 404, "no forecast"),
        ("/sufficiency/", {}, 200, "too old"),
        ("/sufficiency/", {"schema": 9}, 200, "newer than this extension"),
        ("/sufficiency/", {"schema": 1, "status": 3}, 200, "could not be understood"),
    ],
)
def test_a_server_that_will_not_do_is_named_in_plain_words(
    session: Session, server: StubServer, wait: object, route: str, answer: dict, status: int, words: str
) -> None:
    server.handlers["GET", route] = lambda handler: handler.answer(answer, status)
    session.connection.connect(server.url)
    wait(lambda: session.state.phase == "disconnected")
    assert words in session.state.connection.text
    assert session.state.needs_sign_in == (status == 401)


def test_signing_in_gives_a_token_that_is_used(session: Session, server: StubServer, wait: object) -> None:
    def info(handler: object) -> None:
        if handler.headers.get("Authorization") == "Bearer abc":
            handler._get_info()
        else:
            handler.answer({"detail": "Could not validate credentials"}, 401)

    server.handlers["GET", "/info/"] = info
    server.handlers["POST", "/auth/token"] = lambda handler: handler.answer({"access_token": "abc"})
    session.connection.connect(server.url)
    wait(lambda: session.state.needs_sign_in)
    session.connection.sign_in("doctor", "secret")
    wait(lambda: session.state.phase == "ready")
    assert not session.state.needs_sign_in


def test_a_token_that_runs_out_asks_for_a_sign_in_and_the_case_stays(
    at_work: Session, server: StubServer, wait: object
) -> None:
    server.handlers["PUT", "/datastore/label"] = lambda handler: handler.answer({}, 401)
    server.handlers["POST", "/auth/token"] = lambda handler: handler.answer({"access_token": "new"})
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "open" and at_work.state.needs_sign_in)
    del server.handlers["PUT", "/datastore/label"]
    at_work.connection.sign_in("doctor", "secret")
    wait(lambda: at_work.state.phase == "open" and not at_work.state.needs_sign_in)
    at_work.submission.resend(at_work.submission.waiting()[0])
    wait(lambda: at_work.state.phase == "sent")
    assert [label["image"] for label in server.saved] == ["case_007"]


def test_no_server_at_all_is_unreachable(session: Session, server: StubServer, wait: object) -> None:
    server.stop()
    session.connection.connect(server.url)
    wait(lambda: session.state.phase == "disconnected")
    assert "Nothing answers" in session.state.connection.text


def test_the_answer_of_a_former_server_is_dropped(session: Session, server: StubServer, wait: object) -> None:
    server.delay = 0.3
    session.connection.connect(server.url)
    session.connection.disconnect()
    started = time.monotonic()
    wait(lambda: time.monotonic() - started > 0.5)
    assert session.state.phase == "disconnected"
    assert session.state.info is None


def test_a_server_that_goes_is_noticed_and_welcomed_back(
    connected: Session, server: StubServer, wait: object
) -> None:
    port = server.server_port
    server.stop()
    wait(lambda: connected.state.forecast.offline_since is not None)
    assert connected.state.connected
    back = StubServer(image=server.image, port=port).start()
    wait(lambda: connected.state.forecast.offline_since is None)
    assert "answers again" in connected.state.notice.text
    back.stop()


def test_the_server_is_asked_only_while_somebody_watches(
    connected: Session, server: StubServer, wait: object
) -> None:
    connected.training.start("segmentation")
    wait(lambda: connected.state.training.running)
    connected.unwatch()
    started = time.monotonic()
    wait(lambda: time.monotonic() - started > 0.2)
    before = len(server.requests)
    wait(lambda: time.monotonic() - started > 0.6)
    assert len(server.requests) == before
    connected.watch()
    wait(lambda: len(server.requests) > before + 3)


def test_a_case_of_another_server_is_not_sent_there_unasked(
    at_work: Session, server: StubServer, wait: object
) -> None:
    other = StubServer(image=server.image).start()
    at_work.connection.connect(other.url)
    wait(lambda: at_work.state.phase == "ready")
    assert at_work.cases.from_elsewhere
    at_work.cases.submit()
    at_work.cases.next_case("random")
    assert (at_work.state.waiting_rule, at_work.state.phase) == ("random", "ready")
    at_work.connection.connect(server.url)
    wait(lambda: at_work.state.phase == "open")
    at_work.connection.connect(other.url)
    wait(lambda: at_work.cases.from_elsewhere)
    at_work.cases.is_from_here()
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "sent")
    assert ([s["image"] for s in server.saved], [s["image"] for s in other.saved]) == ([], ["case_007"])
    other.stop()


# The case -----------------------------------------------------------------------------------------


def test_the_next_case_opens_with_a_segment_per_class(connected: Session, wait: object) -> None:
    connected.cases.next_case("random")
    assert connected.state.phase == "fetching"
    wait(lambda: connected.state.phase == "open")
    inner = connected.nodes.segmentation.GetSegmentation()
    assert [inner.GetNthSegment(i).GetName() for i in range(2)] == ["anterior", "posterior"]
    assert connected.state.case.image_id == "case_007"
    assert not connected.state.edited


def test_when_all_is_labelled_it_is_said(connected: Session, server: StubServer, wait: object) -> None:
    server.cases.clear()
    connected.cases.next_case("random")
    wait(lambda: connected.state.phase == "ready" and connected.state.notice.level == "good")
    assert "Every case" in connected.state.notice.text


def test_an_image_that_cannot_be_read_leaves_a_clear_word(
    connected: Session, server: StubServer, wait: object
) -> None:
    server.handlers["GET", "/datastore/image"] = lambda handler: handler.send(b"broken")
    connected.cases.next_case("random")
    wait(lambda: connected.state.phase == "ready" and connected.state.notice.level == "bad")
    assert "case_007" in connected.state.notice.text


def test_a_case_that_was_deleted_before_its_image_came(
    connected: Session, server: StubServer, wait: object
) -> None:
    server.handlers["GET", "/datastore/image"] = lambda handler: handler.send(
        b"Internal Server Error", status=500
    )
    connected.cases.next_case("random")
    wait(lambda: connected.state.phase == "ready" and connected.state.notice.level == "bad")
    connected.cases.next_case("random")
    assert connected.state.phase == "fetching"


def test_unsent_edits_are_asked_about_before_the_next_case(at_work: Session, wait: object) -> None:
    at_work.cases.next_case("random")
    assert at_work.state.waiting_rule == "random"
    assert at_work.state.phase == "open"
    at_work.cases.stay()
    assert at_work.state.waiting_rule is None
    at_work.cases.next_case("random", drop_unsent=True)
    wait(lambda: at_work.state.phase == "open" and not at_work.state.edited)


def test_the_former_case_leaves_the_scene(at_work: Session, server: StubServer, wait: object) -> None:
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "sent")
    at_work.cases.next_case("random")
    wait(lambda: at_work.state.phase == "open")
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1


def test_a_blind_case_gets_no_prediction(connected: Session, server: StubServer, wait: object) -> None:
    server.blind = True
    connected.cases.next_case("random")
    wait(lambda: connected.state.phase == "open")
    connected.prediction.fill_in()
    assert not connected.prediction.possible
    assert not connected.state.filling
    assert not [r for r in server.requests if "/infer/" in r]


def test_the_prediction_fills_the_segments(
    connected: Session, server: StubServer, wait: object, image_file: Path, tmp_path: Path
) -> None:
    server.prediction = label_file(image_file, tmp_path, {1: slice(2, 6), 2: slice(8, 10)})
    connected.cases.next_case("random")
    wait(lambda: connected.state.phase == "open")
    connected.prediction.fill_in()
    wait(lambda: not connected.state.filling)
    assert not connected.state.edited
    connected.cases.submit()
    wait(lambda: connected.state.phase == "sent")
    values = label_values(server.saved[0]["content"], tmp_path)
    assert np.unique(values[2:6, 4:9, 2:5]).tolist() == [1]
    assert np.unique(values[8:10, 4:9, 2:5]).tolist() == [2]


def test_a_prediction_that_comes_late_spares_the_drawing(
    connected: Session, server: StubServer, wait: object, image_file: Path, tmp_path: Path
) -> None:
    server.prediction = label_file(image_file, tmp_path, {2: slice(8, 10)})
    connected.cases.next_case("random")
    wait(lambda: connected.state.phase == "open")
    connected.prediction.fill_in()
    paint(connected.nodes, "anterior")
    wait(lambda: not connected.state.filling)
    assert "left out" in connected.state.notice.text
    assert [q.subject for q in connected.nodes.review(Answers()).questions] == ["posterior"]


def test_a_new_name_is_to_be_submitted_but_is_no_drawing(connected: Session, wait: object) -> None:
    connected.cases.next_case("random")
    wait(lambda: connected.state.phase == "open")
    connected.nodes.segmentation.GetSegmentation().GetSegment("anterior").SetName("Anterior part")
    assert (connected.state.edited, connected.state.drawn) == (True, False)
    assert connected.prediction.possible


def test_a_new_name_after_submitting_can_be_submitted(at_work: Session, wait: object) -> None:
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "sent")
    at_work.nodes.segmentation.GetSegmentation().GetSegment("anterior").SetName("posterior 2")
    assert at_work.state.can_submit


def test_a_colour_and_a_surface_in_3d_change_nothing_in_the_label(
    at_work: Session, server: StubServer, wait: object
) -> None:
    at_work.cases.submit()
    wait(lambda: at_work.state.phase == "sent")
    at_work.nodes.segmentation.GetSegmentation().GetSegment("anterior").SetColor(0.1, 0.2, 0.3)
    at_work.nodes.segmentation.CreateClosedSurfaceRepresentation()
    assert (at_work.state.phase, at_work.state.edited) == ("sent", False)


# Training -----------------------------------------------------------------------------------------


def test_training_is_started_followed_and_done(connected: Session, server: StubServer, wait: object) -> None:
    connected.training.start("segmentation")
    wait(lambda: connected.state.training.running)
    server.train_stats = {"segmentation": {"epoch": 30, "total_epochs": 40}}
    wait(lambda: connected.state.training.progress == 0.75)
    server.training = {**server.training, "status": "DONE"}
    wait(lambda: not connected.state.training.running)
    assert "went well" in connected.state.training.notice.text


def test_a_training_can_be_stopped(connected: Session, server: StubServer, wait: object) -> None:
    connected.training.start("segmentation")
    wait(lambda: connected.state.training.running)
    connected.training.stop()
    wait(lambda: not connected.state.training.running)
    assert "was stopped" in connected.state.training.notice.text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("RuntimeError: CUDA out of memory. Tried to allocate", "out of memory"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("ValueError: the images have 3 channels, the network 1", "the images have 3 channels"),
        ("scaling_app.trials.plan.PlanError: no case has a label", "not enough labels"),
    ],
)
def test_the_last_error_is_told_in_words(
    connected: Session, server: StubServer, wait: object, line: str, words: str
) -> None:
    details = ["Traceback (most recent call last):", '  File "x.py", line 3', line, "[INFO] Return code: 1"]
    server.training = {"status": "ERROR", "request": {"model": "segmentation"}, "details": details}
    connected.training.look()
    wait(lambda: connected.state.training.notice is not None)
    assert words in connected.state.training.notice.text
    assert "Traceback" not in connected.state.training.notice.text


def test_somebody_elses_training_is_seen(connected: Session, server: StubServer, wait: object) -> None:
    server.training = {"status": "RUNNING", "request": {"model": "learning_curve"}, "details": []}
    connected.training.start("segmentation")
    wait(lambda: connected.state.training.running)
    assert connected.state.training.task.model == "learning_curve"


def test_a_target_that_is_reached_says_stop(connected: Session, wait: object) -> None:
    connected.forecast.set_target(0.5)
    wait(lambda: connected.state.sufficiency.advice.action == "stop")


def test_an_update_shows_the_running_job(connected: Session, wait: object) -> None:
    connected.forecast.update()
    assert connected.state.sufficiency.job.running
    wait(lambda: connected.state.sufficiency.job.eta_seconds == 240)
    assert connected.state.sufficiency.job.running


# Active minutes -----------------------------------------------------------------------------------


def test_the_clock_counts_work_and_leaves_out_absence() -> None:
    clock = HandClock()
    active = ActiveClock(60, clock)
    active.restart()
    for gap in (30, 45, 600, 20):
        clock.seconds += gap
        active.touch()
    assert active.minutes * 60 == pytest.approx(95)
    clock.seconds += 61
    assert active.idle
    assert active.minutes * 60 == pytest.approx(95)


def test_a_stopped_clock_counts_no_more() -> None:
    clock = HandClock()
    active = ActiveClock(60, clock)
    active.restart()
    clock.seconds += 10
    active.stop()
    clock.seconds += 10
    active.touch()
    assert active.minutes * 60 == pytest.approx(10)
