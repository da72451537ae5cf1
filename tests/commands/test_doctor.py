"""The doctor names what is missing, with a command that can be copied."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from scaling_app.commands import doctor


def findings(check) -> dict[str, doctor.Finding]:
    return {finding.what: finding for finding in check()}


def test_a_missing_package_is_named_with_its_extras(monkeypatch, capsys) -> None:
    monkeypatch.setattr(doctor, "CHECKS", (doctor._packages,))
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: ["no-such-package[crypto]>=2.8"])
    monkeypatch.setenv("COLUMNS", "120")
    assert doctor.examine() == 1
    assert "pip install 'no-such-package[crypto]>=2.8'" in capsys.readouterr().out


def test_a_source_tree_that_is_not_installed_is_a_finding_and_no_failure(monkeypatch) -> None:
    def missing(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "requires", missing)
    assert "pip install" in findings(doctor._packages)["scaling-app"].detail


@pytest.mark.parametrize(("gib", "good"), [(100, True), (1, False)])
def test_the_disk_looked_at_is_that_of_the_app_folder(
    monkeypatch, tmp_path: Path, gib: int, good: bool
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "not" / "made"))
    looked_at: list[Path] = []

    def usage(folder: Path):
        looked_at.append(Path(folder))
        return type("Usage", (), {"free": gib * 2**30})

    monkeypatch.setattr(doctor.shutil, "disk_usage", usage)
    disk = findings(doctor._disk)["Disk"]
    assert looked_at == [tmp_path]
    assert disk.good is good
    assert good or str(tmp_path) in disk.detail


def test_it_says_where_prepared_cases_lie_and_how_much_they_may_take(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 16 * 2**30}))
    detail = findings(doctor._disk)["Prepared cases"].detail
    assert str(tmp_path) in detail and "cache" in detail
    assert "at most 8 GiB" in detail and "may be deleted" in detail


def test_a_check_that_takes_long_shows_how_far_it_is(monkeypatch, capsys) -> None:
    heard: list[str] = []

    def slow():
        heard.append(capsys.readouterr().err)
        yield doctor.Finding("Slow", True, "yes")

    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    monkeypatch.setattr(doctor, "CHECKS", (slow, slow))
    assert doctor.examine() == 0
    assert "checks" in heard[0]
    assert "2/2" in capsys.readouterr().err
