"""What the server does about trainings whose process died, and about those that outlived an earlier server."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from fastapi import HTTPException

from scaling_app.ledger import Run, utc_now
from scaling_app.log.veil import Veil
from scaling_app.monai_app import app as app_module
from scaling_app.monai_app.app import ScalingApp
from scaling_app.monai_app.routes.trainings import start_training
from scaling_app.service.glance import Training
from scaling_app.studies.interrupted import close_interrupted_runs

TRAIN = """
import sys
from scaling_app.ledger import Ledger, Run, utc_now
ledger = Ledger(sys.argv[1])
ledger.start_run(Run("r", "published", "baseline", "resunet", ["a"], 1, 0, None, "s", utc_now()))
ledger.set_job({"state": "running", "done": 0, "total": 1})
print("started", flush=True)
sys.stdin.readline()
ledger.finish_run("r")
ledger.set_job({"state": "idle"})
print("done", flush=True)
"""


@pytest.fixture
def app(desk_of, tmp_path) -> ScalingApp:
    """An app with a session and no server around it."""
    desk = desk_of(2)
    desk.submit(*desk.labels)
    app = ScalingApp.__new__(ScalingApp)
    app.open_studies, app.intake, app.studies = desk.studies, desk.intake, "studies"
    app.options, app._trainers = desk.studies.conf, {"segmentation": None}
    app.veil, app.scratch, app.agreements = Veil(bytes(16)), tmp_path, SimpleNamespace(measure=lambda: None)
    return app


@pytest.fixture
def survivor(app: ScalingApp) -> Iterator[subprocess.Popen[str]]:
    """A training in a process that this server did not begin."""
    command = [sys.executable, "-c", TRAIN, str(app.open_studies.ledger.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "started\n"
        yield process
        process.kill()


def test_a_training_that_outlived_its_server_ends_as_done_and_no_other_begins_beside_it(app, survivor):
    close_interrupted_runs(app.open_studies.ledger, "interrupted: the server was stopped", elsewhere=True)
    assert app.open_studies.ledger.run("r").state == app.open_studies.ledger.job()["state"] == "running"
    with pytest.raises(HTTPException, match=f"process {survivor.pid}") as refused:
        start_training(app, "segmentation", {})
    assert refused.value.status_code == 429
    survivor.stdin.write("\n")
    survivor.stdin.flush()
    assert survivor.stdout.readline() == "done\n"
    assert app.open_studies.ledger.run("r").state == "done"
    app.require_trainable("segmentation", {})


def test_a_training_that_outlived_its_server_is_shown_until_it_ends(app, survivor, monkeypatch):
    """Beside it no other may begin, and nobody would see why."""
    stats = {"start_ts": 1, "epoch": 100, "total_epochs": 400, "seconds_left": 90}
    app._trainers = {"segmentation": SimpleNamespace(stats=lambda: stats)}
    assert app.training() == Training(100, 400, 90.0)
    survivor.stdin.write("\n")
    survivor.stdin.flush()
    assert survivor.stdout.readline() == "done\n"
    assert app.training() is None


def test_the_server_s_own_training_does_not_keep_others_from_being_queued(app, survivor, monkeypatch):
    monkeypatch.setattr(app_module, "processes", lambda _method: {"task": survivor})
    app.require_trainable("segmentation", {})


def test_a_training_that_was_killed_is_closed_once_it_is_gone(app, survivor):
    threading.Timer(0.3, survivor.kill).start()
    close_interrupted_runs(app.open_studies.ledger, "stopped by a user", wait_seconds=20)
    assert app.open_studies.ledger.run("r").state == "stopped"
    assert (
        app.open_studies.ledger.run("r").message
        == app.open_studies.ledger.job()["message"]
        == "stopped by a user"
    )


@pytest.fixture
def watching(app, monkeypatch) -> Callable[[Callable[[], None]], None]:
    """Lets the server look at its labels with this instead of its own look."""

    class StopError(BaseException):
        pass

    def watch(look: Callable[[], None]) -> None:
        looks = iter([None, None])

        def pause(_seconds: float) -> None:
            if next(looks, StopError) is StopError:
                raise StopError

        monkeypatch.setattr(app, "take_stock", look)
        monkeypatch.setattr(app_module.time, "sleep", pause)
        with pytest.raises(StopError):
            app._watch()

    return watch


def test_a_run_begun_during_a_look_at_the_labels_is_not_taken_for_a_dead_one(app, watching):
    run = Run("later", "published", "baseline", "resunet", ["a"], 1, 0, None, "s", utc_now())
    watching(lambda: app.open_studies.ledger.run("later") or app.open_studies.ledger.start_run(run))
    app.open_studies.ledger.finish_run("later")
    assert app.open_studies.ledger.run("later").state == "done"


def test_a_run_whose_process_died_is_noticed(app, survivor, watching):
    survivor.kill()
    survivor.wait()
    watching(lambda: None)
    assert app.open_studies.ledger.run("r").message == "interrupted: the process ended"


@pytest.mark.parametrize(
    ("held", "expected"),
    [("never set", 0.8), (None, None), (0.9, 0.9)],
    ids=["new", "taken back", "set since"],
)
def test_the_target_of_the_options_is_where_a_session_begins_and_no_more(app, held, expected):
    app.open_studies.conf = dataclasses.replace(app.options, target=0.8)
    if held != "never set":
        app.open_studies.ledger.set_setting("target", held)
    app.open_studies.adopt_conf()
    assert app.open_studies.ledger.setting("target") == expected


@pytest.mark.parametrize(
    ("told", "held", "said"),
    [
        (None, 60, "Trainings take 60 steps"),
        (40, 60, "--conf steps 40 is left aside"),
        (40, "auto", "--conf steps 40 is left aside"),
        (60, 60, ""),
        (None, "auto", ""),
        (40, None, ""),
    ],
)
def test_an_option_that_nobody_gave_is_not_said_to_be_left_aside(app, caplog, told, held, said):
    caplog.set_level("INFO")
    app.open_studies.conf = dataclasses.replace(app.options, steps=told)
    app.open_studies.ledger.set_setting("steps", held)
    app.open_studies.adopt_conf()
    about = [line for line in caplog.messages if "steps" in line]
    assert about == [] if not said else (len(about) == 1 and about[0].startswith(said))
