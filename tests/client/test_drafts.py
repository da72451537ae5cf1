"""Labels kept on this computer: a label and the facts about it stay a pair, wherever a write is cut off."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from scaling_app_client.drafts import Draft, DraftStore

OLDER = Draft("http://one", "case", "label.nii.gz", [{"name": "organ", "idx": 1}], 3.0, True)
NEWER = Draft("http://one", "case", "label.nii.gz", [{"name": "tumour", "idx": 1}], 5.0, False)
STEPS = ("write_text", "chmod", "mkdir", "replace", "unlink")


class KilledError(BaseException):
    """The process ends here: no handler of errors runs."""


def kept(store: DraftStore, draft: Draft, content: bytes) -> Draft:
    store.prepare(draft).write_bytes(content)
    return store.keep(draft)


def dying_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Every change of the disk is counted; the one of that number isn't made. Tells how many there were."""
    made = [0]

    def counted(change: Callable[..., object]) -> Callable[..., object]:
        def instead(*args: object, **more: object) -> object:
            made[0] += 1
            if made[0] == step:
                raise KilledError
            return change(*args, **more)

        return instead

    for name in STEPS:
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))
    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(shutil, "rmtree", counted(shutil.rmtree))
    return lambda: made[0]


def test_a_kill_at_any_step_leaves_one_label_with_its_own_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for step in range(1, 100):
        store = DraftStore(str(tmp_path / str(step)))
        older = kept(store, OLDER, b"older")
        store.prepare(NEWER).write_bytes(b"newer")
        with monkeypatch.context() as patch:
            steps = dying_at(step, patch)
            with contextlib.suppress(KilledError):
                store.keep(NEWER)
            made = steps()
        (draft,) = store.all()
        pair = (draft.label_info, draft.minutes, draft.blind, store.content(draft))
        found.append(pair)
        assert pair in (
            (OLDER.label_info, 3.0, True, b"older"),
            (NEWER.label_info, 5.0, False, b"newer"),
        ), step
        if made < step:
            break
        assert draft == older or draft.minutes == NEWER.minutes
        newest = kept(store, NEWER, b"newest")  # what the kill left over is in nobody's way
        assert store.all() == [newest] and store.content(newest) == b"newest"
    assert len(found) > 8 and found[0][3] == b"older" and found[-1][3] == b"newer"


def test_of_a_label_that_was_replaced_nothing_stays(tmp_path: Path) -> None:
    store = DraftStore(str(tmp_path))
    for content in (b"older", b"newer", b"newer"):
        draft = kept(store, NEWER, content)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["draft.json", "label.nii.gz"]
    assert {path.stat().st_mode & 0o077 for path in tmp_path.rglob("*")} == {0}
    store.forget(draft)
    assert list(tmp_path.iterdir()) == []


def test_a_label_that_an_earlier_version_kept_is_sent_all_the_same(tmp_path: Path) -> None:
    store = DraftStore(str(tmp_path))
    facts = {name: value for name, value in asdict(OLDER).items() if name != "label_sha256"}
    place = tmp_path / OLDER.key
    place.mkdir()
    (place / "label.nii.gz").write_bytes(b"drawn")
    (place / "draft.json").write_text(json.dumps(facts))
    (draft,) = store.all()
    assert (draft, store.content(draft)) == (OLDER, b"drawn")
    store.mark(draft, label_sent=True)
    assert [one.label_sent for one in store.all()] == [True]
    newer = kept(store, NEWER, b"newer")
    assert store.all() == [newer] and not (place / "label.nii.gz").exists()


def test_a_label_that_the_disk_has_damaged_is_not_sent(tmp_path: Path) -> None:
    store = DraftStore(str(tmp_path))
    draft = kept(store, OLDER, b"drawn")
    store.file_of(draft).write_bytes(b"dra")
    with pytest.raises(OSError, match="damaged on the disk"):
        store.content(draft)
