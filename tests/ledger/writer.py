"""A process that writes to a ledger and says on standard output what has been acknowledged.

Modes: `labels LEDGER NAME COUNT` saves cases, `runs LEDGER NAME COUNT` ends runs with observations.
"""

from __future__ import annotations

import sys

from scaling_app.ledger import Case, Ledger, Observation, Run, utc_now

OBSERVATIONS_PER_RUN = 5


def write_labels(ledger: Ledger, name: str, count: int) -> None:
    """Saves cases one after another."""
    for k in range(count):
        ledger.save_case(Case(f"{name}-{k}", f"hash-{k}", utc_now(), name, minutes=1.0))
        print(f"case {name}-{k}", flush=True)


def write_runs(ledger: Ledger, name: str, count: int) -> None:
    """Starts and ends runs, each with several observations."""
    for k in range(count):
        run_id = f"{name}-{k}"
        ledger.start_run(Run(run_id, "fold", "baseline", "resunet", ("a",), 1, k, 0, "s", utc_now()))
        seen = [
            Observation(run_id, f"case-{j}", "liver", "fold", dice=0.5) for j in range(OBSERVATIONS_PER_RUN)
        ]
        ledger.finish_run(run_id, seen)
        print(f"run {run_id}", flush=True)


if __name__ == "__main__":
    mode, path, name, count = sys.argv[1:]
    with Ledger(path) as opened:
        {"labels": write_labels, "runs": write_runs}[mode](opened, name, int(count))
