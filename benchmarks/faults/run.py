"""Is anything lost that was acknowledged? A real server is killed, starved, locked out, damaged and set back.

    python -m benchmarks.faults.run                 # all of it: 200 kills, then the other faults; about an hour
    python -m benchmarks.faults.run --kills 20 --only kills

Each fault is followed by a look for every label that was acknowledged, bit for bit, in the folder, in the server's
answer and in the ledger. Rows are written as they come; what is in the table already is not done again, so that a run
that was stopped goes on, and several may share one table.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.faults import damage, full_disk, kills, slow_disk
from benchmarks.faults.dicom_house import DicomHouse
from benchmarks.faults.house import House
from benchmarks.faults.outcomes import Outcome, append, read, table
from scaling_app.commands.launch import terminated_like_interrupted

HERE = Path(__file__).parent
PARTS = {
    "kills": kills.kill_often,
    "full-disk": full_disk.every_route_without_room,
    "little-disk": full_disk.labels_with_little_room,
    "slow-disk": slow_disk.slow_flushes,
    "lock": damage.locked_ledger,
    "damage": damage.damaged_files,
    "clock": damage.clock_set_back,
}
DICOMWEB = ("kills", "clock")
"""What is tried with a DICOM server; the other faults are of the disk, whoever keeps the studies."""

FAULT_OF = {
    "full-disk": "full disk",
    "little-disk": "nearly full disk",
    "slow-disk": "slow disk",
    "lock": "locked ledger",
    "damage": "damaged file",
    "clock": "clock set back",
}


def main() -> int:
    """Makes the faults that are not in the table yet; 1 when anything was lost or broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--only", choices=list(PARTS), nargs="*", default=list(PARTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--dicomweb", action="store_true", help="studies on an Orthanc; kills and the clock alone"
    )
    parser.add_argument("--out", type=Path, help="default: a table in results")
    options = parser.parse_args()
    options.out = options.out or HERE / "results" / ("dicomweb.csv" if options.dicomweb else "faults.csv")
    if options.dicomweb:
        options.only = [part for part in options.only if part in DICOMWEB]
    with terminated_like_interrupted():
        run(options)
    outcomes = read(options.out)
    text = table(outcomes)
    options.out.with_suffix(".md").write_text(f"{text}\n", encoding="utf-8")
    print(text)
    return 0 if all(outcome.survived for outcome in outcomes) else 1


def run(options: argparse.Namespace) -> None:
    """Each part in a folder of its own, removed at the end."""
    for part in options.only:
        if part != "kills" and any(outcome.fault == FAULT_OF[part] for outcome in read(options.out)):
            print(f"{FAULT_OF[part]}: in the table already")
            continue
        with tempfile.TemporaryDirectory(prefix="faults-") as above, contextlib.ExitStack() as stack:
            folder = Path(above) / "disk"
            if part in ("full-disk", "little-disk"):
                try:
                    stack.enter_context(full_disk.small_disk(folder))
                except OSError as error:
                    print(f"{FAULT_OF[part]}: left out, {error}")
                    continue
            house = (DicomHouse if options.dicomweb else House)(folder, options.seed)
            stack.callback(house.end)
            for outcome in _made(part, house, options):
                append(options.out, outcome)
                if not outcome.survived:
                    print(house.log.read_text(errors="replace")[-6000:])


def _made(part: str, house: House, options: argparse.Namespace) -> Iterator[Outcome]:
    if part != "kills":
        return PARTS[part](house)

    def there() -> Counter:
        return Counter(outcome.fault for outcome in read(options.out))

    return kills.kill_often(
        house, options.kills, there, np.random.default_rng([options.seed, there().total()])
    )


if __name__ == "__main__":
    raise SystemExit(main())
