"""What is known of a DICOM server, while several threads ask and tell."""

from __future__ import annotations

import gzip
import json
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path

import pytest

from scaling_app.monai_app.dicom.memory import PacsMemory
from scaling_app.monai_app.dicom.pacs import SegmentationFacts, SeriesFacts

WHEN = datetime(2026, 1, 1, tzinfo=timezone.utc)
IMAGES = 40


def segmentation(number: int) -> SegmentationFacts:
    return SegmentationFacts(f"sop{number}", f"seg{number}", "study", f"image{number % IMAGES}", "anna", WHEN)


@pytest.fixture
def memory(tmp_path: Path) -> PacsMemory:
    """Of a server with some thousand labels."""
    known = PacsMemory(tmp_path)
    known.take_images({f"image{k}": SeriesFacts(f"image{k}", "study", "P", "CT", 3) for k in range(IMAGES)})
    for number in range(3000):
        known.note(f"seg{number}", 1, [segmentation(number)])
    return known


@pytest.fixture
def hasty():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_labels_come_and_go_while_others_ask_and_write_it_down(
    memory: PacsMemory, hasty, tmp_path: Path
) -> None:
    """A save that met a look at the server ended with an error: the table changed its size under it."""
    begun, stop = threading.Event(), threading.Event()

    def look() -> None:
        number = 10_000
        while not stop.is_set():
            number += 1
            memory.note(f"seg{number}", 1, [segmentation(number)])
            memory.judge(f"series{number}", "")
            memory.drop(f"seg{number - 50}")
            begun.set()

    looking = threading.Thread(target=look)
    looking.start()
    begun.wait()
    try:
        for number in range(40):
            held = memory.of_image(f"image{number}")
            assert {segmentation(number).sop} <= {one.sop for one in held}
            assert len(memory.of_path("studies/study")) >= 3000
            assert memory.judged() and len(memory.instances()) >= 3000
            if number % 8 == 0:
                memory.keep()
    finally:
        stop.set()
        looking.join()
    memory.keep()
    again = PacsMemory.read(tmp_path)
    assert again.segmentations() == memory.segmentations() and again.judged() == memory.judged()
    assert again.images == memory.images


def test_nothing_is_written_where_nothing_is_new(memory: PacsMemory, tmp_path: Path) -> None:
    memory.keep()
    (file,) = tmp_path.iterdir()
    file.unlink()
    memory.keep()
    assert not file.exists()
    memory.judge("image0", "it has two orientations")
    memory.keep()
    assert PacsMemory.read(tmp_path).judged() == {"image0": "it has two orientations"}


@pytest.mark.parametrize("content", ["[1]", "null", "[5]", "[" * 100_000])
def test_headers_that_are_damaged_are_asked_for_anew(
    memory: PacsMemory, tmp_path: Path, content: str
) -> None:
    memory.keep_headers("image0", [])
    (file,) = tmp_path.glob("**/image0.json.gz")
    file.write_bytes(gzip.compress(content.encode()))
    assert memory.headers("image0") is None
    whole = bytearray(gzip.compress(json.dumps([{}] * 300).encode()))
    for place in range(10, len(whole)):
        bent = bytearray(whole)
        bent[place] ^= 0x10
        file.write_bytes(bent)
        memory.headers("image0")


@pytest.mark.parametrize(
    "path, odd",
    [
        (("images", "image0", "instances"), "many"),
        (("images", "image0", "patient"), ["P"]),
        (("images",), ["image0"]),
        (("judged",), {"image0": 5}),
        (("segmentations", "seg0"), [1, [{"sop": "sop0"}]]),
        (("segmentations", "seg0"), ["1", []]),
        (("segmentations", "seg1", 1, 0, "when"), "tomorrow"),
        (("segmentations", "seg1", 1, 0, "who"), None),
    ],
)
def test_what_was_written_down_is_asked_for_anew_where_a_fact_is_of_another_kind(
    memory: PacsMemory, tmp_path: Path, path: tuple[str | int, ...], odd: object
) -> None:
    """It had been taken as it was, and ended a later look with an error."""
    memory.keep()
    (file,) = tmp_path.iterdir()
    told = json.loads(file.read_text())
    place = told
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = odd
    file.write_text(json.dumps(told))
    assert not PacsMemory.read(tmp_path).images and not PacsMemory.read(tmp_path).instances()
    del place[path[-1]]
    file.write_text("{" * 100_000)
    assert not PacsMemory.read(tmp_path).images
