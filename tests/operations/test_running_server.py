"""A server as an operator runs it: one process, https, JSON logs, numbers, a doctor, a backup while labels come."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from scaling_app.backups.holding import FolderHeldError
from scaling_app.backups.restoring import restore
from scaling_app.imaging.synthetic import STRUCTURES
from scaling_app.ledger import Ledger
from scaling_app.studies.studies import file_hash
from scaling_app_client.blocking import Server
from tests.operations.conftest import Served

pytestmark = [pytest.mark.slow_server, pytest.mark.timeout(600)]


@pytest.fixture
def client(served: Served, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", served.environment["REQUESTS_CA_BUNDLE"])
    return Server(served.url)


def test_a_backup_while_labels_are_saved_holds_each_that_was_acknowledged(
    served: Served, client: Server, tmp_path: Path
) -> None:
    images, files = sorted(served.labels), list(served.labels.values())
    contents = {file_hash(file) for file in files}
    acknowledged: list[tuple[str, str]] = []
    stop = threading.Event()

    def save() -> None:
        turn = 0
        while not stop.is_set():
            for image in images[: 2 + turn % 5]:
                file = files[(turn + images.index(image)) % len(files)]
                client.save_label(image, file, STRUCTURES)
                acknowledged.append((image, file_hash(file)))
            turn += 1

    saver = threading.Thread(target=save)
    saver.start()
    try:
        while len(acknowledged) < 3:
            time.sleep(0.1)
        before = dict(acknowledged)
        done = served.command("backup", str(tmp_path / "b.tar"), *places(served))
        assert done.returncode == 0, done.stderr
        after = list(acknowledged)
    finally:
        stop.set()
        saver.join(timeout=120)
    assert len(after) > len(before) and not list(served.studies.glob(".backup-*"))
    there, ledger = tmp_path / "there", tmp_path / "app" / "ledger.sqlite"
    there.mkdir()
    restore(tmp_path / "b.tar", ledger=ledger, studies=there)
    cases = {case.image_id: case for case in Ledger(ledger).cases()}
    assert before.keys() <= cases.keys()
    for image, case in cases.items():
        label = file_hash(there / "labels" / "final" / f"{image}.nii.gz")
        assert label in contents
        # one that was in place and not acknowledged yet is whole, and newer than what the ledger has
        assert case.label_hash == label or (image, label) in after[len(before) - 1 :]
    held = served.app / "model"
    [ledger] = held.glob("*/ledger.sqlite")
    with pytest.raises(FolderHeldError, match="a server holds"):
        restore(tmp_path / "b.tar", ledger=ledger, studies=served.studies)


def places(served: Served) -> list[str]:
    return ["--studies", str(served.studies), "--app", str(served.app)]


def test_the_process_that_was_started_is_the_server_and_holds_the_libraries_alone(served: Served) -> None:
    started = psutil.Process(served.process.pid)
    heard = [one.laddr.port for one in started.net_connections() if one.status == psutil.CONN_LISTEN]
    assert heard == [int(served.url.rpartition(":")[2])]
    # the processes that read labels and make forecasts hold what these need
    assert all(child.memory_full_info().pss < 300e6 for child in started.children(recursive=True))


def test_its_numbers_name_nobody(served: Served, client: Server) -> None:
    client.refresh()
    text = client.numbers()
    assert 'scaling_app_request_seconds_count{method="GET",route="/info/"}' in text
    assert "scaling_app_loopback_only 1.0" in text and "scaling_app_login 0.0" in text
    assert "synthetic" not in text and str(served.studies) not in text
    assert len(text.splitlines()) < 2000


def test_the_doctor_finds_what_there_is(served: Served) -> None:
    """After the backup above."""
    done = served.command("doctor", "--server", served.url)
    assert done.returncode == 0, done.stdout + done.stderr
    for found in (
        "good until",
        "Scaling App at https",
        "0.0 days old",
        "only that computer reaches it",
        "GiB free",
    ):
        assert found in done.stdout, done.stdout


def test_every_line_of_the_log_is_json_and_uvicorn_s_too_and_it_ends_well(served: Served) -> None:
    """The last test of this file: it ends the server."""
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(timeout=60) == 0, served.log.read_text()[-3000:]
    lines = [json.loads(line) for line in served.log.read_text().splitlines()]
    assert {"uvicorn.error", "printed"} <= {line["logger"] for line in lines}
    assert all({"at", "level", "message", "process"} <= line.keys() for line in lines)
    [file] = (served.app / "logs").glob("app.log")
    assert all(json.loads(line)["level"] for line in file.read_text().splitlines())
