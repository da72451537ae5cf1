"""What came of each fault, written down as it goes."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path

from benchmarks.common import tables


@dataclass(frozen=True)
class Outcome:
    """One fault that was made, and what held after it.

    Attributes:
        fault: the kind, a row of the table.
        detail: which file, route or moment.
        checked: acknowledged labels that were looked for afterwards.
        lost: how many of them were not there.
        trouble: what else should have held and did not; empty when the fault was survived.
    """

    fault: str
    detail: str
    checked: int
    lost: int
    trouble: str = ""

    @property
    def survived(self) -> bool:
        """Whether all that was promised held."""
        return not self.lost and not self.trouble


NAMES = [field.name for field in fields(Outcome)]


def append(path: Path, outcome: Outcome) -> None:
    """Adds a row; several runs may write one table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        if new:
            writer.writerow(NAMES)
        writer.writerow(asdict(outcome).values())
        stream.flush()
        os.fsync(stream.fileno())
    when = f"{datetime.now():%H:%M:%S}"
    mark = "survived" if outcome.survived else f"LOST {outcome.lost} {outcome.trouble}"
    print(f"{when} {outcome.fault} | {outcome.detail} | {outcome.checked} labels | {mark}", flush=True)


def read(path: Path) -> list[Outcome]:
    """The rows so far; none where there is no table."""
    if not path.exists():
        return []
    return [
        Outcome(row["fault"], row["detail"], int(row["checked"]), int(row["lost"]), row["trouble"])
        for row in tables.read(path)
    ]


def table(outcomes: Sequence[Outcome]) -> str:
    """Tried, survived and lost for each fault, as a Markdown table."""
    rows = []
    for fault in dict.fromkeys(outcome.fault for outcome in outcomes):
        those = [outcome for outcome in outcomes if outcome.fault == fault]
        rows.append(
            {
                "fault": fault,
                "tried": len(those),
                "survived": sum(outcome.survived for outcome in those),
                "labels looked for": sum(outcome.checked for outcome in those),
                "labels lost": sum(outcome.lost for outcome in those),
            }
        )
    return tables.markdown(rows)
