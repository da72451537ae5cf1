"""How a server with many cases answers many clients, beside a bare app of MONAI Label on the same machine.

python -m benchmarks.server.run --out benchmarks/server/results/server.json
python -m benchmarks.server.run --out FILE --cases 2000 20000 --labels 50 --clients 8     # the short one
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import requests

from benchmarks.common.served import Served
from benchmarks.server.forecast_cost import forecast_cost
from benchmarks.server.houses import HOUSES
from benchmarks.server.studies import make_studies
from benchmarks.server.visits import KINDS, Visits, send_label


def main() -> None:
    """Measures and writes the table, row by row: a run that is cut short leaves what it has."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", type=int, nargs="+", default=[20, 200, 2000, 20000])
    parser.add_argument("--labels", type=int, nargs="+", default=[5, 50, 500])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=12, help="of each client in each phase")
    parser.add_argument("--saves", type=int, default=1000, help="for the server's memory; 0 leaves that out")
    parser.add_argument(
        "--busy", type=int, nargs="*", default=[2000], help="cases at which a curve job runs, too"
    )
    parser.add_argument("--no-forecast", action="store_true", help="leaves out what a forecast costs")
    parser.add_argument("--houses", nargs="+", choices=HOUSES, default=[*HOUSES])
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    table: dict[str, object] = {"processors": os.cpu_count(), "answers": []}
    if not options.no_forecast:
        table["forecast"] = forecast_cost()

    def keep(row: dict[str, object]) -> None:
        table["answers"] += [row | {"load_1_min": round(os.getloadavg()[0], 1)}]
        options.out.write_text(json.dumps(table, indent=1) + "\n")
        print(json.dumps(row), flush=True)

    for cases in options.cases:
        for labels in (count for count in options.labels if count < cases):
            for house in options.houses:
                of_house(house, cases, labels, options, keep)


def of_house(house: str, cases: int, labels: int, options: argparse.Namespace, keep) -> None:
    """All rows of one server over one folder."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        truth = make_studies(folder / "studies", cases, labels)
        if house == "ours":
            first, last = options.cases[0], options.cases[-1]
            saves = options.saves if cases == sorted({first, last, 2000} & {*options.cases})[-1] else 0
        else:
            saves = 0
        with HOUSES[house](folder / "studies", folder, {"steps": "100000"} if house == "ours" else {}) as (
            server,
            seconds,
        ):
            settle(server, house, labels)
            fixed = {"house": house, "cases": cases, "labels": labels, "start_s": round(seconds, 1)}
            kinds = KINDS if house == "ours" else tuple(kind for kind in KINDS if kind != "sufficiency")
            for clients in options.clients:
                keep(
                    {
                        **fixed,
                        "clients": clients,
                        "job": False,
                        **visited(server, kinds, truth, clients, options.rounds),
                    }
                )
            if house == "ours" and cases in options.busy and labels >= 5:
                start_job(server)
                for clients in options.clients:
                    row = visited(server, kinds, truth, clients, options.rounds)
                    keep({**fixed, "clients": clients, "job": True, **row})
                requests.delete(f"{server.base}/train/", timeout=60)
            if saves and house == "ours":
                keep({**fixed, "saves": saves, **memory_of_saves(server, truth, saves)})


def visited(
    server: Served, kinds: tuple[str, ...], truth: list[Path], clients: int, rounds: int
) -> dict[str, object]:
    """The answers to so many clients."""
    visits = Visits(server.base, kinds, truth)
    visits.pay(clients, rounds)
    return {**visits.table(), "refused": visits.refused[:3]}


def memory_of_saves(server: Served, truth: list[Path], saves: int) -> dict[str, object]:
    """Memory of the server's process, MiB, before, in the middle and after; the first hundred do not count."""
    seen = []
    with requests.Session() as http:
        for number in range(saves + 101):
            if number in (100, 100 + saves // 2, 100 + saves):
                time.sleep(3)
                seen.append(round(server.memory_bytes() / 2**20, 1))
            send_label(http, server.base, truth[number % len(truth)], "saver").raise_for_status()
    return {"memory_mib": seen}


def settle(server: Served, house: str, labels: int) -> None:
    """Waits until the labels that were there are known, and the first forecast is made."""
    if house == "bare":
        return
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        told = requests.get(f"{server.base}/sufficiency/", timeout=120).json()
        if told["status"] != "computing" and told["n_labelled"] >= labels:
            return
        time.sleep(0.5)
    raise TimeoutError(server.tail())


def start_job(server: Served) -> None:
    """A curve job whose first training goes on for longer than the clients stay."""
    requests.post(f"{server.base}/train/learning_curve", json={}, timeout=60).raise_for_status()
    while "step" not in str(requests.get(f"{server.base}/sufficiency/", timeout=60).json()["job"]["message"]):
        time.sleep(0.5)


if __name__ == "__main__":
    main()
