"""A file is the old one or the new one, whatever happens to its writer."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from scaling_app.storage import NO_ROOM, copy_whole, taken_away, whole_file, whole_files, write_whole_text

from ..full_disk import files_up_to


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


def failing_folders(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """From now on no folder can be flushed."""
    real_fsync = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        real_fsync(handle)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("links", [True, False])
def test_an_error_after_the_change_of_names_takes_it_back(tmp_path: Path, monkeypatch, links: bool):
    file = write_whole_text(tmp_path / "label", "old")
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "")))
    failing_folders(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        write_whole_text(file, "new")
    with pytest.raises(OSError, match="Input/output"):
        write_whole_text(tmp_path / "other", "new")
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


def test_a_file_system_that_flushes_no_folders_can_be_written(tmp_path: Path, monkeypatch):
    file = write_whole_text(tmp_path / "label", "old")
    failing_folders(monkeypatch, errno.EINVAL)
    write_whole_text(file, "new")
    assert file.read_text() == "new" and list(tmp_path.iterdir()) == [file]


def test_the_name_of_a_new_folder_is_flushed_too(tmp_path: Path, monkeypatch):
    flushed: list[Path] = []
    real = whole_files.flush
    monkeypatch.setattr(whole_files, "flush", lambda path: (flushed.append(path), real(path)))
    write_whole_text(tmp_path / "labels" / "final" / "a", "a")
    assert {tmp_path, tmp_path / "labels", tmp_path / "labels" / "final"} <= set(flushed)


@pytest.mark.parametrize("letter", ["a", "é", "文", "𝔸"])
def test_a_name_as_long_as_a_file_system_takes_is_written(tmp_path: Path, letter: str):
    name = letter * (248 // len(letter.encode())) + ".nii.gz"
    assert write_whole_text(tmp_path / name, "x").read_text() == "x"


def test_files_are_taken_away_all_or_none(tmp_path: Path):
    files = [write_whole_text(tmp_path / name, name) for name in "abc"]
    real = tmp_path / "real"
    real.write_text("beyond")
    link = tmp_path / "link"
    link.symlink_to(real)
    with pytest.raises(OSError, match="later"), taken_away([*files, link, tmp_path / "missing"]):
        assert not any(file.exists() for file in files)
        raise OSError("later")
    assert [file.read_text() for file in files] == list("abc") and link.read_text() == "beyond"
    with taken_away([*files, link]):
        pass
    assert list(tmp_path.iterdir()) == [real]


def test_one_file_that_cannot_be_taken_away_leaves_all(tmp_path: Path, monkeypatch):
    files = [write_whole_text(tmp_path / name, name) for name in "ab"]
    real = Path.rename

    def rename(self: Path, goal: Path) -> Path:
        if self == files[1]:
            raise PermissionError(errno.EPERM, "not permitted")
        return real(self, goal)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(PermissionError), taken_away(files):
        pass
    assert sorted(tmp_path.iterdir()) == files


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


@pytest.mark.parametrize("writer", ["numpy", "torch", "the system"])
def test_a_full_disk_is_named_with_the_file_whatever_its_writer_says(tmp_path: Path, writer: str):
    """numpy says how many items were not written, torch at which place it is not."""

    def write(part: Path) -> None:
        if writer == "numpy":
            np.save(part, np.zeros(100_000))
        elif writer == "torch":
            with suppress(OSError):
                part.write_bytes(bytes(20_000))
            raise RuntimeError("unexpected pos 64 vs 0")
        else:
            with part.open("wb") as stream:
                stream.write(bytes(20_000))

    file = tmp_path / "case.npy"
    with files_up_to(10_000), pytest.raises(OSError) as caught, whole_file(file) as part:
        write(part)
    assert caught.value.errno in NO_ROOM and caught.value.filename == str(file)
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_is_not_the_disks_stays_what_it_is(tmp_path: Path):
    for error in (RuntimeError("odd"), OSError("half written"), ConnectionResetError(104, "reset")):
        with pytest.raises(type(error)) as caught, whole_file(tmp_path / "a") as part:
            part.touch()
            raise error
        assert caught.value is error
