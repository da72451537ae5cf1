"""The memory of a server and all its processes, and how long it takes to answer, looked at all the time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import requests

LOOK_SECONDS = 0.03
ASK_SECONDS = 0.1
ADDRESSES = ("/info/", "/sufficiency/")
MIB = 1 << 20


@dataclass
class Seen:
    """What was seen in some time.

    Attributes:
        whole: most bytes of the server and its processes together, what they share counted once.
        own: most bytes of the server's own process.
        seconds: of the answers, by address.
    """

    whole: int = 0
    own: int = 0
    seconds: dict[str, list[float]] = field(default_factory=lambda: {address: [] for address in ADDRESSES})

    def slowest(self, address: str) -> float:
        """Seconds; 0 without an answer."""
        return max(self.seconds[address], default=0.0)

    def add(self, other: Seen) -> None:
        """Takes up what was seen elsewhere."""
        self.whole, self.own = max(self.whole, other.whole), max(self.own, other.own)
        for address, seconds in other.seconds.items():
            self.seconds[address] += seconds


class Watch:
    """Looks and asks in threads of its own.

    Args:
        base: where the server answers.
        process: the server's process.
    """

    def __init__(self, base: str, process: int) -> None:
        self.base, self.server = base, psutil.Process(process)
        self._seen = Seen()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.silent: list[str] = []

    @contextlib.contextmanager
    def watching(self) -> Iterator[Watch]:
        """Looks until the context ends."""
        threads = [threading.Thread(target=run, daemon=True) for run in (self._look, self._ask)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def taken(self) -> Seen:
        """What was seen since this was asked last."""
        with self._lock:
            seen, self._seen = self._seen, Seen()
        return seen

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            whole = sum(map(_share, [self.server, *self._children()]))
            with contextlib.suppress(psutil.Error):
                own = self.server.memory_info().rss
                with self._lock:
                    self._seen.whole = max(self._seen.whole, whole)
                    self._seen.own = max(self._seen.own, own)

    def _children(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return self.server.children(recursive=True)
        return []

    def _ask(self) -> None:
        with requests.Session() as http:
            while not self._over.wait(ASK_SECONDS):
                for address in ADDRESSES:
                    began = time.perf_counter()
                    try:
                        http.get(f"{self.base}{address}", timeout=60).raise_for_status()
                    except requests.RequestException as error:
                        self.silent.append(f"{address}: {error}"[:200])
                    with self._lock:
                        self._seen.seconds[address].append(time.perf_counter() - began)


def _share(process: psutil.Process) -> int:
    """Bytes of a process, of shared ones its share; 0 when it has ended."""
    try:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
