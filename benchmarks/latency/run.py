"""How long the server takes to answer while it trains: `GET /info/` and `GET /datastore/`, idle and busy.

Starts a real server on synthetic cases, labels some, and times requests in turns: idle, with a
`learning_curve` job computing, idle again, busy again, so that whatever else the machine does falls on
both alike. The promise is that the 95th percentile with a job running stays within twice that of idle.

    python -m benchmarks.latency.run --out benchmarks/latency/results/latency.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import requests

from benchmarks.common.served import serving
from scaling_app.imaging import synthetic

ADDRESSES = ("/info/", "/datastore/")
PAUSE_SECONDS = 0.05


def main() -> None:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--labelled", type=int, default=24)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=150, help="per address, phase and round")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), options) as base:
        taken = measure(base, rounds=options.rounds, count=options.requests)
    table = summarise(taken)
    table |= {"processors": os.cpu_count(), "load_1_min": round(os.getloadavg()[0], 2)}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(table, indent=1) + "\n")
    print(json.dumps(table, indent=1))


def measure(base: str, *, rounds: int, count: int) -> dict[tuple[str, str], list[float]]:
    """Seconds per answer, by address and phase."""
    taken: dict[tuple[str, str], list[float]] = defaultdict(list)
    with requests.Session() as http:
        settle(http, base)
        for _ in range(rounds):
            time_requests(http, base, "idle", count, taken)
            http.post(f"{base}/train/learning_curve", json={"steps": 100000}, timeout=60).raise_for_status()
            wait_until_training(http, base)
            time_requests(http, base, "busy", count, taken)
            assert http.get(f"{base}/train/", timeout=60).json()["status"] == "RUNNING"
            http.delete(f"{base}/train/", timeout=60)
            time.sleep(2)
    return taken


def time_requests(
    http: requests.Session, base: str, phase: str, count: int, taken: dict[tuple[str, str], list[float]]
) -> None:
    """Asks for both addresses in turns, with a pause after each."""
    for _ in range(count):
        for address in ADDRESSES:
            began = time.perf_counter()
            answer = http.get(f"{base}{address}", timeout=60)
            taken[address, phase].append(time.perf_counter() - began)
            answer.raise_for_status()
            time.sleep(PAUSE_SECONDS)


def settle(http: requests.Session, base: str) -> None:
    """Waits for the first forecast."""
    while http.get(f"{base}/sufficiency/", timeout=60).json()["status"] == "computing":
        time.sleep(0.5)


def wait_until_training(http: requests.Session, base: str) -> None:
    """Waits until a network is being trained."""
    while "step" not in str(http.get(f"{base}/sufficiency/", timeout=60).json()["job"]["message"]):
        time.sleep(0.5)


def summarise(taken: dict[tuple[str, str], list[float]]) -> dict[str, object]:
    """Median and 95th percentile in ms, and the ratio of the latter."""
    table: dict[str, object] = {}
    for address in ADDRESSES:
        row: dict[str, float] = {}
        for phase in ("idle", "busy"):
            seconds = taken[address, phase]
            row[f"{phase}_median_ms"] = round(1000 * statistics.median(seconds), 2)
            row[f"{phase}_p95_ms"] = round(1000 * statistics.quantiles(seconds, n=20)[-1], 2)
        row["p95_ratio"] = round(row["busy_p95_ms"] / row["idle_p95_ms"], 2)
        row["requests_per_phase"] = len(taken[address, "idle"])
        table[address] = row
    return table


@contextlib.contextmanager
def running(folder: Path, options: argparse.Namespace) -> Iterator[str]:
    """A server with labelled cases on a free port."""
    labels = {}
    for index in range(options.cases):
        case = synthetic.make_case(index, size=options.size)
        image = synthetic.write_case(case, folder / "studies", folder / "truth")
        labels[case.case_id] = folder / "truth" / image.name
    with serving(str(folder / "studies"), folder) as server:
        info = [{"name": name, "idx": value} for name, value in synthetic.STRUCTURES.items()]
        for image in list(labels)[: options.labelled]:
            requests.put(
                f"{server.base}/datastore/label",
                params={"image": image},
                data={"params": json.dumps({"label_info": info})},
                files={"label": (labels[image].name, labels[image].read_bytes())},
                timeout=60,
            ).raise_for_status()
        yield server.base


if __name__ == "__main__":
    main()
