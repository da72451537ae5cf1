"""A kill, an error or a damaged file at any step: what was acknowledged is there, and the answer says what holds."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling_app.imaging.geometry import read_label, write_label
from scaling_app.ledger import LedgerError
from scaling_app.monai_app.studies_folder import StudiesFolder
from scaling_app.storage import whole_files
from scaling_app.studies.place import INDEX
from scaling_app.studies.studies import FINAL, file_hash

STEPS = ("open", "os.rename", "os.remove", "os.link", "os.chmod", "os.mkdir", "shutil.copyfile")
"""What Python tells an audit hook of when it touches a file."""

IMAGE = "synthetic_000"
MOST_STEPS = 200


Work = Callable[[StudiesFolder], object]


def killed_at(step: int, folder: Path, work: Work) -> bool:
    """Whether the work, in a process of its own, came as far as that step with a file and was killed there."""

    def run() -> None:
        left, store = step, StudiesFolder(folder / "studies")

        def count(event: str, _: object) -> None:
            nonlocal left
            if event in STEPS:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        work(store)
        os._exit(0)

    status = _status_of(run)
    assert status in (0, -signal.SIGKILL)
    return status != 0


def killed_while_copying(share: float, folder: Path, work: Work) -> None:
    """The work in a process that is killed when that share of a file has been copied."""

    def copy(source: Path, goal: Path) -> None:
        content = Path(source).read_bytes()
        Path(goal).write_bytes(content[: int(share * len(content))])
        os.kill(os.getpid(), signal.SIGKILL)

    def run() -> None:
        store = StudiesFolder(folder / "studies")
        whole_files.shutil.copyfile = copy
        work(store)

    assert _status_of(run) == -signal.SIGKILL


def _status_of(run: Callable[[], None]) -> int | None:
    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    return process.exitcode


@pytest.fixture
def versions(desk_of, tmp_path) -> Callable[[str], list[Path]]:
    """Labels of one image that differ, all of one kind."""

    def make(kind: str) -> list[Path]:
        truth = desk_of(1).labels[IMAGE]
        made = []
        for index in range(2):
            array = read_label(truth)
            array[0, index, 0, 0] = 1
            (tmp_path / str(index)).mkdir(exist_ok=True)
            made.append(write_label(array, array, tmp_path / str(index) / f"{IMAGE}{kind}"))
        return made

    return make


def test_a_kill_at_any_step_of_a_save_leaves_the_old_label_or_the_new_one_whole(desk_of, versions, tmp_path):
    old, first, second = desk_of(1).labels[IMAGE], versions(".nii.gz")[0], versions(".nrrd")[1]
    desk_of(1).submit(IMAGE)
    allowed = {old.read_bytes()}
    for step in range(MOST_STEPS):
        new = (first, second)[step % 2]
        allowed.add(new.read_bytes())
        if not killed_at(step, tmp_path, lambda store, new=new: store.save_label(IMAGE, str(new), FINAL, {})):
            break
        again = StudiesFolder(tmp_path / "studies")
        kept = Path(again.get_label_uri(IMAGE, FINAL)).read_bytes()
        assert kept in allowed, f"step {step}: {len(kept)} bytes"
        assert not list((tmp_path / "studies").rglob(".part-*"))
        allowed = {kept}
    assert 5 < step < MOST_STEPS - 1
    done = StudiesFolder(tmp_path / "studies")
    assert Path(done.get_label_uri(IMAGE, FINAL)).read_bytes() == new.read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_kill_in_the_middle_of_copying_a_label_leaves_the_old_one(desk_of, versions, tmp_path, share):
    desk = desk_of(1)
    desk.submit(IMAGE)
    before = desk.studies.stored_label(IMAGE)
    content = before.read_bytes()
    new = versions(".nrrd")[0]
    killed_while_copying(share, tmp_path, lambda store: store.save_label(IMAGE, str(new), FINAL, {}))
    assert before.read_bytes() == content
    assert desk_of(1).studies.stored_label(IMAGE).read_bytes() == content


@pytest.mark.parametrize("work", ["add_image", "remove_label", "update_image_info"])
def test_kills_at_every_fourth_step_leave_an_index_that_is_read_and_every_label(desk_of, tmp_path, work):
    desk = desk_of(2)
    desk.submit("synthetic_000", "synthetic_001")
    label = desk.studies.stored_label("synthetic_000").read_bytes()
    image = desk.studies.image_path("synthetic_001")
    for step in range(0, MOST_STEPS, 4):
        calls = {
            "add_image": (f"new_{step}", str(image), {}),
            "remove_label": ("synthetic_001", FINAL),
            "update_image_info": ("synthetic_001", {"scanner": "A"}),
        }
        if not killed_at(step, tmp_path, lambda store, calls=calls: getattr(store, work)(*calls[work])):
            break
        again = StudiesFolder(tmp_path / "studies")
        assert not again.was_rebuilt and again.problems == ()
        assert Path(again.get_label_uri("synthetic_000", FINAL)).read_bytes() == label
        for name in again.list_images():
            if name.startswith("new_"):
                assert Path(again.get_image_uri(name)).read_bytes() == image.read_bytes()
    assert 3 < step < MOST_STEPS - 1


@pytest.mark.parametrize("damage", [b"", b'{"name": "x", "obj', b"\x00" * 500, b"[]", b"\xff\xfe\x00"])
def test_an_index_that_cannot_be_read_is_set_aside_rebuilt_and_said(desk_of, tmp_path, damage):
    desk_of(2).submit("synthetic_000", client_id="ann", minutes=7)
    before = desk_of(2).studies.ledger.cases()
    file = tmp_path / "studies" / INDEX
    file.write_bytes(damage)
    again = desk_of(2)
    store = again.studies.datastore
    assert store.was_rebuilt and store.list_images() == ["synthetic_000", "synthetic_001"]
    (aside,) = tmp_path.glob(f"studies/{INDEX}.damaged-*")
    assert aside.read_bytes() == damage
    (problem,) = store.problems
    assert aside.name in problem.sentence and "made anew from the files" in problem.sentence
    again.intake.take_stock()
    assert again.studies.has_label("synthetic_000") and again.studies.ledger.cases() == before
    assert StudiesFolder(tmp_path / "studies").list_images() == store.list_images()


@pytest.mark.parametrize(
    "error", [LedgerError("the ledger refused: disk full"), OSError(5, "I/O error"), TypeError("x")]
)
def test_a_ledger_that_fails_after_the_file_was_placed_never_asks_for_the_label_again(
    desk_of, monkeypatch, error
):
    desk = desk_of(2)
    desk.submit("synthetic_000")
    place = desk.studies.save_label

    def then_fail(*said: object) -> str:
        label_id = place(*said)
        monkeypatch.setattr(type(desk.studies.ledger), "_transaction", lambda *_, **__: _raise(error))
        return label_id

    with monkeypatch.context() as failing:
        failing.setattr(desk.studies, "save_label", then_fail)
        label_id, doubts = desk.intake.store(
            "synthetic_001", desk.labels["synthetic_001"], {"minutes": 4, "client_id": "ann"}, None
        )
    monkeypatch.undo()
    assert label_id == "synthetic_001" and [doubt.kind for doubt in doubts] == ["recorded_later"]
    assert "need not be sent again" in doubts[0].sentence
    stored = desk.studies.stored_label("synthetic_001")
    assert stored.read_bytes() == desk.labels["synthetic_001"].read_bytes()
    desk.intake.take_stock()
    case = desk.studies.ledger.case("synthetic_001")
    assert (case.label_hash, case.minutes, case.annotator) == (file_hash(stored), 4.0, "ann")


def refuse_to_rename(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """A file that nobody may remove: it is immutable, or another's."""
    real = Path.rename

    def rename(self: Path, goal: Path) -> Path:
        if self == file:
            raise PermissionError(1, "Operation not permitted")
        return real(self, goal)

    monkeypatch.setattr(Path, "rename", rename)


