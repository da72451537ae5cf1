"""Reports from files: a server's ledger, or the table of a replay."""

from __future__ import annotations

from pathlib import Path

from scaling_app.curve.ledger_curve import case_facts, forecast_from
from scaling_app.ledger import Ledger
from scaling_app.ledger.store import MAGIC
from scaling_app.service.replay_report import replay_html
from scaling_app.service.replay_table import read_replay
from scaling_app.service.report import write_page, write_report


def report_from(source: Path, out: Path) -> Path:
    """Writes the report of a ledger or of a replay's table, whichever `source` is.

    Returns:
        `out`.

    Raises:
        ValueError: it is neither, or `out` is that very file; the message says what is wrong with it.
    """
    source, out = Path(source), Path(out)
    if out.exists() and out.samefile(source):
        raise ValueError(f"the report would replace {source}, which it is made from: choose another --out")
    with source.open("rb") as file:
        is_ledger = file.read(len(MAGIC)) == MAGIC
    return report_from_ledger(source, out) if is_ledger else report_from_runs(source, out)


def report_from_ledger(source: Path, out: Path) -> Path:
    """The session in a ledger file, with a forecast made now."""
    with Ledger(source, create=False) as ledger:
        latest = ledger.latest_forecast()
        n_pool = latest[0].get("n_pool") if latest else None
        payload = {**forecast_from(ledger, n_pool=n_pool), **case_facts(ledger), "job": ledger.job()}
        return write_report(payload, out, history=[*ledger.forecast_levels(), payload])


def report_from_runs(source: Path, out: Path) -> Path:
    """The curves in a replay's table."""
    return write_page(replay_html(read_replay(source)), out)
