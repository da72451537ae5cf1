"""What a label costs on its way in: one look at its image, one reading of its file, and nothing of the other labels."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from scaling_app.imaging import geometry
from scaling_app.imaging.geometry import read_label, write_label
from scaling_app.ledger import Doubt, Ledger
from scaling_app.studies.labels import contents, parsing_process

OPENED: list[str] | None = None
"""The files opened while somebody counts; a hook cannot be taken back."""


def _note(event: str, arguments: tuple) -> None:
    if OPENED is not None and event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        OPENED.append(os.fsdecode(arguments[0]))


sys.addaudithook(_note)


@contextmanager
def openings() -> Iterator[Counter[str]]:
    """How often each file is opened in the context, filled in at its end."""
    global OPENED
    OPENED, counted = [], Counter()
    try:
        yield counted
    finally:
        counted.update(OPENED)
        OPENED = None


@pytest.fixture
def read(monkeypatch) -> Counter[str]:
    """How often grids, labels and notes are read, by kind."""
    seen: Counter[str] = Counter()

    def counting(owner: object, name: str, kind: str) -> None:
        whole = getattr(owner, name)

        def counted(*said: object, **options: object) -> object:
            seen[kind] += 1
            return whole(*said, **options)

        monkeypatch.setattr(owner, name, counted)

    counting(contents, "read_grid", "grid")
    counting(parsing_process, "read_content", "label")
    whole = Ledger.label_notes
    monkeypatch.setattr(
        Ledger,
        "label_notes",
        lambda ledger, *images: (seen.update(["all notes"] if not images else []), whole(ledger, *images))[1],
    )
    return seen


@pytest.mark.parametrize("name", ["synthetic_002", "synthetic_003"])
def test_a_label_opens_its_image_once_and_reads_no_other_label(desk_of, read, name) -> None:
    desk = desk_of(4)
    desk.submit("synthetic_000", "synthetic_001")
    image = str(desk.studies.image_path(name))
    others = {str(path) for path in desk.studies.label_paths().values()}
    read.clear()
    with openings() as opened:
        desk.submit(name)
    assert read == {"grid": 1, "label": 1}
    assert not others & opened.keys()
    with openings() as again:
        desk.submit(name)
    assert read == {"grid": 1, "label": 2}
    assert opened[image] >= 1 and again[image] == 0, "the image is looked at again only when it has changed"


def test_an_image_that_was_replaced_is_looked_at_anew(desk_of) -> None:
    desk = desk_of(4)
    desk.submit("synthetic_000")
    image = desk.studies.image_path("synthetic_000")
    smaller = geometry.read_image(image)[0, :-2].numpy()
    write_label(np.rint(smaller - smaller.min()), geometry.Grid(smaller.shape, np.eye(4)), image)
    with pytest.raises(ValueError, match="16 x 18 x 8 voxels, its image 14 x 18 x 8"):
        desk.submit("synthetic_000")


def test_a_structure_that_a_better_label_no_longer_names_goes_at_once(desk_of, tmp_path) -> None:
    desk = desk_of(3)
    named = [{"name": "organ", "idx": 1}, {"name": "nodule", "idx": 2}, {"name": "tail", "idx": 3}]
    stray = read_label(desk.labels["synthetic_001"])[0].numpy().copy()
    stray[0, 0, 0] = 3
    path = write_label(stray, desk.labels["synthetic_001"], tmp_path / "synthetic_001.nii.gz")
    desk.submit("synthetic_000")
    desk.intake.store("synthetic_001", path, {"label_info": named}, None)
    assert desk.studies.structures() == {"organ": 1, "nodule": 2, "tail": 3}
    desk.intake.store("synthetic_001", desk.labels["synthetic_001"], {"label_info": named}, None)
    assert desk.studies.structures() == {"organ": 1, "nodule": 2, "tail": 3}, "it is still named"
    desk.submit("synthetic_001")
    assert desk.studies.structures() == {"organ": 1, "nodule": 2}


def test_a_volume_is_held_against_the_usable_labels_of_other_images_alone(desk_of) -> None:
    desk = desk_of(4)
    desk.submit(*list(desk.labels)[:3])
    ledger = desk.studies.ledger
    doubted = ledger.case("synthetic_002")
    ledger.set_doubts("synthetic_002", doubted.label_hash, [Doubt("volume", "Too small.")])
    notes = ledger.label_notes()
    wanted = {value: [ml] for value, ml in notes["synthetic_001"].volumes_ml.items()}
    assert ledger.usable_volumes(but="synthetic_000") == wanted
    assert ledger.count_usable(but="synthetic_000") == 1
    assert ledger.count_usable(but="synthetic_003") == 2
    assert ledger.label_notes("synthetic_001") == {"synthetic_001": notes["synthetic_001"]}
    assert ledger.label_notes("synthetic_003") == {}
