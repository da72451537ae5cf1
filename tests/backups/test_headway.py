"""Whoever makes a backup, or brings one back, sees how far it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling_app.backups import headway
from scaling_app.backups.manifest import Manifest
from scaling_app.backups.restoring import restore
from scaling_app.commands import operating
from tests.backups.conftest import Place
from tests.desk import Desk

Make = Callable[..., Manifest]
Heard = dict[str, list[tuple[int, int]]]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    """What was told of each phase; a byte is told as a MiB."""
    monkeypatch.setattr(headway, "_MIB", 1)
    return {}


def listener(heard: Heard) -> Callable[[str, int, int], None]:
    return lambda name, done, total: heard.setdefault(name, []).append((done, total))


def test_each_phase_of_a_backup_goes_from_nothing_to_all(backed_up: Make, heard: Heard) -> None:
    manifest = backed_up(images=True, told=listener(heard))
    assert list(heard) == ["gathering, files", "checksums, MiB", "writing, MiB"]
    assert_whole(heard)
    assert heard["writing, MiB"][-1][1] == heard["checksums, MiB"][-1][1] == manifest.total_bytes
    assert len(heard["writing, MiB"]) >= len(manifest.files)


def test_each_phase_of_a_restore_goes_from_nothing_to_all(
    backed_up: Make, elsewhere: Place, tmp_path: Path, heard: Heard
) -> None:
    manifest = backed_up(images=True)
    file = tmp_path / "backup.tar"
    restore(file, ledger=elsewhere.ledger, studies=elsewhere.studies, told=listener(heard))
    assert list(heard) == ["unpacking, MiB", "putting in place, files"]
    assert_whole(heard)
    assert heard["unpacking, MiB"][-1][1] == manifest.total_bytes
    assert heard["putting in place, files"][-1][1] == len(manifest.files)


def assert_whole(heard: Heard) -> None:
    for told in heard.values():
        done, totals = zip(*told, strict=True)
        assert done[0] == 0 and done[-1] == totals[0] and len(set(totals)) == 1
        assert list(done) == sorted(set(done))


def test_a_piece_is_not_told_before_it_is_a_mib() -> None:
    heard: Heard = {}
    phase = headway.Phase(listener(heard), "writing", 5 << 19)
    for _ in range(5 << 5):
        phase.more(1 << 14)
    assert heard == {"writing, MiB": [(0, 3), (1, 3), (2, 3), (3, 3)]}


def test_the_commands_show_it(
    desk: Desk,
    elsewhere: Place,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    file = tmp_path / "backup.tar"
    studies = str(desk.studies.datastore._datastore_path)
    operating.backup(file, studies, None, [f"ledger={desk.studies.conf.ledger}"], True)
    said = capsys.readouterr()
    assert "checksums, MiB" in said.err and "writing, MiB" in said.err
    assert said.out.startswith(f"{file}: ")
    operating.restore(file, str(elsewhere.studies), None, [f"ledger={elsewhere.ledger}"])
    assert "unpacking, MiB" in capsys.readouterr().err


def test_a_backup_does_not_wait_for_torch() -> None:
    code = "import sys, scaling_app.backups.making, scaling_app.experiments.progress; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
