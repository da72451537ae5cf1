"""A disk that fills up: a small one in memory, with studies, app folder and lent images on it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.faults import every_route
from benchmarks.faults.house import House, wait_for
from benchmarks.faults.outcomes import Outcome

MEGABYTES = 64
PAGE = 4096
FREE_PAGES = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""What is left for a label that is saved again: too little for the file, for the index, for the ledger, enough."""


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int = MEGABYTES) -> Iterator[Path]:
    """A file system of its own.

    Raises:
        OSError: nothing can be mounted here; it takes root.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs"]
    try:
        subprocess.run(["mount", *options, str(folder)], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise OSError(f"nothing can be mounted here ({error})") from error
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """A small disk that takes nothing any more, as one does whose system found a fault in it.

    Raises:
        OSError: somebody is writing to it all the time.
    """
    if not wait_for(lambda: _remounted(disk, "ro"), 30):
        raise OSError(f"{disk} is being written to")
    try:
        yield
    finally:
        _remounted(disk, "rw")


def _remounted(disk: Path, mode: str) -> bool:
    return subprocess.run(["mount", "-o", f"remount,{mode}", str(disk)], capture_output=True).returncode == 0


def fill(disk: Path, *, leave_pages: int = 0) -> Path:
    """Writes a file that takes all room but some pages."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        while True:
            out.write(bytes(1 << 16))
    with ballast.open("ab", buffering=0) as out, contextlib.suppress(OSError):
        while True:
            out.write(bytes(PAGE))
    os.truncate(ballast, max(0, ballast.stat().st_size - leave_pages * PAGE))
    return ballast


def contents(house: House) -> dict[str, str]:
    """What every label, image and index holds, by its file."""
    files = [file for file in house.studies.rglob("*") if file.is_file() and file.name != ".lock"]
    return {
        str(file.relative_to(house.folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    }


def told(house: House) -> list[list[tuple]]:
    """What the ledger holds of labels and settings."""
    tables = ("cases", "minutes", "doubts", "settings", "blind_assignments", "sampling_weights")
    return [house.ledger(f"select * from {table} order by 1") for table in tables]


def every_route_without_room(house: House) -> Iterator[Outcome]:
    """Each route is asked on a full disk; then with room again, where all of them have to work."""
    _start(house)
    session = every_route.prepare(house)
    house.start_training("segmentation", steps=2)
    wait_for(house.task_ended, 240)
    house.disagreements()
    before, said = contents(house), told(house)
    ballast = fill(house.folder)
    requests = every_route.requests_of(house, session)
    for request in requests:
        trouble = every_route.complaint(request, request.send(house), every_route.NO_ROOM)
        if contents(house) != before:
            trouble += " files have changed"
        if told(house) != said:
            trouble += " the ledger has changed"
        yield Outcome("full disk", str(request), house.acknowledged(), len(house.lost()), trouble.strip())
    ballast.unlink()
    again = [request for request in requests if request.needs == "room" and request.method != "DELETE"]
    trouble = [str(request) for request in again if request.send(house).status_code >= 500]
    yield Outcome(
        "full disk",
        "with room again",
        house.acknowledged(),
        len(house.lost()),
        "; ".join(trouble),
    )


def labels_with_little_room(house: House) -> Iterator[Outcome]:
    """A label is saved again with more and more room: it is the old one and refused, or the new one and taken."""
    _start(house)
    for image in house.images[:3]:
        house.put_label(image).raise_for_status()
    image = house.images[0]
    for pages in FREE_PAGES:
        wait_for(house.task_ended, 60)
        ballast = fill(house.folder, leave_pages=pages)
        answer = house.put_label(image)
        version = house.sent[image][-1]
        there = any(file.read_bytes() == version.content for file in house.files_of(image))
        trouble = []
        if answer.status_code not in (200, every_route.NO_ROOM):
            trouble.append(f"{answer.status_code} {answer.text[:120]}")
        if there != (answer.status_code == 200):
            trouble.append(f"answered {answer.status_code}, and the file is {'new' if there else 'old'}")
        ballast.unlink()
        trouble += house.disagreements()
        detail = f"a label, {pages * PAGE // 1024} KiB free: {answer.status_code}"
        yield Outcome("nearly full disk", detail, house.acknowledged(), len(house.lost()), "; ".join(trouble))


def _start(house: House) -> None:
    if failed := house.start(warm=True):
        raise RuntimeError(failed)
