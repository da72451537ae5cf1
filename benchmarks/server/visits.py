"""Clients that ask as viewers do: one request after the other, with a pause between, several at once."""

from __future__ import annotations

import json
import random
import statistics
import threading
import time
from collections import defaultdict
from pathlib import Path

import requests

from benchmarks.server.studies import STRUCTURES

PAUSE_SECONDS = 0.25
KINDS = ("info", "sufficiency", "next", "label")
INFO = [{"name": name, "idx": value} for name, value in STRUCTURES.items()]


class Visits:
    """What the clients of one server saw: seconds by kind of request.

    Args:
        kinds: the requests that this server knows, of `KINDS`.
        labels: files to send, each image's own.
    """

    def __init__(self, base: str, kinds: tuple[str, ...], labels: list[Path]) -> None:
        self.base, self.kinds, self.labels = base, kinds, labels
        self.taken: dict[str, list[float]] = defaultdict(list)
        self.refused: list[str] = []

    def pay(self, clients: int, rounds: int) -> None:
        """Each client goes through all kinds so many times, after one round that does not count."""
        everybody = threading.Barrier(clients)
        threads = [
            threading.Thread(target=self._client, args=(number, clients, rounds, everybody))
            for number in range(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def table(self) -> dict[str, dict[str, float]]:
        """Count, median and 95th percentile in ms, of each kind."""
        return {
            kind: {
                "n": len(seconds),
                "median_ms": round(1000 * statistics.median(seconds), 1),
                "p95_ms": round(1000 * statistics.quantiles(seconds, n=20)[-1], 1),
            }
            for kind, seconds in self.taken.items()
        }

    def _client(self, number: int, clients: int, rounds: int, everybody: threading.Barrier) -> None:
        luck, own = random.Random(number), self.labels[number::clients] or self.labels
        with requests.Session() as http:
            everybody.wait()
            for turn in range(rounds + 1):
                for kind in self.kinds:
                    time.sleep(PAUSE_SECONDS * luck.uniform(0.5, 1.5))
                    began = time.perf_counter()
                    answer = self._ask(http, kind, f"client {number}", own[turn % len(own)])
                    seconds = time.perf_counter() - began
                    if answer.status_code != 200:
                        self.refused.append(f"{kind}: {answer.status_code} {answer.text[:200]}")
                    elif turn:
                        self.taken[kind].append(seconds)

    def _ask(self, http: requests.Session, kind: str, client: str, label: Path) -> requests.Response:
        if kind == "next":
            return http.post(f"{self.base}/activelearning/random", json={"client_id": client}, timeout=120)
        if kind == "label":
            return send_label(http, self.base, label, client)
        return http.get(f"{self.base}/{kind}/", timeout=120)


def send_label(http: requests.Session, base: str, label: Path, client: str) -> requests.Response:
    """Saves the label of the image that the file is named after."""
    return http.put(
        f"{base}/datastore/label",
        params={"image": label.name.partition(".")[0]},
        data={"params": json.dumps({"label_info": INFO, "client_id": client})},
        files={"label": (label.name, label.read_bytes())},
        timeout=120,
    )
