"""What the server asks about files from others; where the system can fork, it opens none of them itself."""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import scaling_app
from scaling_app.imaging.untrusted import ImageError
from scaling_app.studies.labels import parsing_process
from scaling_app.studies.labels.contents import LabelContent, facts_from_json

logger = logging.getLogger(__name__)

START_SECONDS = 120
"""Of a busy machine; a quiet one needs two."""

_LONGEST_ANSWER = 64 << 20


class NoParserError(RuntimeError):
    """The process that parses cannot be started; no fault of the file."""


class ForeignFiles:
    """Reads files from others: within this process until `apart` is called, then each in its own.

    Args:
        most_bytes: bound on what a client sends, as an image in memory (float32).
    """

    def __init__(self, most_bytes: float | None = None) -> None:
        self.most_bytes = most_bytes
        self._parser: _Parser | None = None

    def apart(self) -> None:
        """From now on a file that hangs its parser, or takes all memory, ends one process and not this one."""
        if self._parser is None and hasattr(os, "fork"):
            self._parser = _Parser()
            self._parser.start()

    def close(self) -> None:
        """Ends the process that waits for orders."""
        if self._parser is not None:
            self._parser.close()

    def label_facts(
        self, path: Path, *, shape: Sequence[int] | None = None, sent: bool = False
    ) -> LabelContent:
        """What a label file says.

        Args:
            shape: of its image, whose voxels it has to have.
            sent: whether a client sent it; such a file has to hold its own data.

        Raises:
            ValueError: it cannot be used.
            NoParserError: nobody can parse now.
        """
        arguments = {"shape": None if shape is None else list(shape), "alone": sent}
        return facts_from_json(self._ask("label_facts", path, arguments))

    def agreement(
        self, path: Path, against: Path, structures: Mapping[str, int], tolerance_mm: float
    ) -> list[tuple[str, float | None, float | None, bool]]:
        """Structure, Dice, NSD and whether one of the two alone drew it; nothing where one is a copy of the other.

        Raises:
            ValueError: one cannot be used, or they do not lie on one grid.
            NoParserError: nobody can parse now.
        """
        arguments = {
            "against": str(against),
            "structures": dict(structures),
            "tolerance_mm": tolerance_mm,
            "alone": False,
        }
        return [tuple(score) for score in self._ask("agreement", path, arguments)["scores"]]

    def require_image(self, path: Path, *, sent: bool = False) -> None:
        """Reads an image file and forgets it.

        Raises:
            ValueError: it cannot be used.
            NoParserError: nobody can parse now.
        """
        self._ask("image_is_readable", path, {"alone": sent})

    def _ask(self, task: str, path: Path, arguments: dict[str, Any]) -> dict[str, Any]:
        # what lies in the folder was put there by somebody who may: only its own header bounds it
        most_bytes = self.most_bytes if arguments["alone"] else None
        arguments = {"path": str(path), "most_bytes": most_bytes, **arguments}
        if self._parser is None:
            return parsing_process.TASKS[task](**arguments)
        said = self._parser.order(task, arguments)
        if said is None:
            raise ImageError(
                f"{path.name} cannot be read: reading it took more memory or time than a file of its size needs; "
                "export it anew"
            )
        if "failed" in said:
            raise RuntimeError(f"{path.name} could not be read: {said['failed']}")
        if "refused" in said:
            raise (ValueError if said["label"] else ImageError)(said["refused"])
        return said["answer"]


class _Parser:
    """The process that waits for orders, started anew after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None
        self._ready = False
        self._lock = Lock()

    def start(self) -> None:
        """Starts the process, unless it runs; does not wait until it is ready."""
        with self._lock:
            self._running()

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            self._end()

    def order(self, task: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        """The answer to an order; None when the fork ended without one.

        Raises:
            NoParserError: the process could not take the order.
        """
        answers, told = os.pipe()
        try:
            try:
                self._send(json.dumps([task, arguments]).encode(), told)
            finally:
                os.close(told)
            return _read_answer(answers)
        finally:
            os.close(answers)

    def _send(self, order: bytes, told: int) -> None:
        with self._lock:
            for _ in range(2):  # the first attempt may find that it has died
                try:
                    orders = self._running()
                    if not self._ready:
                        self._ready = orders.recv(1) == b"."
                    if self._ready:
                        socket.send_fds(orders, [len(order).to_bytes(4, "big")], [told])
                        orders.sendall(order)
                        return
                except OSError as error:
                    logger.warning("The process that reads files is started anew: %s", error)
                self._end()
        raise NoParserError("the process that reads files cannot be started; see the server's log")

    def _running(self) -> socket.socket:
        if self._orders is not None and self._process is not None and self._process.poll() is None:
            return self._orders
        self._end()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", parsing_process.__name__],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd=Path(scaling_app.__file__).resolve().parents[1],
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,
            )
        ours.settimeout(START_SECONDS)
        self._orders = ours
        return ours

    def _end(self) -> None:
        if self._orders is not None:
            self._orders.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process, self._orders, self._ready = None, None, False


def _read_answer(answers: int) -> dict[str, Any] | None:
    """What comes before the writing end is closed; None when that is nothing whole, or the fork outlives its alarm."""
    # it may wait for its turn, and then read
    deadline = time.monotonic() + 2 * parsing_process.MOST_SECONDS + 5
    text = b""
    while len(text) <= _LONGEST_ANSWER:
        ready, _, _ = select.select([answers], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(answers, 1 << 16) if ready else b""
        if not piece:
            break
        text += piece
    try:
        return json.loads(text)
    except ValueError:
        return None
