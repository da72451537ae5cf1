"""In whose hands a case is: nobody else is handed it within the hour.

A lease ends when its reader says so, sends the label, or falls silent for an hour. The server counts that hour by a
clock that nobody can set; only after a restart does it ask the calendar, and never waits longer than an hour for it.
A reader who does not say who they are is one reader together with all others who do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Lock

from scaling_app.ledger import Lease, Ledger, utc_now

HOUR = 3600.0


@dataclass(frozen=True)
class Held:
    """The last lease of a case, not an hour old: `since` when its reader was last heard of, by the clock of `Leases`."""

    reader: str
    since: float
    ended: bool


class Leases:
    """The leases of one ledger; one process hands out cases.

    Args:
        ledger: keeps them over a restart.
        clock: seconds that pass evenly.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger, self._clock = ledger, clock
        self._lock = Lock()
        now, day = clock(), utc_now()
        self._held = {}
        for lease in ledger.leases():
            # a calendar that was set back says that it begins in the future
            age = max(0.0, (day - lease.at).total_seconds())
            self._held[lease.image_id] = Held(lease.reader, now - age, lease.ended)

    def held(self) -> Mapping[str, Held]:
        """Image -> its lease, of those that are not an hour old."""
        with self._lock:
            oldest = self._clock() - HOUR
            self._held = {image: held for image, held in self._held.items() if held.since > oldest}
            return dict(self._held)

    def others(self, reader: str) -> set[str]:
        """The images that are in somebody else's hands."""
        return {image for image, held in self.held().items() if not held.ended and held.reader != reader}

    def take(self, image_id: str, reader: str) -> None:
        """The case is handed to that reader.

        Raises:
            LedgerError: it cannot be written; nothing has changed.
        """
        with self._ledger.at_once():
            self._write(image_id, Held(reader, self._clock(), ended=False))

    def renew(self, image_id: str, reader: str) -> bool:
        """That reader is still at it; False where the case has gone to somebody else, or was given back."""
        return self._change(image_id, reader, ended=False)

    def end(self, image_id: str, reader: str) -> bool:
        """That reader gives the case back; False where it was not theirs."""
        return self._change(image_id, reader, ended=True)

    def _change(self, image_id: str, reader: str, *, ended: bool) -> bool:
        if self._held_by(image_id, reader) is None:  # most often: that takes no writing
            return False
        with self._ledger.at_once():  # others who change leases wait here
            held = self._held_by(image_id, reader)
            if held is None:
                return False
            self._write(image_id, replace(held, since=self._clock(), ended=ended))
            return True

    def _held_by(self, image_id: str, reader: str) -> Held | None:
        with self._lock:
            held = self._held.get(image_id)
        return None if held is None or held.reader != reader or held.ended else held

    def _write(self, image_id: str, held: Held) -> None:
        self._ledger.keep_lease(Lease(image_id, held.reader, utc_now(), held.ended))
        self._ledger.once_kept(lambda: self._know(image_id, held))

    def _know(self, image_id: str, held: Held) -> None:
        with self._lock:
            self._held[image_id] = held
