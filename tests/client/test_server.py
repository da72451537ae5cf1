"""The client's blocking server: each mishap is one failure with a sentence, and nothing is sent elsewhere or lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stub_server import StubServer, half, redirect

from scaling_app_client.blocking import Server
from scaling_app_client.drafts import DraftStore
from scaling_app_client.messages import FAILURES, Failure, failure_of_status

Handler = Callable[[Any], None]


def connected(stub: StubServer) -> Server:
    return Server(stub.url, pause_s=0.01)


def info_with(**changes: object) -> Handler:
    plain = {"name": "App", "models": {}, "strategies": {}, "version": "9.0"}
    return lambda handler: handler.answer({**plain, **changes})


@pytest.mark.parametrize(
    ("greeting", "kind"),
    [
        (info_with(), "not_this_app"),
        (info_with(sufficiency={"status": "ready"}), "server_too_old"),
        (info_with(sufficiency={"schema": 0}), "server_too_old"),
        (info_with(sufficiency={"schema": 2}), "extension_too_old"),
        (lambda handler: handler.answer({"hello": "world"}), "not_monai_label"),
        (lambda handler: handler.send(b"<html>Log in</html>", "text/html"), "not_monai_label"),
        (redirect, "moved"),
        (half, "lost"),
    ],
)
def test_a_greeting_that_is_wrong_is_one_failure_with_a_sentence(
    stub: StubServer, greeting: Handler, kind: str
) -> None:
    stub.handlers["GET", "/info/"] = greeting
    with pytest.raises(Failure) as caught:
        connected(stub)
    assert caught.value.kind == kind
    assert str(caught.value).startswith(FAILURES[kind])
    assert not any("login" in request for request in stub.requests)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (redirect, "moved"),
        (half, "lost"),
        (lambda handler: handler.send(b"<html>Log in</html>", "text/html"), "bad_answer"),
        (lambda handler: handler.answer({"schema": 1, "status": "splendid"}), "bad_answer"),
        (lambda handler: handler.send(b'{"schema": 1, "n_labelled": NaN}'), "bad_answer"),
        (lambda handler: handler.answer({"schema": 2}), "extension_too_old"),
        (lambda handler: handler.answer({"detail": "who?"}, 401), "sign_in"),
    ],
)
def test_a_forecast_that_is_wrong_is_one_failure_with_a_sentence(
    stub: StubServer, answer: Handler, kind: str
) -> None:
    server = connected(stub)
    stub.handlers["GET", "/sufficiency/"] = answer
    with pytest.raises(Failure) as caught:
        server.forecast()
    assert caught.value.kind == kind


def test_a_field_that_is_not_known_is_left_aside(stub: StubServer) -> None:
    server = connected(stub)
    body = {"schema": 1, "status": "ready", "surprise": [1], "advice": {"action": "wait", "more": 1}}
    stub.handlers["GET", "/sufficiency/"] = lambda handler: handler.answer(body)
    assert server.forecast().status == "ready"


def test_nobody_at_the_address_is_said(stub: StubServer) -> None:
    url = stub.url
    stub.stop()
    with pytest.raises(Failure, match="Nothing answers at this address"):
        Server(url, retries=0)
    with pytest.raises(Failure, match="no server's address"):
        Server("http://somebody:secret@host")


def test_what_may_be_repeated_is_sent_again_and_a_training_only_once(stub: StubServer) -> None:
    server = connected(stub)
    failing = {"left": 2}

    def at_first(handler: Any) -> None:
        if failing["left"]:
            failing["left"] -= 1
            handler.answer({"detail": "oops"}, 500)
        else:
            handler._get_sufficiency()

    stub.handlers["GET", "/sufficiency/"] = at_first
    assert server.forecast().status == "ready"
    stub.handlers["POST", "/train/segmentation"] = lambda handler: handler.answer({"detail": "oops"}, 500)
    with pytest.raises(Failure, match="server_error"):
        server.train()
    assert stub.requests.count("POST /train/segmentation") == 1


def test_a_training_ends_with_itself_whatever_is_queued_behind_it(stub: StubServer) -> None:
    stub.queued = [{"id": "2", "status": "SUBMITTED", "request": {"model": "learning_curve"}, "details": []}]

    def over() -> None:
        assert stub.training is not None
        stub.training = {**stub.training, "status": "DONE"}

    task = connected(stub).train(on_wait=over)
    assert (task.status, task.model, task.id) == ("DONE", "segmentation", "1")


@pytest.mark.parametrize("then", [None, {"id": "7", "status": "RUNNING", "request": {}, "details": []}])
def test_a_training_that_a_new_start_of_the_server_ended_is_waited_for_no_longer(
    stub: StubServer, then: dict | None
) -> None:
    def started_again() -> None:
        stub.training = then

    with pytest.raises(Failure, match="started again") as caught:
        connected(stub).train(on_wait=started_again)
    assert caught.value.kind == "lost"


def test_a_file_that_is_no_case_is_segmented_and_the_report_is_read(stub: StubServer, tmp_path: Path) -> None:
    page = tmp_path / "page.png"
    page.write_bytes(b"pixels")
    sent = []

    def segment(handler: Any) -> None:
        sent.append(handler.body)
        handler.send(b"found", "application/octet-stream")

    stub.handlers["POST", "/infer/segmentation"] = segment
    stub.handlers["GET", "/sufficiency/report.html"] = lambda handler: handler.send(
        b"<p>\xc3\xa9</p>", "text/html"
    )
    server = connected(stub)
    assert server.predict_file(page) == b"found"
    assert b'name="file"; filename="page.png"' in sent[0] and b"pixels" in sent[0]
    assert server.report() == "<p>é</p>"


def test_a_label_that_cannot_be_sent_is_kept_and_sent_later(stub: StubServer, tmp_path: Path) -> None:
    label, kept = tmp_path / "case.nii.gz", DraftStore(str(tmp_path / "kept"))
    label.write_bytes(b"drawn")
    server = connected(stub)
    case = server.next_case()
    assert case is not None
    stub.handlers["PUT", "/datastore/label"] = half
    with pytest.raises(Failure):
        server.save_label(case.image_id, label, {"organ": 1}, minutes=3, kept=kept)
    label.unlink()
    del stub.handlers["PUT", "/datastore/label"]
    assert connected(stub).send_kept(kept) == 1 and server.send_kept(kept) == 0
    (saved,) = stub.saved
    assert saved["content"] == b"drawn" and saved["params"]["minutes"] == 3
    assert saved["params"]["label_info"] == [{"name": "organ", "idx": 1}]


def login_page(handler: Any) -> None:
    handler.send(b"<html>Log in</html>", "text/html")


def saying(status: int, body: bytes = b"<html>nginx</html>") -> Handler:
    return lambda handler: handler.send(body, "text/html", status)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (redirect, "moved"),
        (login_page, "bad_answer"),
        (lambda handler: handler.answer({"detail": "who?"}, 401), "sign_in"),
        (saying(403), "forbidden"),
        (saying(407), "gateway"),
        (saying(413), "too_large"),
        (saying(502), "gateway"),
        (saying(503), "gateway"),
        (lambda handler: handler.answer({"detail": "The server has no room left."}, 507), "unable"),
        (lambda handler: handler.answer([1]), "bad_answer"),
    ],
)
def test_a_label_is_kept_whatever_stands_between_it_and_the_server(
    stub: StubServer, tmp_path: Path, answer: Handler, kind: str
) -> None:
    label, kept = tmp_path / "case.nii.gz", DraftStore(str(tmp_path / "kept"))
    label.write_bytes(b"drawn")
    server = connected(stub)
    stub.handlers["PUT", "/datastore/label"] = answer
    with pytest.raises(Failure) as caught:
        server.save_label("case_007", label, {"organ": 1}, kept=kept)
    assert caught.value.kind == kind
    (draft,) = kept.all()
    assert kept.content(draft) == b"drawn"


def test_a_page_in_the_place_of_a_file_is_no_image(stub: StubServer) -> None:
    server = connected(stub)
    stub.handlers["GET", "/datastore/image"] = login_page
    with pytest.raises(Failure) as caught:
        server.image("case_007")
    assert caught.value.kind == "bad_answer"


def three_kept(stub: StubServer, folder: Path) -> tuple[Server, DraftStore]:
    """A server, and labels of three cases that did not reach it."""
    label, kept = folder / "case.nii.gz", DraftStore(str(folder / "kept"))
    label.write_bytes(b"drawn")
    server = connected(stub)
    stub.handlers["PUT", "/datastore/label"] = half
    for case in ("case_007", "case_008", "case_009"):
        with pytest.raises(Failure):
            server.save_label(case, label, {"organ": 1}, kept=kept)
    del stub.handlers["PUT", "/datastore/label"]
    return server, kept


def test_a_kept_label_that_is_turned_down_holds_up_no_other(stub: StubServer, tmp_path: Path) -> None:
    server, kept = three_kept(stub, tmp_path)
    stub.cases.remove("case_007")
    with pytest.raises(Failure, match="There is no image 'case_007'"):
        server.send_kept(kept)
    assert [saved["image"] for saved in stub.saved] == ["case_008", "case_009"]
    assert [draft.image_id for draft in kept.all()] == ["case_007"]


@pytest.mark.parametrize("status", [403, 413])
def test_a_kept_label_that_is_refused_on_its_way_holds_up_no_other(
    stub: StubServer, tmp_path: Path, status: int
) -> None:
    server, kept = three_kept(stub, tmp_path)

    def refusing_one(handler: Any) -> None:
        if handler.query["image"] == "case_007":
            saying(status)(handler)
        else:
            handler._put_datastore()

    stub.handlers["PUT", "/datastore/label"] = refusing_one
    with pytest.raises(Failure) as caught:
        server.send_kept(kept)
    assert caught.value.status == status
    assert [saved["image"] for saved in stub.saved] == ["case_008", "case_009"]
    assert [draft.image_id for draft in kept.all()] == ["case_007"]


@pytest.mark.parametrize(("answer", "kind"), [(saying(401), "sign_in"), (saying(502), "gateway")])
def test_kept_labels_wait_for_a_server_that_is_away_or_wants_a_sign_in(
    stub: StubServer, tmp_path: Path, answer: Handler, kind: str
) -> None:
    server, kept = three_kept(stub, tmp_path)
    stub.handlers["PUT", "/datastore/label"] = answer
    stub.requests.clear()
    with pytest.raises(Failure) as caught:
        server.send_kept(kept)
    assert caught.value.kind == kind
    assert {request.split("image=")[1].split("&")[0] for request in stub.requests} == {"case_007"}
    assert len(kept.all()) == 3


def test_a_token_is_sent_whatever_is_written_down_for_this_computer(
    stub: StubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`requests` would sign with what it finds in a `.netrc`."""
    monkeypatch.setattr("scaling_app_client.blocking.is_local", lambda _url: False)
    written = tmp_path / "netrc"
    written.write_text("machine 127.0.0.1 login somebody password else\n")
    written.chmod(0o600)
    monkeypatch.setenv("NETRC", str(written))
    stub.handlers["POST", "/auth/token"] = lambda handler: handler.answer({"access_token": "ours"})
    Server(stub.url, user="reader", password="right")
    assert [seen.get("Authorization") for seen in stub.headers_seen] == [None, "Bearer ours"]


