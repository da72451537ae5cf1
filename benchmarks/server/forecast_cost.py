"""What a forecast costs with 500 labels and 50,000 scores: seconds and memory of the process that makes it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from scaling_app.ledger import Case, Ledger, Observation, Run, utc_now

LABELS, RUNS, STRUCTURES = 500, 70, 2
MEASURE = """
import io, json, resource, sys, time
import scaling_app.curve.ledger_curve
from scaling_app.service import forecast_worker
told, sys.stdin, sys.stdout = sys.stdout, io.StringIO(sys.argv[1]), io.StringIO()
answer = sys.stdout
began, cpu = time.perf_counter(), time.process_time()
forecast_worker.main()
print(json.dumps({
    "seconds": round(time.perf_counter() - began, 2), "cpu_seconds": round(time.process_time() - cpu, 2),
    "memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    "status": json.loads(answer.getvalue())["forecast"]["status"],
}), file=told)
"""
"""As the server's own process answers, once its libraries are loaded."""


def forecast_cost(repeats: int = 3) -> dict[str, object]:
    """The median of several, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        scores = fill(Ledger(path))
        question = json.dumps({"ledger": str(path), "n_pool": 1500, "method": "bayes"})
        told = [
            json.loads(
                subprocess.run(
                    [sys.executable, "-c", MEASURE, question], check=True, capture_output=True
                ).stdout
            )
            for _ in range(repeats)
        ]
    middle = sorted(told, key=lambda one: one["seconds"])[repeats // 2]
    return {"labels": LABELS, "scores": scores, "repeats": repeats, **middle}


def fill(ledger: Ledger) -> int:
    """A long session: labels, and runs of growing size that were tested on all other cases; returns the scores."""
    rng = np.random.default_rng(0)
    images = [f"case_{index:04d}" for index in range(LABELS)]
    for image in images:
        ledger.save_case(Case(image, f"sha256:{image}", utc_now(), patient=image, minutes=5.0))
    luck = rng.normal(0, 0.05, (LABELS, STRUCTURES))
    scores = 0
    for number in range(RUNS):
        n = int(np.geomspace(5, 400, RUNS)[number])
        order = rng.permutation(LABELS)
        trained, tested = order[:n], order[n:]
        run = f"run_{number}"
        ledger.start_run(
            Run(
                run,
                "fold",
                "baseline",
                "resunet",
                [images[k] for k in trained],
                n,
                number,
                number % 5,
                "s",
                utc_now(),
            )
        )
        seen = [
            Observation(
                run, images[case], f"structure {k}", "fold",
                dice=float(np.clip(0.9 - 0.5 * n**-0.6 + luck[case, k] + rng.normal(0, 0.03), 0, 1)), nsd=0.8, hd95_mm=3.0,
            )
            for case in tested for k in range(STRUCTURES)
        ]  # fmt: skip
        scores += len(seen)
        ledger.finish_run(run, seen)
    return scores


if __name__ == "__main__":
    began = time.perf_counter()
    print(json.dumps(forecast_cost()), round(time.perf_counter() - began, 1))
