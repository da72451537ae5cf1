"""How good is the plain baseline on 2 to 32 cases of a known task? The check that a training is worth anything.

    scaling-app replay --images DIR/images --labels DIR/labels --sizes 2,4,8,16,32 --seeds 2 --test 60 --steps 400 \\
        --networks resunet --out benchmarks/baseline/results/runs.csv     # trains; resumable
    python -m benchmarks.baseline.run                  # the table

`DIR` holds the hippocampus of the Medical Segmentation Decathlon (Task04). Intervals are 95 % t intervals
over test cases; they do not cover which cases were drawn for training: there is one draw.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from benchmarks.common.paired_runs import said
from benchmarks.common.tables import markdown, task_mean

RESULTS = Path(__file__).parent / "results"


def row_of(n: int, runs: pd.DataFrame) -> dict[str, str]:
    """The line of one size: means over seeds, structures and test cases."""
    seeds = runs.groupby("seed")["dice"].mean()
    structures = runs.groupby("structure")[["dice"]].mean()["dice"]
    return {
        "n": str(n),
        "test cases": str(runs["case"].nunique()),
        "Dice": said(task_mean(runs["dice"].to_numpy(), runs["case"].to_numpy()), 3),
        **{f"seed {seed}": f"{dice:.3f}" for seed, dice in seeds.items()},
        **{str(name): f"{dice:.3f}" for name, dice in structures.items()},
        "NSD at 2 mm": f"{runs['nsd'].mean():.3f}",
        "HD95, mm": f"{runs['hd95_mm'].mean():.1f}",
    }


def main() -> None:
    """Writes `results/table.md`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=RESULTS / "runs.csv")
    options = parser.parse_args()
    table = pd.read_csv(options.runs)
    text = markdown([row_of(int(n), runs) for n, runs in table.groupby("n")])
    (RESULTS / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
