"""The session keeps its promises: nothing is sent twice, nothing is lost, nothing late does harm."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import qt
import slicer
from DataSufficiencyLib.activity import ActiveClock
from DataSufficiencyLib.forecast_watch import ForecastWatch
from DataSufficiencyLib.segment_review import Answers
from DataSufficiencyLib.session import Session
from DataSufficiencyLib.training import TrainingWatch
from session_bench import HandClock, label_file, label_values, new_session, paint, paint_all
from stub_server import StubServer, break_off


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ForecastWatch, "BUSY_S", 0.1)
    monkeypatch.setattr(ForecastWatch, "CALM_S", 0.2)
    monkeypatch.setattr(ForecastWatch, "LONGEST_S", 0.4)
    monkeypatch.setattr(TrainingWatch, "EVERY_S", 0.05)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def session(scene: object, tmp_path: Path, clock: HandClock) -> Iterator[Session]:
    one = new_session(tmp_path / "drafts", clock)
    yield one
    one.close()


@pytest.fixture
def connected(session: Session, server: StubServer, wait: object) -> Session:
    session.connect(server.url)
    wait(lambda: session.state == "ready")
    return session


@pytest.fixture
def at_work(connected: Session, wait: object) -> Session:
    """A case is open and painted."""
    connected.next_case("random")
    wait(lambda: connected.state == "open")
    paint_all(connected)
    return connected


# The server ---------------------------------------------------------------------------------------


def test_connecting_brings_the_forecast(connected: Session) -> None:
    assert connected.sufficiency.n_labelled == 6
    assert connected.info.labels == {"anterior": 1, "posterior": 2}


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
    session.connect(server.url)
    wait(lambda: session.state == "disconnected")
    assert words in session.connection.text
    assert session.needs_sign_in == (status == 401)


def test_signing_in_gives_a_token_that_is_used(session: Session, server: StubServer, wait: object) -> None:
    def info(handler: object) -> None:
        if handler.headers.get("Authorization") == "Bearer abc":
            handler._get_info()
        else:
            handler.answer({"detail": "Could not validate credentials"}, 401)

    server.handlers["GET", "/info/"] = info
    server.handlers["POST", "/auth/token"] = lambda handler: handler.answer({"access_token": "abc"})
    session.connect(server.url)
    wait(lambda: session.needs_sign_in)
    session.sign_in("doctor", "secret")
    wait(lambda: session.state == "ready")
    assert not session.needs_sign_in


def test_no_server_at_all_is_unreachable(session: Session, server: StubServer, wait: object) -> None:
    server.stop()
    session.connect(server.url)
    wait(lambda: session.state == "disconnected")
    assert "Nothing answers" in session.connection.text


def test_the_answer_of_a_former_server_is_dropped(session: Session, server: StubServer, wait: object) -> None:
    server.delay = 0.3
    session.connect(server.url)
    session.disconnect()
    started = time.monotonic()
    wait(lambda: time.monotonic() - started > 0.5)
    assert session.state == "disconnected"
    assert session.info is None


def test_a_server_that_goes_is_noticed_and_welcomed_back(
    connected: Session, server: StubServer, wait: object
) -> None:
    port = server.server_port
    server.stop()
    wait(lambda: connected.forecast.offline_since is not None)
    assert connected.connected
    back = StubServer(image=server.image, port=port).start()
    wait(lambda: connected.forecast.offline_since is None)
    assert "answers again" in connected.notice.text
    back.stop()


def test_the_forecast_is_asked_for_only_while_watched(
    connected: Session, server: StubServer, wait: object
) -> None:
    connected.forecast.stop()
    started = time.monotonic()
    wait(lambda: time.monotonic() - started > 0.1)
    before = len(server.requests)
    wait(lambda: time.monotonic() - started > 0.6)
    assert len(server.requests) == before


# The case -----------------------------------------------------------------------------------------


def test_the_next_case_opens_with_a_segment_per_class(connected: Session, wait: object) -> None:
    connected.next_case("random")
    assert connected.state == "fetching"
    wait(lambda: connected.state == "open")
    inner = connected.nodes.segmentation.GetSegmentation()
    assert [inner.GetNthSegment(i).GetName() for i in range(2)] == ["anterior", "posterior"]
    assert connected.case.image_id == "case_007"
    assert not connected.edited


def test_when_all_is_labelled_it_is_said(connected: Session, server: StubServer, wait: object) -> None:
    server.cases.clear()
    connected.next_case("random")
    wait(lambda: connected.state == "ready" and connected.notice.level == "good")
    assert "Every case" in connected.notice.text


def test_an_image_that_cannot_be_read_leaves_a_clear_word(
    connected: Session, server: StubServer, wait: object
) -> None:
    server.handlers["GET", "/datastore/image"] = lambda handler: handler.send(b"broken")
    connected.next_case("random")
    wait(lambda: connected.state == "ready" and connected.notice.level == "bad")
    assert "case_007" in connected.notice.text


def test_a_case_that_was_deleted_before_its_image_came(
    connected: Session, server: StubServer, wait: object
) -> None:
    server.handlers["GET", "/datastore/image"] = lambda handler: handler.send(
        b"Internal Server Error", status=500
    )
    connected.next_case("random")
    wait(lambda: connected.state == "ready" and connected.notice.level == "bad")
    connected.next_case("random")
    assert connected.state == "fetching"


def test_unsent_edits_are_asked_about_before_the_next_case(at_work: Session, wait: object) -> None:
    at_work.next_case("random")
    assert at_work.waiting_strategy == "random"
    assert at_work.state == "open"
    at_work.stay()
    assert at_work.waiting_strategy is None
    at_work.next_case("random", drop_unsent=True)
    wait(lambda: at_work.state == "open" and not at_work.edited)


def test_the_former_case_leaves_the_scene(at_work: Session, server: StubServer, wait: object) -> None:
    at_work.submit()
    wait(lambda: at_work.state == "sent")
    at_work.next_case("random")
    wait(lambda: at_work.state == "open")
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1


def test_a_blind_case_gets_no_automatic_segmentation(
    connected: Session, server: StubServer, wait: object
) -> None:
    server.blind = True
    connected.next_case("random")
    wait(lambda: connected.state == "open")
    connected.fill_in()
    assert not connected.can_fill_in
    assert not connected.filling
    assert not [r for r in server.requests if "/infer/" in r]


def test_the_automatic_segmentation_fills_the_segments(
    connected: Session, server: StubServer, wait: object, image_file: Path, tmp_path: Path
) -> None:
    server.automatic = label_file(image_file, tmp_path, {1: slice(2, 6), 2: slice(8, 10)})
    connected.next_case("random")
    wait(lambda: connected.state == "open")
    connected.fill_in()
    wait(lambda: not connected.filling)
    assert not connected.edited
    connected.submit()
    wait(lambda: connected.state == "sent")
    values = label_values(server.saved[0]["content"], tmp_path)
    assert np.unique(values[2:6, 4:9, 2:5]).tolist() == [1]
    assert np.unique(values[8:10, 4:9, 2:5]).tolist() == [2]


def test_an_automatic_segmentation_that_comes_late_spares_the_drawing(
    connected: Session, server: StubServer, wait: object, image_file: Path, tmp_path: Path
) -> None:
    server.automatic = label_file(image_file, tmp_path, {2: slice(8, 10)})
    connected.next_case("random")
    wait(lambda: connected.state == "open")
    connected.fill_in()
    paint(connected.nodes, "anterior")
    wait(lambda: not connected.filling)
    assert "left out" in connected.notice.text
    assert [q.subject for q in connected.nodes.review(Answers()).questions] == ["posterior"]


# The label ----------------------------------------------------------------------------------------


def test_a_submitted_label_arrives_whole(
    at_work: Session, server: StubServer, wait: object, tmp_path: Path
) -> None:
    at_work.submit()
    wait(lambda: at_work.state == "sent")
    (saved,) = server.saved
    assert (saved["image"], saved["tag"], saved["file_name"]) == ("case_007", "final", "label.nii.gz")
    assert saved["params"]["label_info"] == [{"name": "anterior", "idx": 1}, {"name": "posterior", "idx": 2}]
    assert saved["params"]["client_id"] == "radiologist"
    assert np.unique(label_values(saved["content"], tmp_path)).tolist() == [0, 1, 2]
    assert at_work.submission.waiting() == []


def test_the_forecast_is_new_after_a_label(at_work: Session, wait: object) -> None:
    at_work.submit()
    wait(lambda: at_work.sufficiency.n_labelled == 7)


def test_minutes_and_blindness_follow_the_label(
    at_work: Session, server: StubServer, wait: object, clock: HandClock
) -> None:
    for _ in range(10):
        clock.seconds += 30
        paint(at_work.nodes, "anterior")
    clock.seconds += 3600  # a long telephone call
    paint(at_work.nodes, "anterior")
    at_work.submit()
    wait(lambda: at_work.state == "sent")
    assert server.notes == [("case_007", {"minutes": 5.0, "blind": False})]


def test_the_label_checks_answers_are_shown(at_work: Session, server: StubServer, wait: object) -> None:
    server.checks = [{"image": "case_007", "sentence": "Posterior is far smaller than in other cases."}]
    at_work.submit()
    wait(lambda: at_work.state == "sent")
    assert "far smaller" in at_work.notice.text
    assert at_work.notice.level == "warning"


def test_submitting_twice_sends_once(at_work: Session, server: StubServer, wait: object) -> None:
    server.delay = 0.2
    for _ in range(5):
        at_work.submit()
        slicer.app.processEvents()
    wait(lambda: at_work.state == "sent")
    at_work.submit()
    assert at_work.state == "sent"
    assert len([r for r in server.requests if r.startswith("PUT")]) == 1


def test_a_corrected_label_can_be_sent_again(at_work: Session, server: StubServer, wait: object) -> None:
    at_work.submit()
    wait(lambda: at_work.state == "sent")
    paint(at_work.nodes, "anterior", 2, 4)
    at_work.submit()
    wait(lambda: at_work.state == "sent" and len(server.saved) == 2)


def test_a_refused_label_is_kept_with_the_servers_reason(
    at_work: Session, server: StubServer, wait: object
) -> None:
    reason = "The label has 3 slices, the image 8."
    server.handlers["PUT", "/datastore/label"] = lambda handler: handler.answer({"detail": reason}, 422)
    at_work.submit()
    wait(lambda: at_work.state == "open")
    assert reason in at_work.notice.text
    assert len(at_work.submission.waiting()) == 1


def test_a_server_without_classes_learns_them_from_the_first_label(
    session: Session, server: StubServer, wait: object
) -> None:
    server.labels = {}
    session.connect(server.url)
    wait(lambda: session.state == "ready")
    session.next_case("random")
    wait(lambda: session.state == "open")
    session.submit()
    assert "Nothing is drawn" in session.notice.text
    session.nodes.segmentation.GetSegmentation().AddEmptySegment("kidney", "kidney")
    paint(session.nodes, "kidney")
    session.submit()
    assert [question.kind for question in session.questions] == ["classes"]
    session.submit(Answers(accepted_classes=True))
    wait(lambda: session.state == "sent" and session.info.labels == {"kidney": 1})
    session.next_case("random")
    wait(lambda: session.state == "open")
    assert session.nodes.segmentation.GetSegmentation().GetSegment("kidney") is not None


def test_a_first_model_is_noticed_after_training(session: Session, server: StubServer, wait: object) -> None:
    server.model = False
    session.connect(server.url)
    wait(lambda: session.state == "ready")
    assert session.info.models == ()
    session.training.start("segmentation", "genda")
    wait(lambda: session.training.running)
    server.model = True
    server.training = {**server.training, "status": "DONE"}
    wait(lambda: session.info.models == ("segmentation",))


def test_questions_come_before_sending(at_work: Session, server: StubServer, wait: object) -> None:
    at_work.nodes.segmentation.GetSegmentation().AddEmptySegment("scratch", "scratch")
    paint(at_work.nodes, "scratch", 15, 17)
    at_work.submit()
    assert [q.kind for q in at_work.questions] == ["unknown"]
    assert at_work.state == "open"
    at_work.submit(Answers({"scratch": None}))
    wait(lambda: at_work.state == "sent")
    assert at_work.questions == ()


def test_a_label_that_did_not_arrive_is_kept_and_sent_again(
    at_work: Session, server: StubServer, wait: object, tmp_path: Path
) -> None:
    port, image = server.server_port, server.image
    server.stop()
    at_work.submit()
    wait(lambda: at_work.state == "open")
    assert "kept on this computer" in at_work.notice.text
    (draft,) = at_work.submission.waiting()
    back = StubServer(image=image, port=port).start()
    at_work.submission.resend(draft)
    wait(lambda: at_work.state == "sent")
    assert np.unique(label_values(back.saved[0]["content"], tmp_path)).tolist() == [0, 1, 2]
    assert at_work.submission.waiting() == []
    back.stop()


def test_a_kept_label_outlives_a_restart(
    at_work: Session, server: StubServer, wait: object, tmp_path: Path
) -> None:
    server.handlers["PUT", "/datastore/label"] = lambda handler: handler.answer({}, 503)
    at_work.submit()
    wait(lambda: at_work.state == "open")
    at_work.close()
    slicer.mrmlScene.Clear(0)
    server.handlers.clear()
    later = new_session(tmp_path / "drafts")
    assert [draft.image_id for draft in later.submission.waiting()] == ["case_007"]
    later.connect(server.url)
    wait(lambda: later.state == "ready")
    later.submission.resend(later.submission.waiting()[0])
    wait(lambda: server.saved and not later.submission.busy)
    assert server.saved[0]["image"] == "case_007"
    assert later.submission.waiting() == []
    later.close()


def test_a_kept_label_goes_to_its_own_server_only(at_work: Session, server: StubServer, wait: object) -> None:
    server.handlers["PUT", "/datastore/label"] = lambda handler: handler.answer({}, 503)
    at_work.submit()
    wait(lambda: at_work.state == "open")
    other = StubServer(image=server.image).start()
    at_work.connect(other.url)
    wait(lambda: at_work.state == "open")
    assert at_work.submission.waiting() == []
    other.stop()


def test_kept_labels_are_readable_by_their_owner_alone(
    at_work: Session, server: StubServer, wait: object, tmp_path: Path
) -> None:
    server.handlers["PUT", "/datastore/label"] = lambda handler: handler.answer({}, 503)
    at_work.submit()
    wait(lambda: at_work.state == "open")
    files = [path for path in (tmp_path / "drafts").rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["draft.json", "label.nii.gz"]
    assert {path.stat().st_mode & 0o077 for path in files} == {0}


def test_a_case_deleted_on_the_server_keeps_its_label_here(
    at_work: Session, server: StubServer, wait: object
) -> None:
    server.cases.remove("case_007")
    at_work.submit()
    wait(lambda: at_work.state == "open")
    assert "no longer has this case" in at_work.notice.text
    (draft,) = at_work.submission.waiting()
    assert draft.case_gone
    at_work.submission.discard(draft)
    assert at_work.submission.waiting() == []


def test_minutes_that_did_not_arrive_are_sent_without_the_label(
    at_work: Session, server: StubServer, wait: object
) -> None:
    route = ("POST", "/sufficiency/case/case_007")
    server.handlers[route] = lambda handler: break_off(handler.connection)
    at_work.submit()
    wait(lambda: at_work.state == "sent")
    assert "the minutes it took did not" in at_work.notice.text
    server.handlers.clear()
    at_work.submission.resend(at_work.submission.waiting()[0])
    wait(lambda: not at_work.submission.busy)
    assert len(server.saved) == 1
    assert len(server.notes) == 1


def test_closing_the_scene_while_sending_loses_nothing(
    at_work: Session, server: StubServer, wait: object
) -> None:
    server.delay = 0.3
    at_work.submit()
    slicer.mrmlScene.Clear(0)
    assert at_work.state == "sending"
    wait(lambda: at_work.state == "ready")
    assert len(server.saved) == 1
    assert "has arrived" in at_work.notice.text


def test_closing_the_scene_while_fetching_stops_it(
    connected: Session, server: StubServer, wait: object
) -> None:
    server.delay = 0.2
    connected.next_case("random")
    slicer.mrmlScene.Clear(0)
    assert connected.state == "ready"
    started = time.monotonic()
    wait(lambda: time.monotonic() - started > 0.6)
    assert not connected.nodes.alive
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0


@pytest.mark.parametrize("which", ["image", "segmentation"])
def test_a_deleted_node_is_said_and_the_next_case_works(at_work: Session, wait: object, which: str) -> None:
    slicer.mrmlScene.RemoveNode(getattr(at_work.nodes, which))
    assert at_work.state == "ready"
    assert "case_007" in at_work.notice.text
    at_work.submit()
    at_work.next_case("random")
    wait(lambda: at_work.state == "open")


def test_drawing_on_while_the_label_is_on_its_way_is_a_new_edit(
    at_work: Session, server: StubServer, wait: object
) -> None:
    server.delay = 0.2
    at_work.submit()
    paint(at_work.nodes, "anterior", 2, 9)
    wait(lambda: at_work.state == "open")
    assert at_work.edited
    at_work.next_case("random")
    assert at_work.waiting_strategy == "random"


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
    at_work.submit()
    watch.start()
    timer.start()
    wait(lambda: at_work.state == "sent", 20)
    timer.stop()
    assert len(gaps) > 250
    assert max(gaps) < 5000
    assert len(server.saved) == 1


# Training -----------------------------------------------------------------------------------------


def test_training_is_started_followed_and_done(connected: Session, server: StubServer, wait: object) -> None:
    connected.training.start("segmentation")
    wait(lambda: connected.training.running)
    server.train_stats = {"segmentation": {"epoch": 30, "total_epochs": 40}}
    wait(lambda: connected.training.progress == 0.75)
    server.training = {**server.training, "status": "DONE"}
    wait(lambda: not connected.training.running)
    assert "went well" in connected.training.notice.text


def test_a_training_can_be_stopped(connected: Session, server: StubServer, wait: object) -> None:
    connected.training.start("segmentation")
    wait(lambda: connected.training.running)
    connected.training.stop()
    wait(lambda: not connected.training.running)
    assert "was stopped" in connected.training.notice.text


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
    wait(lambda: connected.training.notice is not None)
    assert words in connected.training.notice.text
    assert "Traceback" not in connected.training.notice.text


def test_somebody_elses_training_is_seen(connected: Session, server: StubServer, wait: object) -> None:
    server.training = {"status": "RUNNING", "request": {"model": "learning_curve"}, "details": []}
    connected.training.start("segmentation")
    wait(lambda: connected.training.running)
    assert connected.training.task.model == "learning_curve"


def test_a_target_that_is_reached_says_stop(connected: Session, wait: object) -> None:
    connected.forecast.set_target(0.5)
    wait(lambda: connected.sufficiency.advice.action == "stop")


def test_an_update_shows_the_running_job(connected: Session, wait: object) -> None:
    connected.forecast.update()
    wait(lambda: connected.sufficiency.job.running)
    assert connected.sufficiency.job.eta_seconds == 240


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
