"""All measurements of the forecast, one command.

    python -m benchmarks.forecast.run [--parts extrapolation,stop_rule,...] [--bank benchmarks/bank/results] [--methods bayes] [--again]

A part whose table is there already is read back, not run again (`--again` runs it). Results go to
`benchmarks/forecast/results`: one CSV per part, `RESULTS.md`, figures. Parts on segmentation replays need
`bank*.csv` (from `scaling-app replay`) in the bank folder and say so where there is none. About ten minutes
of one core.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from benchmarks.common.tables import Row, markdown, read, write
from benchmarks.forecast import (
    app_session_tests,
    bank_apart,
    bank_stops,
    bank_tests,
    curve_tests,
    peers,
    session_tests,
    trainings,
)
from benchmarks.forecast.bank import Curve, bank_files, read_bank
from benchmarks.forecast.calibrate import bank_answers, bank_scores, factors_from, read_scores
from benchmarks.forecast.lcdb import read_curves
from benchmarks.forecast.lstm_curves import FEWEST_SIZES
from scaling_app.forecast.calibration import Calibration
from scaling_app.forecast.forecaster import METHODS

RESULTS = Path(__file__).parent / "results"
SESSION_METHODS = ("bayes", "power_law", "last_value")
TITLES = {
    "bank": "Segmentation bank, data sets held out",
    "bank_by_task": "Segmentation bank: the app's method at 2 N, data set by data set",
    "bank_by_choice": "Segmentation bank: the app's method at 2 N, where settings were chosen and where not",
    "bank_stops": "Segmentation bank: are the next cases worth it?",
    "trainings": "How many trainings an answer rests on: median [least, most]",
    "app_sessions": "Sessions of the app on real data (MSD hippocampus, held out): forecast and outcome",
    "app_sessions_reliability": "The same: how often central intervals held what was measured",
    "extrapolation": "LCDB 1.1, data sets held out: four sizes observed with 2 points of noise",
    "stop_rule": "LCDB 1.1, data sets held out: is the next doubling worth it?",
    "cases_to_target": "LCDB 1.1, data sets held out: sizes asked for at a stated 80 %",
    "sessions_simulated": "Simulated sessions: curves and scatter of the model itself",
    "sessions_real": "Sessions about real curve shapes (LCDB 1.1, data sets held out; scatter simulated)",
    "session_stops": "The app's stop rule in sessions about real curve shapes",
    "controls": "Negative controls",
    "peers": "DataEval's Sufficiency fit on the same points",
}


def progress(text: str) -> None:
    """One line on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Bank:
    """The bank's curves and the app's forecasts on them, made once; calibrations that leave a data set out."""

    def __init__(self, folder: Path) -> None:
        self.files = bank_files(folder)
        if not self.files:
            progress(f"bank: no bank*.csv in {folder}; make one with `scaling-app replay`")

    @cached_property
    def curves(self) -> list[Curve]:
        """All curves of the bank."""
        return read_bank(self.files)

    @cached_property
    def answers(self) -> dict[int, list[bank_tests.Answer]]:
        """Forecasts per N, each data set left out of prior and calibration."""
        progress("bank: forecasts")
        self._plain = bank_answers(self.curves) if self.files else {}
        return {n: bank_tests.calibrated(group, self.calibration) for n, group in self._plain.items()}

    def calibration(self, task: str) -> Calibration:
        """What would have been shipped without that data set."""
        others = {n: [a for a in group if a.task != task] for n, group in self._plain.items()}
        return Calibration(factors_from(read_scores(), bank_scores(others)))

    @property
    def all_answers(self) -> list[bank_tests.Answer]:
        """The same in one list."""
        return [a for group in self.answers.values() for a in group]


