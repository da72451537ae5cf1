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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from scaling_app.commands.demo_data import DemoCases, prepare_cases
from scaling_app.commands.launch import free_port, init_app, server_command, terminated_like_interrupted
from scaling_app.imaging.geometry import read_label, spacing_of
from scaling_app.imaging.scores import score_case
from scaling_app.storage import whole_file, write_whole_text
from scaling_app.trials.length import LEAST_MINUTES
from scaling_app.words import signed_tenths, tenths
from scaling_app_client.answers import NextCase
from scaling_app_client.blocking import Server
from scaling_app_client.messages import Failure
from scaling_app_client.payload import Advice, Curve, ForecastRow, Interval, Payload

TRAIN_AT = (5, 10, 15, 20, 30, 40)
N_TRUTH = 20
N_POOL = 4


class ServerError(RuntimeError):
    """The server ended, did not answer in time, or answered with an error; the message says which."""


@dataclass(frozen=True)
class Row:
    """What the session knew after the label number `n`."""

    n: int
    image: str
    blind: bool
    status: str
    now: Interval | None
    next_five: ForecastRow | None
    advice: str
    seconds: float


@dataclass(frozen=True)
class Forecast:
    """What was forecast and advised after a training on `n` labels."""

    n: int
    overall: Curve | None
    advice: Advice | None


@dataclass
class DemoRecord:
    """The record that becomes `session.json`."""

    synthetic: bool
    structures: dict[str, int]
    rows: list[Row] = field(default_factory=list)
    truth: list[dict[str, Any]] = field(default_factory=list)
    forecasts: list[Forecast] = field(default_factory=list)
    final: Payload | None = None
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
    with _server(work, cases, structures, minutes, n_cases, patient) as running:
        display = _Display(record, cases)
        try:
            with Live(console=console, refresh_per_second=4, get_renderable=display.render):
                display.note = "starting MONAI Label"
                server = running.answering(120)
                _annotate(server, cases, record, display, n_cases, started)
                record.final = server.forecast(wait_s=30)
                display.note = ""
            page = server.report()
        except Failure as failure:
            raise ServerError(f"{failure} (log: {running.log})") from failure
    record.seconds = time.monotonic() - started
    write_whole_text(out / "report.html", page)
    write_whole_text(out / "session.json", json.dumps(asdict(record), indent=1, allow_nan=False))
    console.print(_outcome(record))
    console.print(f"{record.seconds:.0f} s. Wrote {out / 'session.json'} and {out / 'report.html'}")
    return record


def _annotate(
    server: Server, cases: DemoCases, record: DemoRecord, display: _Display, n_cases: int, started: float
) -> None:
    minutes = np.random.default_rng(1)
    for n in range(1, n_cases + 1):
        display.note = "next case"
        case = server.next_case()
        if case is None:
            raise ServerError(f"the server handed out no case after {n - 1} labels")
        label = cases.labels[case.image_id]
        server.save_label(case.image_id, label, record.structures, minutes=float(minutes.uniform(6, 12)))
        if n in TRAIN_AT or n == n_cases:
            _train_and_measure(server, cases, record, display, n)
        record.rows.append(_row(n, case, server.forecast(wait_s=5), time.monotonic() - started))


def _train_and_measure(
    server: Server, cases: DemoCases, record: DemoRecord, display: _Display, n: int
) -> None:
    display.note = f"training on {n} cases"
    _train(server, "segmentation", lambda: None)
    display.note = f"testing the model of {n} cases on {len(cases.truth)} cases that the server never saw"
    measured = _truth(server, cases, record.structures)

    def progress() -> None:
        job = server.forecast().job
        left = f", about {job.eta_seconds:.0f} s left" if job.eta_seconds else ""
        display.note = f"learning curve: {job.done or 0} of {job.total or '?'} trainings{left}"

    _train(server, "learning_curve", progress)
    found = server.forecast(wait_s=15)
    record.truth.append({"n": n, "in_curve": found.n_in_curve, **measured})
    record.forecasts.append(Forecast(n, found.overall, found.advice))


def _train(server: Server, trainer: str, on_wait: Callable[[], None]) -> None:
    task = server.train(trainer, on_wait=on_wait)
    if task.status == "ERROR":
        raise ServerError(f"{trainer} failed: {task.lines[-1] if task.lines else '?'}")