@pytest.mark.parametrize("stuck", ["image", "label", "index"])
def test_an_image_that_cannot_be_removed_keeps_its_labels_and_what_was_said_of_them(
    desk_of, monkeypatch, stuck
):
    desk = desk_of(2)
    desk.submit(IMAGE, minutes=7)
    store, label = desk.studies.datastore, desk.studies.stored_label(IMAGE)
    before = label.read_bytes(), store.get_label_info(IMAGE, FINAL)
    with monkeypatch.context() as failing:
        refuse_to_rename(
            failing, {"image": desk.studies.image_path(IMAGE), "label": label}.get(stuck, Path())
        )
        if stuck == "index":
            failing.setattr(
                type(store._index), "prepared", lambda *_: _raise(OSError(30, "Read-only file system"))
            )
        with pytest.raises(OSError, match=r"permitted|Read-only"):
            store.remove_image(IMAGE)
    assert store.list_images() == ["synthetic_000", "synthetic_001"]
    assert (label.read_bytes(), store.get_label_info(IMAGE, FINAL)) == before
    assert desk_of(2).studies.datastore.get_label_info(IMAGE, FINAL)["minutes"] == 7


def test_a_label_that_cannot_be_removed_keeps_what_was_said_of_it(desk_of, monkeypatch):
    desk = desk_of(1)
    desk.submit(IMAGE, minutes=7)
    store, label = desk.studies.datastore, desk.studies.stored_label(IMAGE)
    with monkeypatch.context() as failing:
        refuse_to_rename(failing, label)
        with pytest.raises(OSError, match="permitted"):
            store.remove_label(IMAGE, FINAL)
    assert store.get_label_info(IMAGE, FINAL)["minutes"] == 7
    assert desk_of(1).studies.datastore.get_label_info(IMAGE, FINAL)["minutes"] == 7
    assert not list((label.parents[1] / ".history").rglob("0*"))


@pytest.mark.parametrize("work", ["remove_label", "remove_image"])
def test_what_was_removed_is_not_denied_when_the_look_after_it_fails(desk_of, monkeypatch, work):
    desk = desk_of(2)
    desk.submit(IMAGE)
    store = desk.studies.datastore
    with monkeypatch.context() as failing:
        failing.setattr(store, "refresh", lambda: _raise(OSError(30, "Read-only file system")))
        getattr(store, work)(IMAGE, *([FINAL] if work == "remove_label" else []))
    assert not desk_of(2).studies.has_label(IMAGE)


def test_removing_a_linked_image_leaves_what_the_link_leads_to(desk_of, tmp_path):
    desk = desk_of(2)
    far = tmp_path / "far.nrrd"
    desk.studies.image_path(IMAGE).rename(far)
    desk.studies.image_path(IMAGE).symlink_to(far)
    desk.studies.datastore.remove_image(IMAGE)
    assert far.is_file() and desk.studies.datastore.list_images() == ["synthetic_001"]


def _raise(error: Exception) -> None:
    raise error