def parts(folder: Path, methods: Sequence[str]) -> dict[str, Callable[[], Sequence[Row] | None]]:
    """What can be measured, by name; a part answers None when its data are missing."""
    library = read_curves()
    tuning, report = library.tuning(), library.report()
    bank = Bank(folder)

    def rests_on() -> Sequence[Row] | None:
        if not bank.files:
            return None
        app = app_session_tests.TABLE
        seen = app_session_tests.read_sessions(app, Calibration([])).observed if app.exists() else {}
        curves = read_bank(bank.files, min_sizes=FEWEST_SIZES)
        return trainings.table(curves, methods, seen, app_session_tests.DATASET)

    def sessions(ask: Callable[[app_session_tests.Sessions], Sequence[Row]]) -> Sequence[Row] | None:
        if not app_session_tests.TABLE.exists():
            progress("app sessions: none yet; make them with app_sessions.py")
            return None
        held_out = bank.calibration(app_session_tests.DATASET) if bank.answers else Calibration([])
        return ask(app_session_tests.read_sessions(app_session_tests.TABLE, held_out))

    return {
        "bank": lambda: bank.files and bank_tests.accuracy(bank.curves, methods, bank.all_answers, progress),
        "bank_by_task": lambda: bank.files and bank_apart.by_task(bank.all_answers),
        "bank_by_choice": lambda: bank.files and bank_apart.by_choice(bank.all_answers),
        "bank_stops": lambda: bank.files and bank_stops.stopping(bank.all_answers),
        "trainings": rests_on,
        "app_sessions": lambda: sessions(lambda s: app_session_tests.accuracy(s, SESSION_METHODS, progress)),
        "app_sessions_reliability": lambda: sessions(app_session_tests.reliability),
        "app_sessions_forecasts": lambda: sessions(app_session_tests.forecasts),
        "extrapolation": lambda: curve_tests.extrapolation(tuning, report, methods, progress),
        "stop_rule": lambda: curve_tests.stop_rule(report, progress),
        "cases_to_target": lambda: curve_tests.cases_to_target(report, progress),
        "sessions_simulated": lambda: session_tests.accuracy("simulated", report, methods, progress),
        "sessions_real": lambda: session_tests.accuracy("real shapes", report, methods, progress),
        "session_stops": lambda: session_tests.stopping(report, progress),
        "controls": lambda: session_tests.controls(progress),
        "peers": lambda: peers.compare(report, progress),
    }


def main() -> None:
    """Runs what is missing, then writes `RESULTS.md` and the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join((*TITLES, "app_sessions_forecasts")))
    parser.add_argument("--bank", type=Path, default=Path("benchmarks/bank/results"))
    parser.add_argument("--methods", default=",".join(METHODS), help="of the parts that compare methods")
    parser.add_argument("--again", action="store_true")
    arguments = parser.parse_args()
    wanted = arguments.parts.split(",")
    methods = arguments.methods.split(",")
    makers = parts(arguments.bank, methods)
    unknown = sorted(set(wanted) - makers.keys())
    if unknown:
        parser.error(f"unknown part(s) {', '.join(unknown)}; there are: {', '.join(makers)}")
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
    """The new rows beside those of other methods that are there already and are about as many sessions."""
    if not path.exists() or "method" not in rows[0]:
        return rows
    new = {row["method"] for row in rows}
    kept = [row for row in read(path) if row["method"] not in new]
    if {_asked(row) for row in kept} - {_asked(row) for row in rows}:
        progress(f"{path.name}: the rows of other methods are about other sessions and are dropped")
        kept = []
    merged = [*kept, *rows]
    return sorted(merged, key=lambda row: (int(str(row.get("N", 0))), METHODS.index(str(row["method"]))))


def _asked(row: Row) -> tuple[str, ...]:
    """What was asked and how often."""
    return tuple(str(row.get(name, "")) for name in ("N", "n", "horizon", "sessions", "curves", "orders"))


def _write_report() -> None:
    lines = [
        "# The forecast, measured",
        "",
        "Made by `python -m benchmarks.forecast.run`. Brackets: 95 % intervals, over tasks (t), or of shares",
        "(Wilson; clustered by data set or order where decisions share one). Of single data sets they are over",
        "sessions of the same trainings, and too narrow. On the bank an interval is held against the truth as",
        "measured, widened by the truth's own error; `as shown` is without that. Dice points unless said otherwise.",
        "",
    ]
    for name, title in TITLES.items():
        path = RESULTS / f"{name}.csv"
        lines += [f"## {title}", ""]
        lines += [markdown(read(path)) if path.exists() else "Not measured yet: the data are missing.", ""]
    (RESULTS / "RESULTS.md").write_text("\n".join(lines), encoding="utf-8")
    from benchmarks.forecast.figures import draw_all

    draw_all(RESULTS)


if __name__ == "__main__":
    main()
