"""Which Segmentations a DICOM server holds. One that takes another's place in its series leaves the counts as they were."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scaling_app.monai_app.dicom.connection import PacsError

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
        held: defaultdict[str, set[str]] = defaultdict(set)
        found: set[str] = set()
        rows = 0
        while part := self._ask(rows):
            told = [(_text(row, _SERIES), _text(row, _SOP)) for row in part]
            new = [(series, sop) for series, sop in told if sop and sop not in found]
            if not new:  # some servers give the first part to every question
                break
            for series, sop in new:
                held[series].add(sop)
                found.add(sop)
            rows += len(part)
        return held


def _text(row: Any, tag: str) -> str:
    """A value of a row, which may hold anything; empty where it is none."""
    try:
        return str(row[tag]["Value"][0])
    except (KeyError, IndexError, TypeError):
        return ""
