"""Are two looks better than one where the structures fill little of a case?

    python -m benchmarks.coarse_to_fine.run --work FOLDER [--network resunet] [--steps 800] [--draws 2] [--looks one two]

Trains the same cases with the same steps, once by one network and once coarse to fine, and tests both on twelve other
cases, the coarse network also alone. One thread; models are kept in FOLDER, what is in `results/cases.csv` is not made
again. The table of all that is there goes to `results/table.md`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from benchmarks.coarse_to_fine.volumes import STRUCTURES, written
from benchmarks.common.paired_runs import said
from benchmarks.common.tables import markdown, task_mean
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.cases import PreparedCases
from scaling_app.trials.model import TrainedModel
from scaling_app.trials.plan import make_plan
from scaling_app.trials.run_settings import RunSettings
from scaling_app.trials.testing import test
from scaling_app.trials.training import train

RESULTS = Path(__file__).parent / "results"
CASES, TABLE = RESULTS / "cases.csv", RESULTS / "table.md"
FAMILY, TESTED, TRAINED = 7, 12, 4
TOLERANCE_MM = 1.0
STEP_BYTES = 2**31
RUN = ["network", "steps", "draw"]


def one_run(work: Path, network: str, steps: int, draw: int, looks: str) -> TrainedModel:
    """The model of a draw; taken from the folder where it is."""
    file = work / f"{looks}-{network}-{steps}-{draw}.pt"
    if not file.exists():
        first = TESTED + TRAINED * draw
        cases = written(work / "set", first + TRAINED, FAMILY)[first:]
        plan = make_plan(
            cases, STRUCTURES, network=network, memory_bytes=STEP_BYTES, coarse_to_fine=looks == "two"
        )
        prepared = PreparedCases(plan, cases, work / "cache", 2**30)
        settings = RunSettings(steps=steps, seed=draw)
        train(prepared, prepared.labelled, settings, checkpoint=file.with_suffix(".part")).save(file)
    return TrainedModel.load(file)


def rows_of(model: TrainedModel, looks: str, aside: Sequence[CaseFiles]) -> Iterator[dict[str, object]]:
    """One for each test case and structure."""
    report = model.report
    cpu = float(report["step_cpu_seconds"]) + float(report["loader_cpu_seconds"])
    for scored in test(model, aside, tolerance_mm=TOLERANCE_MM):
        for score in scored.scores:
            yield {
                "looks": looks,
                "cpu_seconds": round(cpu),
                "case": scored.case_id,
                "structure": score.structure,
                "dice": score.dice,
                "nsd": score.nsd,
            }


def tabled(rows: pd.DataFrame) -> str:
    """Means, and two looks minus one with a 95 % interval over the test cases."""
    lines: list[dict[str, object]] = []
    for (network, steps, structure), some in rows.groupby(["network", "steps", "structure"]):
        for looks, found in some.groupby("looks", sort=False):
            line = {
                "network": network,
                "steps": steps,
                "structure": structure,
                "looks": looks,
                "draws": found["draw"].nunique(),
                "n": len(found),
                "CPU s": f"{found['cpu_seconds'].mean():.0f}",
            }
            for score in ("dice", "nsd"):
                line[score] = f"{100 * found[score].mean():.1f}"
                line[f"{score}, minus one look"] = "" if looks == "one" else _gain(some, str(looks), score)
            lines.append(line)
    return markdown(lines)


def _gain(rows: pd.DataFrame, looks: str, score: str) -> str:
    wide = rows.pivot_table(index=["draw", "case"], columns="looks", values=score)
    if "one" not in wide:
        return ""
    gains = (100 * (wide[looks] - wide["one"])).dropna()
    return said(task_mean(gains.to_numpy(), gains.index.get_level_values("case").to_numpy()), 1, "+")


def main() -> None:
    """Makes what is missing, draw by draw, and writes the table as it grows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--network", default="resunet")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--looks", nargs="+", choices=["one", "two"], default=["one", "two"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    aside = written(options.work / "set", TESTED, FAMILY)
    rows = pd.read_csv(CASES) if CASES.exists() else pd.DataFrame(columns=[*RUN, "looks"])
    for draw in range(options.draws):
        for looks in options.looks:
            run = {"network": options.network, "steps": options.steps, "draw": draw}
            known = (rows[list(run)] == pd.Series(run)).all(axis=1)
            if looks in set(rows.loc[known, "looks"]):
                continue
            model = one_run(options.work, options.network, options.steps, draw, looks)
            made = list(rows_of(model, looks, aside))
            if model.fine is not None:
                alone = replace(model, fine=None, report=dict(model.report))
                made += rows_of(alone, "the coarse one of two", aside)
            rows = pd.concat([rows, pd.DataFrame([run | row for row in made])], ignore_index=True)
            rows.to_csv(CASES, index=False, float_format="%.4f")
            TABLE.write_text(f"# One look or two\n\n{tabled(rows)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
