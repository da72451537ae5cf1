"""How far a backup or a restore is, for whoever asks to be told.

What there is to wait for is bytes, or files where only their names change: it is told in MiB, or in files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

Told = Callable[[str, int, int], None]
"""Is told of a phase: its name with its unit, how much is done, of how much."""

_MIB = 1 << 20


def untold(name: str, done: int, total: int) -> None:
    """For those who do not ask."""


class Phase:
    """A part of the work; each further unit is told once.

    Args:
        told: whom to tell.
        name: of the phase.
        total: bytes or files.
        in_bytes: whether they are bytes, which are told in MiB.
    """

    def __init__(self, told: Told, name: str, total: int, *, in_bytes: bool = True) -> None:
        self._told, self._unit = told, _MIB if in_bytes else 1
        self._name = f"{name}, {'MiB' if in_bytes else 'files'}"
        self._done, self._total, self._last = 0, total, -1
        self.more(0)

    def more(self, count: int) -> None:
        """So much more is done."""
        self._done += count
        done = self._whole(self._done)
        if done != self._last:
            self._last = done
            self._told(self._name, done, self._whole(self._total))

    def _whole(self, count: int) -> int:
        return -(-count // self._unit)


class Counted:
    """A stream of which a phase hears how much was read or written."""

    def __init__(self, stream: BinaryIO, phase: Phase) -> None:
        self._stream, self._phase = stream, phase

    def read(self, size: int = -1) -> bytes:
        """As of a file."""
        piece = self._stream.read(size)
        self._phase.more(len(piece))
        return piece

    def write(self, piece: bytes) -> int:
        """As of a file."""
        written = self._stream.write(piece)
        self._phase.more(written)
        return written
