"""A hundred thousand inputs to the parsers, the checks and the routes: how many are read, refused, end badly.

    python -m benchmarks.contract.run --out benchmarks/contract/results

Resumable: what was counted stays, and further inputs get further numbers. Ends with 1 when anything ended badly.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from benchmarks.common.served import served
from benchmarks.contract.checks import checks_in
from benchmarks.contract.damage import KINDS
from benchmarks.contract.parsers import gate_of, parser_of
from benchmarks.contract.pools import Try, try_inputs
from benchmarks.contract.routes import BUSY, ask_everything

A_HEADER, A_FILE, A_CHECK = 7000, 2800, 1500
REQUESTS, A_ROUND = 3000, 1000
COLUMNS = ("what", "inputs", "read, 2xx, 3xx", "refused, 4xx", "busy, 503", "error, 5xx", "crashed", "hung")


class Counts:
    """What was counted so far, kept in a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.rows: dict[str, Counter[str]] = {}
        self.bad: list[str] = []
        if file.is_file():
            known = json.loads(file.read_text())
            self.rows = {what: Counter(row) for what, row in known["counts"].items()}
            self.bad = known["bad"]

    def done(self, what: str) -> int:
        """Inputs of this kind so far."""
        return self.rows.get(what, Counter()).total()

    def add(self, what: str, counts: Mapping[str, int], bad: list[str]) -> None:
        """Takes more up, and writes all of it."""
        self.rows.setdefault(what, Counter()).update(counts)
        self.bad += [f"{what} {words}" for words in bad]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps({"counts": self.rows, "bad": self.bad}, indent=1) + "\n")
        part.replace(self.file)
        self.file.with_suffix(".md").write_text(self.table())
        print(f"{what}: {dict(self.rows[what])}", flush=True)

    def table(self) -> str:
        """All counts as a table."""
        lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
        total: Counter[str] = Counter()
        for row in self.rows.values():
            total.update(row)
        for what, row in [*self.rows.items(), ("**all**", total)]:
            ends = [f"{row[end]:,}" for end in ("read", "refused", "busy", "error", "crashed", "hung")]
            lines.append(f"| {what} | {row.total():,} | " + " | ".join(ends) + " |")
        return "\n".join(lines) + "\n"


def main() -> None:
    """Counts until there are enough, or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers of inputs")
    parser.add_argument(
        "--without-routes", action="store_true", help="files and checks alone, without a server"
    )
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes
    counts = Counts(options.out / "counts.json")
    with tempfile.TemporaryDirectory() as folder:
        for what, (attempt, wanted) in tries(Path(folder)).items():
            _try(counts, what, attempt, int(wanted * options.scale), until)
        wanted = int(REQUESTS * options.scale)
        if not options.without_routes and counts.done("routes") < wanted and time.monotonic() < until:
            _ask(counts, Path(folder), wanted, until)
    print(counts.table())
    sys.exit(1 if counts.bad else 0)


def tries(folder: Path) -> dict[str, tuple[Try, int]]:
    """What is tried without a server, and how often."""
    headers = {f"headers of {kind}": (gate_of(kind, folder), A_HEADER) for kind in KINDS}
    files = {f"files {kind}": (parser_of(kind, folder), A_FILE) for kind in KINDS}
    return (
        headers | files | {f"checks of {what}": (check, A_CHECK) for what, check in checks_in(folder).items()}
    )


def _try(counts: Counts, what: str, attempt: Try, wanted: int, until: float) -> None:
    while (done := counts.done(what)) < wanted and time.monotonic() < until:
        found, bad, _ = try_inputs(attempt, range(done, min(done + 3000, wanted)), until)
        counts.add(what, found, bad)


def _ask(counts: Counts, folder: Path, wanted: int, until: float) -> None:
    with served(folder / "served", {"upload_gb": "0.25"}, {"PYTHONHASHSEED": "0"}) as server:
        while (done := counts.done("routes")) < wanted and time.monotonic() < until:
            asked = ask_everything(server.base, least=A_ROUND, number=1 + done)
            found: Counter[str] = Counter()
            for status, number in asked.answers.items():
                bad = "busy" if status == BUSY else "error"
                found["read" if status < 400 else "refused" if status < 500 else bad] += number
            counts.add("routes", found, asked.failures)
            if server.process.poll() is not None:
                counts.add("routes", {"crashed": 1}, [f"the server ended: {server.tail()[-500:]}"])
                return


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
