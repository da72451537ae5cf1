"""Files that come and go are noticed once for a burst, and a saved label sends nobody through the folder."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling_app.monai_app.folder_watch import BUSY_SHARE, SETTLED_SECONDS, FolderWatch
from scaling_app.monai_app.studies_folder import StudiesFolder

PATIENCE = 20.0


class Looks:
    """Counts looks, each of which may take a while."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.count, self.seconds = 0, seconds
        self.seen = threading.Event()

    def __call__(self) -> None:
        self.count += 1
        self.seen.set()
        time.sleep(self.seconds)


def quiet(looks: Looks) -> int:
    """The count once nothing follows any more."""
    while True:
        before = looks.count
        time.sleep(4 * SETTLED_SECONDS)
        if looks.count == before:
            return before


@pytest.fixture
def watched(tmp_path: Path) -> Callable[..., Looks]:
    def make(*, polling: bool = False, seconds: float = 0.0) -> Looks:
        looks = Looks(seconds)
        FolderWatch(tmp_path, looks, tmp_path / "index.json", polling=polling)
        time.sleep(SETTLED_SECONDS)
        return looks

    return make


@pytest.mark.parametrize("polling", [False, True])
def test_a_file_that_comes_is_noticed(watched, tmp_path: Path, polling: bool) -> None:
    looks = watched(polling=polling)
    (tmp_path / "labels" / "final").mkdir(parents=True)
    (tmp_path / "labels" / "final" / "a.nii.gz").write_bytes(b"label")
    assert looks.seen.wait(PATIENCE)


def test_many_files_at_once_are_one_look_or_two(watched, tmp_path: Path) -> None:
    looks = watched()
    for number in range(500):
        (tmp_path / f"{number}.nii.gz").write_bytes(b"image")
    assert looks.seen.wait(PATIENCE)
    assert quiet(looks) <= 4


def test_hidden_files_and_what_lies_in_hidden_folders_are_nobodys(watched, tmp_path: Path) -> None:
    looks = watched()
    (tmp_path / ".history").mkdir()
    (tmp_path / ".history" / "a.nii.gz").write_bytes(b"label")
    (tmp_path / ".part").write_bytes(b"half")
    assert quiet(looks) == 0


def test_a_file_that_takes_its_name_only_when_it_is_whole_is_noticed(watched, tmp_path: Path) -> None:
    looks = watched()
    (tmp_path / ".part").write_bytes(b"whole")
    (tmp_path / ".part").rename(tmp_path / "a.nii.gz")
    assert looks.seen.wait(PATIENCE)


def test_an_index_edited_in_place_is_noticed_and_no_other_file_is(watched, tmp_path: Path) -> None:
    for name in ("index.json", "a.nii.gz"):
        (tmp_path / name).write_text("before")
    looks = watched()
    (tmp_path / "a.nii.gz").write_text("after")
    assert quiet(looks) == 0
    (tmp_path / "index.json").write_text("after")
    assert looks.seen.wait(PATIENCE)


def test_looking_takes_no_more_than_its_share_of_the_time(watched, tmp_path: Path) -> None:
    looks = watched(seconds=0.2)
    ends = time.monotonic() + 5
    while time.monotonic() < ends:
        (tmp_path / f"{time.monotonic_ns()}.png").touch()
        time.sleep(0.02)
    assert looks.count <= 1 + 5 / (0.2 / BUSY_SHARE)


def test_a_look_that_fails_is_not_the_last(tmp_path: Path, caplog) -> None:
    looks = Looks()

    def failing() -> None:
        looks()
        raise ValueError("half an index")

    FolderWatch(tmp_path, failing, tmp_path / "index.json", polling=False)
    for name in ("a.nii.gz", "b.nii.gz"):
        looks.seen.clear()
        (tmp_path / name).touch()
        assert looks.seen.wait(PATIENCE)
    assert "could not be looked through" in caplog.text


def test_a_folder_that_cannot_be_watched_is_said_and_served_all_the_same(tmp_path: Path, caplog) -> None:
    FolderWatch(tmp_path / "gone", Looks(), tmp_path / "index.json", polling=False)
    assert "is not watched" in caplog.text


def test_a_file_that_comes_into_served_studies_is_listed_soon(tmp_path: Path, desk_of) -> None:
    image = desk_of(1).studies.image_path("synthetic_000")
    store = StudiesFolder(tmp_path / "own", auto_reload=True)
    shutil.copy(image, tmp_path / "own" / "new.nii.gz")
    ends = time.monotonic() + PATIENCE
    while store.list_images() != ["new"]:
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_what_the_server_changed_itself_sends_nobody_through_the_folder(
    tmp_path: Path, desk_of, monkeypatch
) -> None:
    desk, looks = desk_of(3), Looks()
    monkeypatch.setattr(StudiesFolder, "_look_again", lambda _: looks())
    store = StudiesFolder(tmp_path / "studies", auto_reload=True)
    time.sleep(SETTLED_SECONDS)
    one, two, three = (str(path) for path in desk.labels.values())
    for image in desk.labels:
        store.save_label(image, one, "final", {"client_id": "anna"})
    store.save_label("synthetic_000", two, "final", {})
    store.save_label("synthetic_000", three, "reader-1", {})
    store.update_image_info("synthetic_001", {"scanner": "new"})
    assert quiet(looks) == 0


@pytest.mark.parametrize("change", ["comes", "goes", "is beside", "index"])
def test_what_somebody_else_changed_beside_it_is_noticed(
    tmp_path: Path, desk_of, monkeypatch, change: str
) -> None:
    desk, looks = desk_of(2), Looks()
    monkeypatch.setattr(StudiesFolder, "_look_again", lambda _: looks())
    store = StudiesFolder(tmp_path / "studies", auto_reload=True)
    time.sleep(SETTLED_SECONDS)
    label = str(desk.labels["synthetic_000"])
    store.save_label("synthetic_000", label, "final", {})
    folder = tmp_path / "studies" / "labels" / "final"
    if change == "comes":
        shutil.copy(desk.labels["synthetic_001"], folder)
    elif change == "goes":
        (folder / Path(label).name).unlink()
    elif change == "is beside":
        shutil.copy(label, folder / "synthetic_000.mha")
    else:
        other = StudiesFolder(tmp_path / "studies")
        other.set_description("by another process")
    assert looks.seen.wait(PATIENCE)


def test_a_file_that_was_named_is_looked_for_again_when_it_goes(tmp_path: Path, desk_of) -> None:
    desk_of(1)
    odd = tmp_path / "studies" / "odd.seg.nrrd"
    odd.write_bytes(b"no image")
    store = StudiesFolder(tmp_path / "studies", auto_reload=True)
    assert [problem.image for problem in store.problems] == ["odd"]
    odd.unlink()
    ends = time.monotonic() + PATIENCE
    while store.problems:
        assert time.monotonic() < ends
        time.sleep(0.05)