def test_an_answer_that_cannot_be_unpacked_is_lost(stub: StubServer) -> None:
    def badly_packed(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", "5")
        handler.end_headers()
        handler.wfile.write(b"plain")

    server = Server(stub.url, retries=0)
    stub.handlers["GET", "/sufficiency/"] = badly_packed
    with pytest.raises(Failure) as caught:
        server.forecast()
    assert caught.value.kind == "lost"


def test_the_servers_own_sentence_is_told_and_the_name_of_a_status_is_none() -> None:
    said = failure_of_status(507, json.dumps({"detail": "The server has no room left."}))
    assert (said.kind, said.sentence) == ("unable", "The server has no room left.")
    assert failure_of_status(404, json.dumps({"detail": "Not Found"})).sentence == ""


def test_a_label_that_the_server_refuses_is_not_kept(stub: StubServer, tmp_path: Path) -> None:
    label, kept = tmp_path / "case.nii.gz", DraftStore(str(tmp_path / "kept"))
    label.write_bytes(b"drawn")
    with pytest.raises(Failure, match="There is no image 'ghost'"):
        connected(stub).save_label("ghost", label, {"organ": 1}, kept=kept)
    assert kept.all() == []


def test_the_client_loads_without_the_server_and_without_torch() -> None:
    code = "import sys; sys.path.insert(0, 'client'); import scaling_app_client.blocking, json; print(json.dumps(sorted(sys.modules)))"
    root = Path(__file__).parents[2]
    loaded = json.loads(
        subprocess.run([sys.executable, "-I", "-c", code], cwd=root, capture_output=True, check=True).stdout
    )
    assert not {"scaling_app", "torch", "numpy", "qt", "PySide6"} & set(loaded)
