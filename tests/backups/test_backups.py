"""A backup holds the state of one moment, and comes back whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from scaling_app.backups import holding, making, restoring
from scaling_app.backups.holding import FolderHeldError
from scaling_app.backups.manifest import BackupError, Manifest
from scaling_app.backups.restoring import finish_restore, restore
from scaling_app.commands.launch import init_app
from scaling_app.ledger import Ledger, Run, utc_now
from scaling_app.ledger.notes import LAST_BACKUP
from scaling_app.monai_app.studies_folder import StudiesFolder
from scaling_app.studies.labels.intake import LabelIntake
from scaling_app.studies.studies import Studies
from tests.backups.conftest import Place, contents
from tests.desk import Desk

Make = Callable[..., Manifest]


def reopened(desk: Desk, place: Place) -> Studies:
    """The studies as a server would open them there."""
    from dataclasses import replace

    return Studies(replace(desk.studies.conf, ledger=place.ledger), StudiesFolder(place.studies))


def copy_images(desk: Desk, place: Place) -> None:
    for image in desk.labels:
        shutil.copy(desk.studies.image_path(image), place.studies)


def test_what_comes_back_elsewhere_is_what_was_there(
    desk: Desk, backed_up: Make, elsewhere: Place, tmp_path: Path
) -> None:
    backed_up()
    copy_images(desk, elsewhere)
    restore(tmp_path / "backup.tar", ledger=elsewhere.ledger, studies=elsewhere.studies)
    there = reopened(desk, elsewhere)
    assert there.ledger.cases() == desk.studies.ledger.cases()
    assert there.ledger.label_history("synthetic_000") == desk.studies.ledger.label_history("synthetic_000")
    for image in there.datastore.get_labeled_images():
        assert there.stored_label(image).read_bytes() == desk.studies.stored_label(image).read_bytes()
    assert [v.name for v in there.datastore._history.of("final", "synthetic_000")] != []
    assert there.published().model_file.read_bytes() == b"weights"
    assert LabelIntake(there).take_stock() is False  # nothing looks new, nothing looks gone


def test_images_are_in_it_when_they_are_asked_for(
    desk: Desk, backed_up: Make, elsewhere: Place, tmp_path: Path
) -> None:
    assert not any("synthetic_005" in entry.path for entry in backed_up().files)
    assert backed_up(images=True).images
    restore(tmp_path / "backup.tar", ledger=elsewhere.ledger, studies=elsewhere.studies)
    assert set(reopened(desk, elsewhere).datastore.list_images()) == set(desk.labels)


def test_people_can_read_it_with_tar_and_sha256sum(backed_up: Make, tmp_path: Path) -> None:
    manifest = backed_up()
    assert stat.S_IMODE((tmp_path / "backup.tar").stat().st_mode) == 0o600
    with tarfile.open(tmp_path / "backup.tar") as tar:
        assert tar.getnames() == [
            "manifest.json",
            "manifest.sha256",
            *(entry.path for entry in manifest.files),
        ]
        tar.extractall(tmp_path / "out", filter="data")
    subprocess.run(
        ["sha256sum", "-c", "manifest.sha256"], cwd=tmp_path / "out", check=True, capture_output=True
    )


def test_a_long_name_is_kept(desk: Desk, backed_up: Make, elsewhere: Place, tmp_path: Path) -> None:
    long = "b" * 190
    folder = Path(desk.studies.datastore._datastore_path)
    shutil.copy(desk.studies.image_path("synthetic_000"), folder / f"{long}.nrrd")
    desk.studies.datastore.refresh()
    for _ in range(2):  # the second one goes into the history, under a still longer name
        desk.studies.save_label(long, desk.labels["synthetic_000"], "final", {})
        desk.studies.save_label(long, desk.labels["synthetic_002"], "final", {})
    assert max(len(entry.path) for entry in backed_up().files) > 200
    restore(tmp_path / "backup.tar", ledger=elsewhere.ledger, studies=elsewhere.studies)
    assert contents(elsewhere.studies) == {
        path: content for path, content in contents(folder).items() if "/" in path or path.endswith("json")
    }


def test_a_running_training_of_the_original_is_over_in_the_copy(
    desk: Desk, backed_up: Make, elsewhere: Place, tmp_path: Path
) -> None:
    ledger = desk.studies.ledger
    ledger.start_run(Run("fold-1", "fold", "none", "resunet", ["synthetic_000"], 1, 0, 0, "h", utc_now()))
    ledger.set_job({"state": "running", "done": 1, "total": 5})
    backed_up()
    restore(tmp_path / "backup.tar", ledger=elsewhere.ledger, studies=elsewhere.studies)
    copy = Ledger(elsewhere.ledger)
    assert (copy.run("fold-1").state, copy.job()["state"]) == ("stopped", "idle")
    assert (ledger.run("fold-1").state, ledger.job()["state"]) == ("running", "running")


def test_the_ledger_notes_when_it_was_backed_up(desk: Desk, backed_up: Make, tmp_path: Path) -> None:
    revision = desk.studies.ledger.revision()
    manifest = backed_up()
    noted = desk.studies.ledger.setting(LAST_BACKUP)
    assert noted == {"at": manifest.made_at, "bytes": (tmp_path / "backup.tar").stat().st_size}
    assert desk.studies.ledger.revision() == revision


def test_no_second_names_are_left(desk: Desk, backed_up: Make, tmp_path: Path) -> None:
    studies = Path(desk.studies.datastore._datastore_path)
    left = studies / ".backup-nohost_1_1", studies / f".backup-{os.uname().nodename}_4194303_7"
    for folder in left:
        folder.mkdir()
    backed_up()
    assert left[0].exists(), "of another machine: nobody can tell"
    assert [f for f in tmp_path.rglob(".backup-*") if f != left[0]] == []


@pytest.mark.parametrize("other", ["notes", ""])
def test_no_other_file_is_replaced(backed_up: Make, tmp_path: Path, other: str) -> None:
    (tmp_path / "backup.tar").write_text(other)
    with pytest.raises(BackupError, match="is there already"):
        backed_up()
    assert (tmp_path / "backup.tar").read_text() == other


def test_half_a_file_of_a_killed_backup_goes_with_the_next_one(
    desk: Desk, backed_up: Make, tmp_path: Path
) -> None:
    old, young = (tmp_path / f".part-{digits * 12}-backup.tar" for digits in "ab")
    foreign = tmp_path / ".part-of-something-else"
    for file in (old, young, foreign):
        file.write_bytes(b"half")
    for file in (old, foreign):
        os.utime(file, (0, 0))
    backed_up()
    assert not old.exists() and young.exists() and foreign.exists()


def test_without_a_ledger_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    with pytest.raises(ValueError, match=r"there is no ledger at .*name the same places as for the server"):
        making.back_up(
            tmp_path / "b.tar", ledger=tmp_path / "app" / "ledger.sqlite", studies=tmp_path / "studies"
        )
    assert {f.name for f in tmp_path.rglob("*")} == {"studies"}


def test_a_full_disk_leaves_the_backup_before(
    desk: Desk, backed_up: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backed_up()
    before = (tmp_path / "backup.tar").read_bytes()
    monkeypatch.setattr(making.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 10))
    with pytest.raises(OSError, match=r"are free.*no backup was written"):
        backed_up()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.undo()
    monkeypatch.setattr(making, "write_archive", full)
    with pytest.raises(OSError, match=r"No space left.*no backup was written"):
        backed_up()
    assert (tmp_path / "backup.tar").read_bytes() == before


def test_nothing_is_overwritten(desk: Desk, backed_up: Make, tmp_path: Path) -> None:
    backed_up()
    studies, ledger = Path(desk.studies.datastore._datastore_path), desk.studies.conf.ledger
    before = contents(studies), contents(ledger.parent)
    with pytest.raises(BackupError, match="is there already"):
        restore(tmp_path / "backup.tar", ledger=ledger, studies=studies)
    assert (contents(studies), contents(ledger.parent)) == before


def test_a_file_where_a_folder_has_to_be_is_refused(
    backed_up: Make, elsewhere: Place, tmp_path: Path
) -> None:
    backed_up()
    (elsewhere.studies / "labels").write_text("a list of labels")
    with pytest.raises(BackupError, match="labels is no folder"):
        restore(tmp_path / "backup.tar", ledger=elsewhere.ledger, studies=elsewhere.studies)
    assert contents(elsewhere.studies) == {"labels": b"a list of labels"}


@pytest.mark.parametrize(
    ("lock", "who"), [(holding._SERVER, "a server"), (holding._RESTORE, "another restore")]
)
def test_a_folder_that_somebody_holds_is_left_alone(
    backed_up: Make, elsewhere: Place, tmp_path: Path, lock: str, who: str
) -> None:
    backed_up()
    elsewhere.ledger.parent.mkdir(parents=True)
    with FileLock(str(elsewhere.ledger.parent / lock)), pytest.raises(FolderHeldError, match=who):
        restore(tmp_path / "backup.tar", ledger=elsewhere.ledger, studies=elsewhere.studies)
    assert contents(elsewhere.studies) == {} and not elsewhere.ledger.exists()


@pytest.mark.parametrize(("shared", "mode"), [(False, 0o600), (True, 0o660)])
def test_what_comes_back_is_for_its_user_alone_and_for_the_group_of_a_shared_folder(
    desk: Desk, backed_up: Make, tmp_path: Path, shared: bool, mode: int
) -> None:
    backed_up()
    studies, app = tmp_path / "studies again", tmp_path / "app again"
    studies.mkdir()
    studies.chmod(0o2770 if shared else 0o755)
    command = [
        sys.executable,
        "-m",
        "scaling_app.commands.cli",
        "restore",
        "backup.tar",
        "--studies",
        studies,
        "--app",
        app,
    ]
    subprocess.run(command, cwd=tmp_path, umask=0o022, check=True)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in studies.rglob("*") if file.is_file()}
    assert modes == {mode}
    assert not any(stat.S_IMODE(place.stat().st_mode) & 0o077 for place in (app, *app.rglob("*")))
    init_app(app)  # what `serve` does first
    assert (app / "main.py").is_file()


def test_no_server_starts_while_a_restore_is_at_work(tmp_path: Path) -> None:
    with holding.restoring(tmp_path), pytest.raises(FolderHeldError, match="a restore is at work"):
        holding.serving(tmp_path)
    holding.serving(tmp_path).release()


def test_a_restore_of_studies_on_a_dicom_server_wants_such(
    desk: Desk, elsewhere: Place, tmp_path: Path, backed_up: Make
) -> None:
    ledger = desk.studies.conf.ledger
    making.back_up(tmp_path / "dicom.tar", ledger=ledger, studies=ledger.parent / "dicom", remote=True)
    with pytest.raises(BackupError, match="on a DICOM server"):
        restore(tmp_path / "dicom.tar", ledger=elsewhere.ledger, studies=elsewhere.studies)
    copies = elsewhere.ledger.parent / "dicom"
    manifest = restore(tmp_path / "dicom.tar", ledger=elsewhere.ledger, studies=copies, remote=True)
    assert not any(entry.path.startswith("studies") for entry in manifest.files)
    assert Ledger(elsewhere.ledger).cases() == desk.studies.ledger.cases()


def test_a_full_disk_restores_nothing(
    backed_up: Make, elsewhere: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backed_up()
    monkeypatch.setattr(restoring.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1 << 20))
    with pytest.raises(OSError, match="nothing was restored"):
        restore(tmp_path / "backup.tar", ledger=elsewhere.ledger, studies=elsewhere.studies)
    monkeypatch.undo()

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(restoring, "flush", full)
    with pytest.raises(OSError, match="No space left"):
        restore(tmp_path / "backup.tar", ledger=elsewhere.ledger, studies=elsewhere.studies)
    assert contents(elsewhere.studies) == {} and contents(elsewhere.ledger.parent) == {}


WRITES = {"os.rename", "os.mkdir", "os.chmod", "os.utime", "os.rmdir", "os.remove", "shutil.rmtree"}


def killed_at(step: int, file: Path, place: Place) -> int:
    """Restores in a process of its own that kills itself at that step on the disk; returns how many steps it took, or -1."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        steps = 0

        def count(event: str, arguments: tuple) -> None:
            nonlocal steps
            opened = (
                event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            )
            if event in WRITES or opened:
                steps += 1
                if steps == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            restore(file, ledger=place.ledger, studies=place.studies)
            os.write(writer, str(steps).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        said = told.read()
    os.waitpid(child, 0)
    return int(said or -1)


@pytest.mark.slow_processes
def test_killed_at_any_step_all_of_it_comes_or_nothing(
    desk: Desk, backed_up: Make, elsewhere: Place, tmp_path: Path
) -> None:
    backed_up()
    steps = killed_at(-1, tmp_path / "backup.tar", elsewhere)
    expected, outcomes = contents(elsewhere.studies), set()
    assert steps > 40
    for step in range(1, steps - 3, 6):
        place = Place(tmp_path / f"a{step}" / "ledger.sqlite", tmp_path / f"s{step}")
        place.studies.mkdir()
        assert killed_at(step, tmp_path / "backup.tar", place) == -1
        finish_restore(place.ledger, place.studies)  # what the next start of a server does
        found = contents(place.studies)
        assert found in ({}, expected)
        assert place.ledger.exists() is (found != {})
        assert not (place.studies / ".restore").exists() and not (place.ledger.parent / ".restore").exists()
        if found:
            assert len(Ledger(place.ledger).cases()) == 4
        else:
            restore(tmp_path / "backup.tar", ledger=place.ledger, studies=place.studies)
            assert contents(place.studies) == expected
        outcomes.add(bool(found))
    assert outcomes == {False, True}


def test_an_interrupted_restore_goes_on_only_where_it_was(
    desk: Desk, backed_up: Make, elsewhere: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backed_up()
    with monkeypatch.context() as patched:
        patched.setattr(restoring, "_finish", lambda *_: None)
        restore(tmp_path / "backup.tar", ledger=elsewhere.ledger, studies=elsewhere.studies)
    assert contents(elsewhere.studies).keys() == {
        path for path in contents(elsewhere.studies) if path.startswith(".restore/")
    }
    (tmp_path / "third").mkdir()
    with pytest.raises(BackupError, match="to go on with it"):
        finish_restore(elsewhere.ledger, tmp_path / "third")
    finish_restore(elsewhere.ledger, elsewhere.studies)
    finish_restore(elsewhere.ledger, elsewhere.studies)  # twice does no harm
    assert len(Ledger(elsewhere.ledger).cases()) == 4


def test_an_older_ledger_is_copied_as_it_is(desk: Desk, backed_up: Make, tmp_path: Path, monkeypatch) -> None:
    ledger = desk.studies.conf.ledger
    desk.studies.ledger.close()
    with sqlite3.connect(ledger) as raw:
        raw.execute("PRAGMA user_version=1")
    assert backed_up().ledger_schema == 1
    with sqlite3.connect(ledger) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (1,)
