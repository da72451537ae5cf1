"""Lent images are written whole, and a damaged one is nobody else's trouble."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest
from fastapi import HTTPException

from scaling_app.monai_app import lent_images
from scaling_app.monai_app.lent_images import FACTS, LentImages


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "image.nii.gz"
    file.write_bytes(b"voxels")
    return file


def test_a_lent_image_is_found_by_the_next_server(tmp_path: Path, image: Path):
    name, info = LentImages(str(tmp_path / "lent")).add_session(str(image), expiry=100)
    again = LentImages(str(tmp_path / "lent")).get_session(name, update_ts=False)
    assert again.to_json() == info.to_json() and Path(again.image).read_bytes() == b"voxels"


def test_a_disk_that_fills_up_leaves_nothing_of_a_lent_image(tmp_path: Path, image: Path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lent_images, "write_whole_text", full)
    with pytest.raises(OSError, match="No space"):
        LentImages(str(tmp_path / "lent")).add_session(str(image))
    assert list((tmp_path / "lent").iterdir()) == []


def test_lent_images_take_no_more_room_than_they_may(tmp_path: Path, image: Path):
    lent = LentImages(str(tmp_path / "lent"), most_bytes=1000)
    image.write_bytes(bytes(400))
    first = lent.add_session(str(image))[0]
    with pytest.raises(HTTPException, match="lent at the moment") as refused:
        lent.add_session(str(image)), lent.add_session(str(image))
    assert refused.value.status_code == 429
    lent.get_session(first).last_access_ts = 0  # its time is over
    lent._write_meta_info(first, lent[first])
    lent.add_session(str(image))


def test_facts_that_cannot_be_renewed_stay_as_they_are(tmp_path: Path, image: Path, monkeypatch):
    lent = LentImages(str(tmp_path / "lent"))
    name, _ = lent.add_session(str(image))
    file = tmp_path / "lent" / name / FACTS
    before = file.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
    with pytest.raises(OSError, match="No space"):
        lent.get_session(name)
    assert file.read_bytes() == before


@pytest.mark.parametrize("facts", [None, b"", b'{"na', b"[1]", b"\xff\xfe"])
def test_a_damaged_session_is_none_and_the_others_still_expire(tmp_path: Path, image: Path, facts):
    lent = LentImages(str(tmp_path / "lent"))
    damaged, over, fresh = (lent.add_session(str(image))[0] for _ in range(3))
    file = tmp_path / "lent" / damaged / FACTS
    file.unlink() if facts is None else file.write_bytes(facts)
    lent.get_session(over).last_access_ts = 0
    lent._write_meta_info(over, lent[over])
    again = LentImages(str(tmp_path / "lent"))
    assert again.get_session(damaged) is None
    assert again.remove_expired() == 1
    assert {folder.name for folder in (tmp_path / "lent").iterdir()} == {damaged, fresh}


def test_a_damaged_session_goes_when_its_time_is_over(tmp_path: Path):
    (tmp_path / "lent" / "half").mkdir(parents=True)
    os.utime(tmp_path / "lent" / "half", (time.time() - 4000,) * 2)
    assert LentImages(str(tmp_path / "lent")).remove_expired() == 1
    assert list((tmp_path / "lent").iterdir()) == []


def test_one_that_cannot_be_deleted_is_said_and_the_others_still_expire(
    tmp_path: Path, image: Path, monkeypatch
):
    lent = LentImages(str(tmp_path / "lent"))
    stuck, over = (lent.add_session(str(image))[0] for _ in range(2))
    for name in (stuck, over):
        lent[name].last_access_ts = 0
        lent._write_meta_info(name, lent[name])
    real = os.rmdir

    def rmdir(path: str, *said: object, **options: object) -> None:
        if Path(path).name == stuck:
            raise OSError(errno.EROFS, "Read-only file system")
        real(path, *said, **options)

    monkeypatch.setattr(os, "rmdir", rmdir)
    with pytest.raises(OSError, match="Read-only"):
        lent.remove_session(stuck)
    assert lent.remove_expired() == 1 and not (tmp_path / "lent" / over).exists()
