"""Which Segmentations a DICOM server holds. One that takes another's place in its series leaves the counts as they were."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scaling_app.monai_app.dicom.connection import PacsError
from scaling_app.monai_app.dicom.searching import in_parts

_SOP, _SERIES = "00080018", "0020000E"


class HeldSegmentations:
    """The instances of each series of Segmentations, listed now and then.

    Args:
        ask: for the rows of a search for their instances, from one on.
        good_for: how long a list holds that took so many seconds.
    """

    def __init__(self, ask: Callable[[int], Sequence[Any]], good_for: Callable[[float], float]) -> None:
        self._ask, self._good_for = ask, good_for
        self._held: Mapping[str, set[str]] = {}
        self._good_until = float("-inf")

    def of_series(self) -> Mapping[str, set[str]]:
        """The UIDs of the instances, by that of their series; nothing where the server lists none.

        Raises:
            PacsError: it is silent.
        """
        began = time.monotonic()
        if began >= self._good_until:
            try:
                self._held = self._listed()
            except PacsError as error:
                if not error.answered:
                    raise
                self._held = {}  # not every server can be asked this
            ended = time.monotonic()
            self._good_until = ended + self._good_for(ended - began)
        return self._held

    def _listed(self) -> Mapping[str, set[str]]:
        found, _ = in_parts(self._rows_from, lambda named: named[1])
        held: defaultdict[str, set[str]] = defaultdict(set)
        for series, sop in found.values():
            held[series].add(sop)
        return held

    def _rows_from(self, row: int) -> list[tuple[str, str] | None]:
        """Series and instance; one without a name is none."""
        told = [(_text(one, _SERIES), _text(one, _SOP)) for one in self._ask(row)]
        return [named if named[1] else None for named in told]


def _text(row: Any, tag: str) -> str:
    """A value of a row, which may hold anything; empty where it is none."""
    try:
        return str(row[tag]["Value"][0])
    except (KeyError, IndexError, TypeError):
        return ""
