"""`scaling-app demo`: an annotation session replayed over REST on a real server.

Labels arrive one by one, as from a viewer. At a few sizes the model is trained and the learning curve
measured; after each label the forecast is asked for. The published model of each size is also tested
on cases that the server never sees, so that the table can end with what really happened.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from scaling_app.commands.demo_client import ServerError, Viewer
from scaling_app.commands.demo_data import DemoCases, prepare_cases
from scaling_app.commands.launch import free_port, init_app, server_command, terminated_like_interrupted
from scaling_app.imaging.geometry import read_label, spacing_of
from scaling_app.imaging.scores import score_case
from scaling_app.storage import write_whole_text

TRAIN_AT = (5, 10, 15, 20, 30, 40)
N_TRUTH = 10
N_POOL = 4


@dataclass(frozen=True)
class Row:
    """What the session knew after the label number `n`."""

    n: int
    image: str
    blind: bool
    status: str
    now: dict | None
    gain: dict | None
    advice: str
    seconds: float


@dataclass
class DemoRecord:
    """The record that becomes `session.json`."""

    synthetic: bool
    structures: dict[str, int]
    rows: list[Row] = field(default_factory=list)
    truth: list[dict] = field(default_factory=list)
    forecasts: list[dict] = field(default_factory=list)
    final: dict = field(default_factory=dict)
    seconds: float = 0.0


def run_demo(
    *, data: Path | None, out: Path, n_cases: int, minutes: float, patient: str | None = None
) -> DemoRecord:
    """Runs the session and writes `session.json` and `report.html` under `out`.

    Raises:
        FileNotFoundError, ValueError: `data` cannot serve.
        ServerError: the server failed.
    """
    with terminated_like_interrupted(), _work_folder(out.resolve()) as work:
        return _run(data, work, n_cases=n_cases, minutes=minutes, patient=patient)


@contextmanager
def _work_folder(out: Path) -> Iterator[Path]:
    """A new folder under `out`, which holds nothing of the user's; whoever fills it makes it.

    It stays when the server failed, for its log.
    """
    work = out / f"work-{uuid.uuid4().hex[:8]}"
    try:
        yield work
    except ServerError:
        raise
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    shutil.rmtree(work, ignore_errors=True)


def _run(data: Path | None, work: Path, *, n_cases: int, minutes: float, patient: str | None) -> DemoRecord:
    started = time.monotonic()
    out = work.parent
    cases = prepare_cases(data, work, n_cases=n_cases, n_pool=N_POOL, n_truth=N_TRUTH, patient=patient)
    structures = _structures(cases)
    record = DemoRecord(cases.synthetic, structures)
    console = Console()
    with _server(work, cases, structures, minutes, n_cases, patient) as viewer:
        display = _Display(record, cases)
        with Live(console=console, refresh_per_second=4, get_renderable=display.render):
            display.note = "starting MONAI Label"
            viewer.wait_until_up(120)
            _annotate(viewer, cases, record, display, n_cases, started)
            record.final = viewer.sufficiency(settle=30)
            display.note = ""
        page = viewer.report()
    record.seconds = time.monotonic() - started
    write_whole_text(out / "report.html", page)
    write_whole_text(out / "session.json", json.dumps(asdict(record), indent=1, allow_nan=False))
    console.print(_outcome(record))
    console.print(f"{record.seconds:.0f} s. Wrote {out / 'session.json'} and {out / 'report.html'}")
    return record


def _annotate(
    viewer: Viewer, cases: DemoCases, record: DemoRecord, display: _Display, n_cases: int, started: float
) -> None:
    minutes = np.random.default_rng(1)
    for n in range(1, n_cases + 1):
        display.note = "next case"
        sample = viewer.next_sample()
        image = sample["id"]
        viewer.save_label(image, cases.labels[image], record.structures, float(minutes.uniform(6, 12)))
        if n in TRAIN_AT or n == n_cases:
            _train_and_measure(viewer, cases, record, display, n)
        payload = viewer.sufficiency(settle=5)
        record.rows.append(_row(n, image, bool(sample.get("blind")), payload, time.monotonic() - started))


def _train_and_measure(
    viewer: Viewer, cases: DemoCases, record: DemoRecord, display: _Display, n: int
) -> None:
    display.note = f"training on {n} cases"
    viewer.train("segmentation", {}, lambda: None)
    display.note = f"testing the model of {n} cases on {len(cases.truth)} cases that the server never saw"
    record.truth.append({"n": n, **_truth(viewer, cases, record.structures)})

    def progress() -> None:
        job = viewer.sufficiency()["job"]
        left = f", about {job['eta_seconds']:.0f} s left" if job.get("eta_seconds") else ""
        display.note = f"learning curve: {job.get('done') or 0} of {job.get('total') or '?'} trainings{left}"

    viewer.train("learning_curve", {}, progress)
    payload = viewer.sufficiency(settle=15)
    record.forecasts.append({"n": n, "overall": payload["overall"], "advice": payload["advice"]})


def _truth(viewer: Viewer, cases: DemoCases, structures: dict[str, int]) -> dict:
    """Mean Dice of the published model over the kept cases, with a 95 % t-interval over cases."""
    dice = []
    for image, label in cases.truth:
        found = viewer.segment(image, cases.studies.parent / f"found_{image.name}")
        reference, prediction = read_label(label), read_label(found)
        scores = score_case(prediction, reference, structures, spacing_of(reference))
        values = [s.dice for s in scores if s.dice is not None]
        if values:
            dice.append(float(np.mean(values)))
    half = 0.0
    if len(dice) > 1:
        from scipy.stats import t

        half = float(t.ppf(0.975, len(dice) - 1) * np.std(dice, ddof=1) / np.sqrt(len(dice)))
    mean = float(np.mean(dice)) if dice else None
    return {"cases": len(dice), "mean": mean, "half95": half, "dice": dice}


def _row(n: int, image: str, blind: bool, payload: dict, seconds: float) -> Row:
    overall = payload.get("overall") or {}
    ahead = next((p for p in overall.get("forecast") or [] if p["extra"] == 5), None)
    advice = (payload.get("advice") or {}).get("sentence") or payload.get("message") or ""
    return Row(
        n, image, blind, payload["status"], overall.get("now"), ahead and ahead["gain"], advice, seconds
    )


def _structures(cases: DemoCases) -> dict[str, int]:
    if cases.synthetic:
        from scaling_app.imaging.synthetic import STRUCTURES

        return dict(STRUCTURES)
    values: set[int] = set()
    for label in cases.labels.values():
        values |= {int(v) for v in np.unique(np.asarray(read_label(label)))}
    return {f"structure_{v}": v for v in sorted(values - {0})}


@contextmanager
def _server(
    work: Path,
    cases: DemoCases,
    structures: dict[str, int],
    minutes: float,
    n_cases: int,
    patient: str | None,
) -> Iterator[Viewer]:
    """A MONAI Label server on a free loopback port, ended with all its children on leaving."""
    sizes = len([n for n in TRAIN_AT if n < n_cases]) + 1
    share = minutes / sizes
    conf = {
        "labels": ",".join(f"{name}={value}" for name, value in structures.items()),
        "dimension": str(cases.spatial_dims),
        "curve_minutes": f"{0.75 * share:.2f}",
        "max_minutes": f"{0.25 * share:.2f}",
        "network": "resunet",  # what learns most in a fraction of a minute
        "steps": "150",
        "compare": "",  # the minutes are for the curve alone
    }
    if patient:
        conf["patient_pattern"] = patient
    port = free_port()
    command = server_command(
        str(cases.studies), host="127.0.0.1", port=port, app_dir=init_app(work / "app"), conf=conf
    )
    log = work / "server.log"
    environment = os.environ | {"MONAI_LABEL_TRACKING_ENABLED": "false"}
    with log.open("ab") as sink:
        process = subprocess.Popen(
            command, stdout=sink, stderr=subprocess.STDOUT, env=environment, cwd=work, start_new_session=True
        )
        try:
            yield Viewer(f"http://127.0.0.1:{port}", process, log)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the server and the training it may be running."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


class _Display:
    """The live table: a row for each label, and what the server is doing."""

    def __init__(self, record: DemoRecord, cases: DemoCases) -> None:
        self.record, self.cases, self.note = record, cases, ""

    def render(self) -> Group:
        kind = "synthetic cases (computed, not scanned)" if self.cases.synthetic else "real cases"
        table = Table(title=f"Annotation session on {kind}; Dice in points, ranges hold 80 %")
        for heading in ("labels", "case", "shown", "Dice now", "gain of the next 5", "P(gain >= 1 point)"):
            table.add_column(heading, justify="left" if heading in ("case", "shown") else "right")
        for row in self.record.rows:
            now = _range(row.now) if row.now else row.status.replace("_", " ")
            chance = row.gain and row.gain.get("p_at_least_1pt")
            table.add_row(
                str(row.n),
                row.image,
                "blind" if row.blind else "",
                now,
                _range(row.gain) if row.gain else "",
                f"{chance:.0%}" if chance is not None else "",
            )
        advice = self.record.rows[-1].advice if self.record.rows else ""
        return Group(table, Text(advice, style="bold"), Text(self.note, style="dim"))


def _range(value: dict) -> str:
    return f"{100 * value['mean']:.1f} ({100 * value['lo80']:.1f} to {100 * value['hi80']:.1f})"


def _outcome(record: DemoRecord) -> Table:
    """Forecasts of the sizes that were reached later, beside what was then measured."""
    table = Table(title="What was forecast, and what happened (mean Dice in points)")
    for heading in ("forecast at", "for", "forecast (80 % range)", "measured (95 % interval)", "inside"):
        table.add_column(heading, justify="right")
    for made in record.forecasts:
        for truth in record.truth:
            ahead = [p for p in (made["overall"] or {}).get("forecast") or [] if p["n"] == truth["n"]]
            if truth["n"] <= made["n"] or not ahead or truth["mean"] is None:
                continue
            low, high = truth["mean"] - truth["half95"], truth["mean"] + truth["half95"]
            inside = ahead[0]["lo80"] <= truth["mean"] <= ahead[0]["hi80"]
            measured = (
                f"{100 * truth['mean']:.1f} ({100 * low:.1f} to {100 * high:.1f}), {truth['cases']} cases"
            )
            table.add_row(
                f"{made['n']} labels",
                f"{truth['n']} labels",
                _range(ahead[0]),
                measured,
                "yes" if inside else "no",
            )
    return table
