"""Parsing files from others, each in a process of its own that ends with it.

One process has imported the parsers and waits for orders; for each it forks, so that a reading costs milliseconds and
leaves nothing behind. The fork judges the header, allows itself memory and time in proportion to what that promises,
reads, and answers in JSON: what has read foreign bytes sends no pickles. It ends when the server does, however that
died.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from scaling_app.imaging.image_files import read_grid, read_image_array, reading, suffix_of
from scaling_app.imaging.pictures import load_picture
from scaling_app.imaging.untrusted import Header, ImageError, judge, read_through
from scaling_app.studies.labels.checks import require_alike
from scaling_app.studies.labels.contents import facts_to_json, read_content

HEADER_SECONDS = 30
BYTES_A_SECOND = 20 << 20
"""Slow disks and busy processors unpack as fast as this."""

MOST_SECONDS = 600
"""For any file."""

MOST_LAYERS = 256
"""Of a segmentation; segments that overlap lie in different ones."""

SCORING = 32
"""Times the memory of a label are allowed to compare two: masks, and distances to their surfaces."""

HEADER_MEMORY = 256 << 20
_SPARE_MEMORY = 512 << 20

LARGE = _SPARE_MEMORY + (256 << 20)
"""Bytes. What may take more is read one file at a time."""

Allow = Callable[[Header], None]


def label_facts(
    path: str,
    *,
    shape: Sequence[int] | None,
    alone: bool,
    most_bytes: float | None,
    allow: Allow = lambda header: None,
) -> dict[str, Any]:
    """What a label file says, as `facts_to_json` gives it.

    Args:
        shape: of its image, whose voxels it has to have.
        alone, most_bytes: as for `judge`.
        allow: told what the header promises before the file is read.

    Raises:
        ValueError: it cannot be used.
    """
    header = judge(Path(path), suffix_of(path), alone=alone, most_bytes=most_bytes, unpacked=False)
    if shape is not None:
        require_alike(header.sizes, shape)
    if header.others > MOST_LAYERS:
        raise ImageError(
            f"{Path(path).name} has {header.others:,} layers or channels; at most {MOST_LAYERS} are read in a label map"
        )
    allow(header)
    return facts_to_json(read_content(Path(path)))


def image_is_readable(
    path: str, *, alone: bool, most_bytes: float | None, allow: Allow = lambda header: None
) -> dict[str, Any]:
    """Reads an image and forgets it; a large one piece by piece, so that checking it takes no memory of its size.

    Raises:
        ValueError: it cannot be used.
    """
    header = judge(Path(path), suffix_of(path), alone=alone, most_bytes=most_bytes, unpacked=False)
    allow(header)
    if memory_for(header) <= LARGE or not alone:
        read_image_array(Path(path))
        return {}
    read_grid(Path(path))
    with reading(Path(path)):
        if header.place is None:
            load_picture(Path(path))
        else:
            read_through(Path(path), header)
    return {}


def agreement(
    path: str,
    *,
    against: str,
    structures: dict[str, int],
    tolerance_mm: float,
    alone: bool,
    most_bytes: float | None,
    allow: Allow = lambda header: None,
) -> dict[str, Any]:
    """How far a label agrees with another one of the same image, scored as a model's prediction is.

    Returns:
        Under `scores` Dice, NSD and `one_only` of each structure; none where both hold the same voxels: then one is a
        copy, as no two people draw alike to the voxel.

    Raises:
        ValueError: one cannot be read, or they do not lie on one grid.
    """
    from scaling_app.imaging.geometry import read_label, same_grid, spacing_of
    from scaling_app.imaging.scores import score_case

    header = judge(Path(path), suffix_of(path), alone=alone, most_bytes=most_bytes, unpacked=False)
    allow(replace(header, item_bytes=header.item_bytes * SCORING))
    reference = read_label(against)
    label = read_label(path, reference)
    if (difference := same_grid(reference, label)) is not None:
        raise ImageError(f"{Path(path).name} and {Path(against).name}: {difference}")
    if bool((label.as_tensor() == reference.as_tensor()).all()):
        return {"scores": []}
    scores = score_case(
        label.as_tensor(), reference.as_tensor(), structures, spacing_of(reference), tolerance_mm
    )
    found = [(s.structure, s.dice, s.nsd, s.missed or s.hallucinated) for s in scores]
    return {"scores": found}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "label_facts": label_facts,
    "image_is_readable": image_is_readable,
    "agreement": agreement,
}


LOADED_FIRST = {"agreement": "scaling_app.imaging.scores"}
"""What a task needs of libraries that take more memory than a file's header is allowed."""


def memory_for(header: Header) -> int:
    """Bytes that reading what this header promises may take: a few copies of it, whatever the kind."""
    return _SPARE_MEMORY + 2 * header.stored_bytes + 4 * header.read_bytes


def seconds_for(header: Header) -> int:
    """How long reading what this header promises may take."""
    promised = header.stored_bytes + header.read_bytes
    return min(HEADER_SECONDS + promised // BYTES_A_SECOND, MOST_SECONDS - HEADER_SECONDS)


def _take_turns(header: Header, turns: int) -> None:
    """Waits until no other large file is being read; a process that ends gives its turn up."""
    if memory_for(header) > LARGE:
        import fcntl

        signal.alarm(MOST_SECONDS)
        fcntl.lockf(turns, fcntl.LOCK_EX)


def _limit(memory: int, seconds: int) -> None:
    import resource  # as fcntl, where processes fork

    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:  # not Linux: there the clock alone ends it
        pages = None
    if pages is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + memory, hard))
    signal.alarm(seconds)  # its default is the end of the process


def _answer(order: bytes, answers: int, turns: int) -> None:
    def allow(header: Header) -> None:
        _take_turns(header, turns)
        _limit(memory_for(header), seconds_for(header))

    try:
        task, arguments = json.loads(order)
        if (module := LOADED_FIRST.get(task)) is not None:
            import_module(module)
        _limit(HEADER_MEMORY, HEADER_SECONDS)
        try:
            said: dict[str, Any] = {"answer": TASKS[task](**arguments, allow=allow)}
        except ValueError as error:
            said = {"refused": str(error), "label": not isinstance(error, ImageError)}
        except MemoryError:
            return
        except Exception as error:
            if "allocate memory" in str(error):  # as ITK says it
                return
            traceback.print_exc()
            said = {"failed": f"{type(error).__name__}: {error}"}
        with os.fdopen(answers, "w", encoding="utf-8") as out:
            json.dump(said, out)
    finally:
        os._exit(0)


def main() -> None:
    """Takes orders from the socket on standard input until there are no more."""
    orders = socket.socket(fileno=os.dup(0))
    sys.stdout = sys.stderr
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # a lock on `turns` is a process's own, and ends with it; the connection of a server that ended too soon is reset
    with tempfile.TemporaryFile() as turns, contextlib.suppress(ConnectionError):
        orders.sendall(b".")
        while (order := _next_order(orders)) is not None:
            text, answers = order
            if os.fork() == 0:
                orders.close()
                _answer(text, answers, turns.fileno())
            os.close(answers)


def _next_order(orders: socket.socket) -> tuple[bytes, int] | None:
    """What is asked, and where to write the answer; None when the server has ended."""
    length, handles, _, _ = socket.recv_fds(orders, 4, 1)
    if not length:
        return None
    order = b""
    wanted = int.from_bytes(length, "big")
    while len(order) < wanted and (piece := orders.recv(wanted - len(order))):
        order += piece
    return order, handles[0]


if __name__ == "__main__":
    main()