def _truth(server: Server, cases: DemoCases, structures: dict[str, int]) -> dict[str, Any]:
    """Mean Dice of the published model over the kept cases, with a 95 % t-interval over cases."""
    dice = []
    for image, label in cases.truth:
        found = cases.studies.parent / f"found_{image.name}"
        with whole_file(found) as part:
            part.write_bytes(server.predict_file(image))
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


def _row(n: int, case: NextCase, found: Payload, seconds: float) -> Row:
    overall = found.overall
    next_five = next((row for row in overall.forecast if row.extra == 5), None) if overall else None
    advice = found.advice.sentence if found.advice else found.message
    now = overall.now if overall else None
    return Row(n, case.image_id, bool(case.blind), found.status, now, next_five, advice, seconds)


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
) -> Iterator[_Running]:
    """A MONAI Label server on a free loopback port, ended with all its children on leaving."""
    sizes = len([n for n in TRAIN_AT if n < n_cases]) + 1
    share = minutes / sizes
    conf = {
        "labels": ",".join(f"{name}={value}" for name, value in structures.items()),
        "curve_minutes": f"{max(0.1, 0.75 * share):.2f}",  # no less than the server takes
        "max_minutes": f"{max(LEAST_MINUTES, 0.25 * share):.2f}",
        # what learns most in a fraction of a minute, and with the least luck
        "network": "resunet",
        "dimension": "2",
        "steps": "400",
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
            yield _Running(f"http://127.0.0.1:{port}", process, log)
        finally:
            _end(process)


@dataclass(frozen=True)
class _Running:
    """The server's process, its address and its log."""

    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def answering(self, seconds: float) -> Server:
        """The server, once it answers.

        Raises:
            ServerError: it ended or stayed silent; the message ends with the log's last line.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ServerError(f"the server ended at once: {self._last_line()} (log: {self.log})")
            try:
                return Server(self.address, client_id="demo", retries=0)
            except Failure as failure:
                if not failure.offline:
                    raise
                time.sleep(0.3)
        raise ServerError(f"no answer from {self.address} within {seconds:.0f} s (log: {self.log})")

    def _last_line(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"


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
            gain = row.next_five.gain if row.next_five else None
            chance = row.next_five.p_at_least_1pt if row.next_five else None
            table.add_row(
                str(row.n),
                row.image,
                "blind" if row.blind else "",
                now,
                _range(gain, signed_tenths) if gain else "",
                f"{chance:.0%}" if chance is not None else "",
            )
        advice = self.record.rows[-1].advice if self.record.rows else ""
        return Group(table, Text(advice, style="bold"), Text(self.note, style="dim"))


def _range(value: Interval, text: Callable[[float], str] = tenths) -> str:
    if value.lo80 is None or value.hi80 is None:
        return text(100 * value.mean)
    return f"{text(100 * value.mean)} ({text(100 * value.lo80)} to {text(100 * value.hi80)})"


def _outcome(record: DemoRecord) -> Table | str:
    """Forecasts of the sizes that were reached later, beside what was then measured; a sentence where there are none."""
    table = Table(title="What was forecast, and what happened (mean Dice in points)")
    for heading in ("forecast at", "for", "forecast (80 % range)", "measured (95 % interval)", "inside"):
        table.add_column(heading, justify="right")
    for made in record.forecasts:
        line = dict(made.overall.line) if made.overall else {}
        for truth in record.truth:
            dice = line.get(truth["in_curve"])  # a label in doubt is no case of the curve
            if truth["n"] <= made.n or dice is None or truth["mean"] is None:
                continue
            low, high = truth["mean"] - truth["half95"], truth["mean"] + truth["half95"]
            inside = (dice.lo80 or 0.0) <= truth["mean"] <= (1.0 if dice.hi80 is None else dice.hi80)
            measured = f"{tenths(100 * truth['mean'])} ({tenths(100 * low)} to {tenths(100 * high)}), {truth['cases']} cases"
            table.add_row(
                f"{made.n} labels",
                f"{truth['n']} labels",
                _range(dice),
                measured,
                "yes" if inside else "no",
            )
    if not table.row_count:
        return "No size that was forecast was measured later: more --cases, and --minutes, would show what came of it."
    return table
