"""All measurements of the forecast, one command.

    python benchmarks/forecast/run.py [--parts extrapolation,stop_rule,...] [--bank benchmarks/results] [--methods bayes] [--again]

A part whose table is there already is read back, not run again (`--again` runs it). Results go to
`benchmarks/forecast/results`: one CSV per part, `RESULTS.md`, figures. Parts on segmentation replays need
`bank*.csv` (from `scaling-app replay`) in the bank folder and say so where there is none. About ten minutes
on one core.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import bank_tests
import curve_tests
import peers
import session_tests
from bank import bank_files, read_bank
from lcdb import read_curves
from tables import Row, markdown, read, write

from scaling_app.forecast.forecaster import METHODS

RESULTS = Path(__file__).parent / "results"
TITLES = {
    "extrapolation": "LCDB 1.1, data sets held out: four sizes observed with 2 points of noise",
    "stop_rule": "LCDB 1.1, data sets held out: is the next doubling worth it?",
    "cases_to_target": "LCDB 1.1, data sets held out: sizes asked for at a stated 80 %",
    "sessions_simulated": "Simulated sessions: curves and scatter of the model itself",
    "sessions_real": "Sessions about real curve shapes (LCDB 1.1, data sets held out; scatter simulated)",
    "session_stops": "The app's stop rule in sessions about real curve shapes",
    "controls": "Negative controls",
    "peers": "DataEval's Sufficiency fit on the same points",
    "bank": "Segmentation bank, data sets held out",
}


def progress(text: str) -> None:
    """One line on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def parts(bank: Path, methods: Sequence[str]) -> dict[str, Callable[[], Sequence[Row] | None]]:
    """What can be measured, by name; a part answers None when its data are missing."""
    library = read_curves()
    tuning, report = library.tuning(), library.report()

    def on_bank() -> Sequence[Row] | None:
        files = bank_files(bank)
        if not files:
            progress(f"bank: no bank*.csv in {bank}; make one with `scaling-app replay`")
            return None
        return bank_tests.accuracy(read_bank(files), methods, progress)

    return {
        "extrapolation": lambda: curve_tests.extrapolation(tuning, report, methods, progress),
        "stop_rule": lambda: curve_tests.stop_rule(report, progress),
        "cases_to_target": lambda: curve_tests.cases_to_target(report, progress),
        "sessions_simulated": lambda: session_tests.accuracy("simulated", report, methods, progress),
        "sessions_real": lambda: session_tests.accuracy("real shapes", report, methods, progress),
        "session_stops": lambda: session_tests.stopping(report, progress),
        "controls": lambda: session_tests.controls(progress),
        "peers": lambda: peers.compare(report, progress),
        "bank": on_bank,
    }


def main() -> None:
    """Runs what is missing, then writes `RESULTS.md` and the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(TITLES))
    parser.add_argument("--bank", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--methods", default=",".join(METHODS), help="of the parts that compare methods")
    parser.add_argument("--again", action="store_true")
    arguments = parser.parse_args()
    wanted = arguments.parts.split(",")
    unknown = sorted(set(wanted) - TITLES.keys())
    if unknown:
        parser.error(f"unknown part(s) {', '.join(unknown)}; there are: {', '.join(TITLES)}")
    methods = arguments.methods.split(",")
    makers = parts(arguments.bank, methods)
    for name in wanted:
        path = RESULTS / f"{name}.csv"
        if path.exists() and not arguments.again:
            progress(f"{name}: read back")
            continue
        rows = makers[name]()
        if rows:
            write(path, _merged(path, rows))
            progress(f"{name}: {path}")
    _write_report()


def _merged(path: Path, rows: Sequence[Row]) -> Sequence[Row]:
    """The new rows after those of other methods that are there already."""
    if not path.exists() or "method" not in rows[0]:
        return rows
    new = {row["method"] for row in rows}
    merged = [*(row for row in read(path) if row["method"] not in new), *rows]
    return sorted(merged, key=lambda row: (int(str(row.get("N", 0))), METHODS.index(str(row["method"]))))


def _write_report() -> None:
    lines = [
        "# The forecast, measured",
        "",
        "Made by `python benchmarks/forecast/run.py`. Brackets: 95 % intervals, over tasks",
    ]
    lines += ["(bootstrap) or over decisions (Wilson). Dice points unless said otherwise.", ""]
    for name, title in TITLES.items():
        path = RESULTS / f"{name}.csv"
        lines += [f"## {title}", ""]
        lines += [markdown(read(path)) if path.exists() else "Not measured yet: the data are missing.", ""]
    (RESULTS / "RESULTS.md").write_text("\n".join(lines), encoding="utf-8")
    from figures import draw_all

    draw_all(RESULTS)


if __name__ == "__main__":
    main()
