"""A file is the old one or the new one, whatever happens to its writer."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from scaling_app.storage import copy_whole, whole_file, write_whole_text


def test_an_error_while_writing_leaves_the_old_content_and_nothing_beside_it(tmp_path: Path):
    file = tmp_path / "label.nii.gz"
    file.write_bytes(b"old")
    with pytest.raises(OSError, match="full"), whole_file(file) as part:
        part.write_bytes(b"ne")
        raise OSError(28, "disk full")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_the_old_content_is_there_until_the_new_one_is_whole(tmp_path: Path):
    file = write_whole_text(tmp_path / "index.json", "{}")
    with whole_file(file) as part:
        part.write_text('{"a":')
        assert file.read_text() == "{}"
        part.write_text('{"a": 1}')
    assert file.read_text() == '{"a": 1}'


def test_file_and_folder_are_flushed_before_and_after_the_change_of_names(tmp_path: Path, monkeypatch):
    steps: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        real_fsync(handle)

    def replace(self: Path, goal: Path) -> Path:
        steps.append("replace")
        return real_replace(self, goal)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    write_whole_text(tmp_path / "a.txt", "a")
    assert steps == ["file", "replace", "folder"]


def test_the_part_ends_as_the_file_does_since_writers_choose_the_format_by_it(tmp_path: Path):
    with whole_file(tmp_path / "a.nii.gz") as part:
        assert part.name.endswith(".nii.gz")
        part.touch()


def test_a_replaced_file_keeps_its_mode_and_a_new_one_has_the_usual(tmp_path: Path):
    old = tmp_path / "old"
    old.touch()
    old.chmod(0o640)
    write_whole_text(old, "x")
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    (tmp_path / "usual").touch()
    new = write_whole_text(tmp_path / "new", "x")
    assert new.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_link_stays_a_link(tmp_path: Path):
    (tmp_path / "real").mkdir()
    goal = tmp_path / "real" / "a"
    goal.write_text("old")
    (tmp_path / "a").symlink_to(goal)
    (tmp_path / "source").write_text("new")
    copy_whole(tmp_path / "source", tmp_path / "a")
    assert (tmp_path / "a").is_symlink() and goal.read_text() == "new"
