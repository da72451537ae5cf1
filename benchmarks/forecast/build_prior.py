"""Fits the templates of the shipped prior.

    python -m benchmarks.forecast.build_prior [--bank benchmarks/bank/results] [--out FILE]

Reads the tuning part of LCDB 1.1 (`data/lcdb11_curves.csv.gz`, made by `lcdb.py`) and the segmentation bank where there is
one, and writes `apps/scaling_app/forecast/data/curve_templates.csv`. Of the bank it takes what the app trains unless told
otherwise: other strategies are about the same cases, and shorter trainings flatten sooner.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from benchmarks.forecast.bank import bank_files, own_curves, read_bank
from benchmarks.forecast.lcdb import NEEDED, SIZES, Library, read_curves
from scaling_app.forecast.families import fit_templates
from scaling_app.forecast.prior import DATA


def library_templates(library: Library) -> np.ndarray:
    """`(J, 4)` fits, over eight sizes where the eighth was measured and over seven otherwise."""
    templates = np.zeros((len(library), 4))
    complete = np.isfinite(library.error[:, -1])
    for rows, used in ((complete, len(SIZES)), (~complete, NEEDED)):
        templates[rows] = fit_templates(SIZES[:used], library.error[rows, :used])
    return templates


def main() -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bank", type=Path, default=Path("benchmarks/bank/results"))
    parser.add_argument("--out", type=Path, default=DATA / "curve_templates.csv")
    arguments = parser.parse_args()
    library = read_curves().tuning()
    rows = [
        ("lcdb", f"lcdb-{task}", *t)
        for task, t in zip(library.dataset, library_templates(library), strict=True)
    ]
    files = bank_files(arguments.bank)
    for curve in own_curves(read_bank(files)) if files else []:
        (template,) = fit_templates(curve.sizes, curve.typical_error()[None])
        rows.append(("bank", curve.dataset, *template))
    out: Path = arguments.out
    with out.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["source", "task", "logit_floor", "ln_scale", "ln_power", "ln_offset"])
        writer.writerows([*row[:2], *(f"{v:.3f}" for v in row[2:])] for row in rows)
    print(f"{len(rows)} templates of {len({row[1] for row in rows})} tasks -> {out}")


if __name__ == "__main__":
    main()
