"""Is a label lost or doubled when several annotators work at once, with trainings and a curve job beside them?

python -m benchmarks.annotators.run
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.annotators.day import Day, work
from benchmarks.common.served import served

RESULTS = Path(__file__).parent / "results" / "annotators.json"


def main() -> int:
    """Runs the day, writes the table; 1 when something was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--labels", type=int, default=25, help="of each client")
    parser.add_argument("--second-readers", default="10%")
    parser.add_argument("--size", type=int, default=24, help="voxels along an axis")
    parser.add_argument("--steps", type=int, default=10, help="of a training")
    parser.add_argument("--curve-minutes", type=float, default=0.5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    conf = {"network": "resunet", "second_readers": options.second_readers, "compare": ""}
    images = options.clients * options.labels
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder), conf, {}, images=images, size=options.size) as server,
    ):
        day = work(
            server,
            clients=options.clients,
            labels=options.labels,
            steps=options.steps,
            curve_minutes=options.curve_minutes,
        )
    table = summary(day, options.clients) | {
        "processors": os.cpu_count(),
        "load_1_min": round(os.getloadavg()[0], 1),
    }
    text = json.dumps(table, indent=1)
    options.out.write_text(text + "\n")
    print(text)
    print(*day.faults, sep="\n")
    return 1 if day.faults else 0


def summary(day: Day, clients: int) -> dict[str, object]:
    """The day in numbers."""
    put = np.array([one.seconds for one in day.sent]) * 1000
    asked = np.array(day.next_seconds) * 1000
    return {
        "clients": clients,
        "labels": len(day.sent),
        "second_readings": sum(one.second for one in day.sent),
        "trainings": sum(one["trainer"] == "segmentation" for one in day.trainings),
        "curve_jobs": sum(one["trainer"] == "learning_curve" for one in day.trainings),
        "lost_or_doubled": len(day.faults),
        "seconds": round(day.seconds),
        "told_to_come_later": dict(day.later),
        "next_case_ms_median": round(float(np.median(asked))),
        "next_case_ms_p95": round(float(np.quantile(asked, 0.95))),
        "put_label_ms_median": round(float(np.median(put))),
        "put_label_ms_p95": round(float(np.quantile(put, 0.95))),
    }


if __name__ == "__main__":
    raise SystemExit(main())
