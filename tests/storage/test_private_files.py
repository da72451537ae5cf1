"""Files are for their user alone, and for the group of a folder that is shared with one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaling_app.storage import keep_private, tighten, write_whole_text
from scaling_app.storage.whole_files import make_folder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")


@pytest.fixture(autouse=True)
def private() -> Iterator[None]:
    before = os.umask(0o022)
    keep_private()
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_made_is_for_this_user_alone(tmp_path: Path) -> None:
    file = write_whole_text(tmp_path / "a" / "b" / "label.nii.gz", "x")
    assert [mode(path) for path in (file, file.parent, file.parent.parent)] == [0o600, 0o700, 0o700]


def test_in_a_shared_folder_it_is_for_the_group_as_far_as_the_folder_is(tmp_path: Path) -> None:
    for granted, file_mode, folder_mode in (
        (0o2770, 0o660, 0o2770),
        (0o2750, 0o640, 0o2750),
        (0o2775, 0o660, 0o2770),
    ):
        shared = tmp_path / oct(granted)
        shared.mkdir()
        shared.chmod(granted)
        file = write_whole_text(shared / "labels" / "final" / "label.nii.gz", "x")
        assert mode(file) == file_mode and mode(file.parent) == mode(file.parent.parent) == folder_mode


def test_who_may_read_a_file_stays_when_it_is_replaced(tmp_path: Path) -> None:
    file = write_whole_text(tmp_path / "label.nii.gz", "x")
    file.chmod(0o640)
    write_whole_text(file, "y")
    assert mode(file) == 0o640


def test_what_was_made_before_is_taken_from_the_others(tmp_path: Path) -> None:
    elsewhere = write_whole_text(tmp_path / "elsewhere", "x")
    elsewhere.chmod(0o644)
    make_folder(tmp_path / "model" / "studies")
    file = write_whole_text(tmp_path / "model" / "studies" / "ledger.sqlite", "x")
    shared = tmp_path / "model" / "shared"
    shared.mkdir()
    shared.chmod(0o2750)
    (tmp_path / "model" / "link").symlink_to(elsewhere)
    file.chmod(0o644)
    file.parent.chmod(0o755)
    tighten(tmp_path / "model")
    assert (mode(file), mode(file.parent), mode(elsewhere), mode(shared)) == (0o600, 0o700, 0o644, 0o2750)
    tighten(tmp_path / "nothing")
