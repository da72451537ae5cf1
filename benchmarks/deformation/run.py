"""What RED, RegDA and GenDA are worth: paired trainings on n cases, tested on fixed others.

Every arm trains on the same cases with the same seed, steps, affine map and intensity changes (but `none`,
which has neither), and is tested on the same cases. The pool of an arm that uses one are images of the same
draw that are neither trained on nor tested; their labels are not read. The table grows run by run, so the
same command goes on where it was stopped:

    python benchmarks/deformation/run.py --data DIR --out DIR/hippocampus.csv --sizes 1,2,4,8 --draws 3
    python benchmarks/deformation/table.py DIR/*.csv --out benchmarks/deformation/results
"""

from __future__ import annotations

import argparse
import csv
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.cohort import Cohort, find_cases, make_cohort
from scaling_app.trials.plan import CaseFiles, found_structures, make_plan
from scaling_app.trials.trial import TrialSettings, test, train

logger = logging.getLogger(__name__)

ARMS: dict[str, tuple[str, dict[str, str]]] = {
    "none": ("none", {}),
    "baseline": ("baseline", {}),
    "red": ("red", {}),
    "regda-labelled": ("regda", {"regda_targets": "labelled"}),
    "regda-pool": ("regda", {"regda_targets": "pool"}),
    "genda-gaussian": ("genda", {"genda_generator": "gaussian"}),
    "genda-adversarial": ("genda", {"genda_generator": "adversarial"}),
    # remedies, tried where the first design missed the bar
    "red-mild": ("red", {"red_strength": "1.5%"}),
    "red-strong": ("red", {"red_strength": "5%"}),
    "genda-labelled": ("genda", {"genda_generator": "gaussian", "genda_shapes": "labelled"}),
}
COLUMNS = (
    "dataset",
    "network",
    "strategy",
    "n",
    "draw",
    "seed",
    "case",
    "structure",
    "dice",
    "nsd",
    "hd95_mm",
    "bce",
    "seconds",
    "prepare_s",
    "steps",
)
POOL = 12
POOL_FROM = 16
"""The pool starts after the largest training set, so that it is the same for every size."""


def main() -> None:
    """Runs what the table does not hold yet."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("scaling_app").setLevel(logging.WARNING)
    images, labels = options.data / "images", options.data / "labels"
    cohort = make_cohort(
        find_cases(images, labels, options.patients), options.test, options.sizes, options.draws
    )
    structures = found_structures([case for draw in cohort.draws for case in draw[: max(options.sizes)]])
    finished = _finished(options.out)
    jobs = [(draw, n, arm) for draw in range(options.draws) for n in options.sizes for arm in options.arms]
    for position, (draw, n, arm) in enumerate(jobs):
        if (arm, str(n), str(draw), str(options.steps)) in finished:
            continue
        rows = _run(options, cohort, structures, arm, n, draw)
        _append(options.out, rows)
        dice = [row["dice"] for row in rows if row["dice"] is not None]
        logger.info(
            "%d/%d n=%d draw=%d %s: Dice %.4f, %.0f s",
            position + 1,
            len(jobs),
            n,
            draw,
            arm,
            sum(dice) / max(len(dice), 1),
            rows[0]["seconds"],
        )


def _run(
    options: argparse.Namespace, cohort: Cohort, structures: dict[str, int], arm: str, n: int, draw: int
) -> list[dict]:
    strategy, extra = ARMS[arm]
    training = cohort.training(n, draw)
    pool = unlabelled(cohort, draw, max(POOL_FROM, *options.sizes))
    plan = make_plan(training, structures, memory_bytes=options.step_mib * 2**20)
    cases = PreparedCases(plan, [*training, *pool], options.out.with_suffix(".cache"), 2**30)
    settings = TrialSettings(strategy=strategy, steps=options.steps, seed=1000 * draw, options=dict(extra))
    began = time.perf_counter()
    model = train(cases, [c.case_id for c in training], settings, pool_ids=[c.case_id for c in pool])
    seconds = time.perf_counter() - began
    rows = []
    for scored in test(model, cohort.test):
        for score in scored.scores:
            rows.append(
                {
                    "dataset": options.data.name,
                    "network": plan.network,
                    "strategy": arm,
                    "n": n,
                    "draw": draw,
                    "seed": settings.seed,
                    "case": scored.case_id,
                    "structure": score.structure,
                    "dice": score.dice,
                    "nsd": score.nsd,
                    "hd95_mm": score.hd95_mm,
                    "bce": score.bce,
                    "seconds": round(seconds, 1),
                    "prepare_s": model.report["prepare_seconds"],
                    "steps": options.steps,
                }
            )
    return rows


def unlabelled(cohort: Cohort, draw: int, after: int) -> list[CaseFiles]:
    """Images of the draw that no size of this benchmark trains on, without their labels."""
    order = cohort.draws[draw][after:]
    taken = {case.patient for case in cohort.draws[draw][:after]}
    return [replace(case, label=None) for case in order if case.patient not in taken][:POOL]


def _finished(out: Path) -> set[tuple[str, str, str, str]]:
    if not out.exists():
        return set()
    with out.open() as stream:
        return {(r["strategy"], r["n"], r["draw"], r["steps"]) for r in csv.DictReader(stream)}


def _append(out: Path, rows: Sequence[dict]) -> None:
    """All rows of a run in one write, so that a kill leaves whole runs."""
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = [] if out.exists() else [",".join(COLUMNS)]
    for row in rows:
        lines.append(",".join(_cell(row[name]) for name in COLUMNS))
    with out.open("a") as stream:
        stream.write("\n".join(lines) + "\n")


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and labels/")
    parser.add_argument("--out", type=Path, required=True, help="table of runs (CSV)")
    parser.add_argument("--sizes", type=lambda t: [int(x) for x in t.split(",")], default=[2, 4, 8, 16])
    parser.add_argument("--arms", type=lambda t: t.split(","), default=list(ARMS)[:7])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--test", type=int, default=40)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--step-mib", type=int, default=600, help="memory bound of a training step")
    parser.add_argument("--patients", help="regular expression that finds the patient in a case's name")
    options = parser.parse_args()
    if unknown := [arm for arm in options.arms if arm not in ARMS]:
        parser.error(f"unknown arm {', '.join(unknown)}; there are: {', '.join(ARMS)}")
    torch.set_num_threads(1)
    return options


if __name__ == "__main__":
    main()
