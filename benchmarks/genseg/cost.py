"""What GenSeg costs beside the baseline: processor time and wall time per step, and peak memory.

    python -m benchmarks.genseg.cost --data DIR/wbc --cases 10 --steps 100 [--network resunet]

Each arm trains in a process of its own, so that its peak memory is its own: the baseline, GenSeg whose pairs wait
for their proof, and GenSeg whose pairs count from the first outer step on.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.genseg.run import ARMS
from scaling_app.experiments.cohort import find_cases
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.plan import make_plan
from scaling_app.trials.run_settings import RunSettings
from scaling_app.trials.training import train

MEASURED = ("baseline", "genseg", "genseg without proof")


def main() -> None:
    """Prints one line per arm, and GenSeg's over the baseline's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=10)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--network", default="resunet")
    parser.add_argument("--arm", help="measure this one here (used by the parent process)")
    options = parser.parse_args()
    if options.arm is not None:
        print(json.dumps(_measure(options)))
        return
    found = {}
    for arm in MEASURED:
        command = [sys.executable, "-m", "benchmarks.genseg.cost", *sys.argv[1:], "--arm", arm]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found[arm] = json.loads(answer.splitlines()[-1])
        ratios = {k: round(v / found["baseline"][k], 2) for k, v in found[arm].items()}
        print(arm, found[arm], "over the baseline", ratios, flush=True)


def _measure(options: argparse.Namespace) -> dict[str, float]:
    torch.set_num_threads(1)
    files = find_cases(options.data / "images", options.data / "labels")[: options.cases]
    plan = make_plan(files, network=options.network)
    with tempfile.TemporaryDirectory() as folder:
        cases = PreparedCases(plan, files, Path(folder), 2**30)
        for case_id in cases.labelled:
            cases[case_id]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cpu, wall = time.process_time(), time.perf_counter()
        arm = ARMS[options.arm]
        settings = RunSettings(strategy=arm.strategy, steps=options.steps, options=arm.options)
        train(cases, cases.labelled, settings)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "cpu_ms_per_step": round(1000 * cpu / options.steps, 1),
        "wall_ms_per_step": round(1000 * wall / options.steps, 1),
        "peak_mb": round(peak / 1024),
        "training_mb": round(max(1, peak - before) / 1024),
    }


if __name__ == "__main__":
    main()
