"""What a job and its runs tell each other, wherever the runs are: small files in a folder that both see.

The job says which runs it still wants; a run says how far it is. A run ends itself when nobody wants it any more: its
job may be gone, and another one may go on where its checkpoint stands. Files work between threads, processes and
machines alike, and survive the end of either side.
"""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scaling_app import __version__
from scaling_app.ledger.processes import folder_name
from scaling_app.storage import NO_ROOM, to_json, write_whole_text
from scaling_app.trials.step_report import StepReport

EVERY_SECONDS = 2.0
"""Between two words of either side."""

SILENT_SECONDS = 60.0
"""A job that has said nothing for so long is gone."""

UNDER_WAY = "under_way"
"""The folder beside a ledger through which the curve job and its runs speak."""

_JOB = "job.json"


class WorkerError(RuntimeError):
    """A worker that cannot carry out any run of this job; the sentence names it."""


class JobEnd:
    """The job's end of the wire.

    Args:
        folder: made here, and removed by `closed`; it is that of one job at a time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._token = uuid.uuid4().hex
        self._beats = 0
        self._told = -EVERY_SECONDS

    def end_of(self, run: str) -> RunEnd:
        """What that run takes along."""
        return RunEnd(self.folder, self._token, run)

    def want(self, runs: Collection[str], *, at_once: bool = False) -> None:
        """Says which runs are wanted; to be called again and again, as silence is the end."""
        if not at_once and time.monotonic() - self._told < EVERY_SECONDS:
            return
        self._told = time.monotonic()
        self._beats += 1
        facts = {"job": self._token, "beat": self._beats, "runs": sorted(runs), "version": __version__}
        self.folder.mkdir(parents=True, exist_ok=True)
        _say(self.folder / _JOB, json.dumps(facts))

    def step_of(self, run: str) -> StepReport | None:
        """How far that run is; None while nothing is known."""
        try:
            return StepReport(**json.loads(_steps_file(self.folder, run).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def forget(self, run: str) -> None:
        """Takes away what a run that has ended said."""
        _steps_file(self.folder, run).unlink(missing_ok=True)

    def closed(self) -> JobEnd:
        """No run is wanted any more; another end, for other runs."""
        abandon(self.folder)
        return JobEnd(self.folder)


def _say(file: Path, text: str) -> None:
    """Writes it whole; on a disk without room for a second file into the first, which is there. Who reads a half reads again."""
    try:
        write_whole_text(file, text)
    except OSError as error:
        if error.errno not in NO_ROOM or not file.is_file():
            raise
        with file.open("r+", encoding="utf-8") as stream:
            stream.write(text)
            stream.truncate()


def abandon(folder: Path) -> None:
    """Ends all runs of the wire in this folder, also those of a job that has died."""
    shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class RunEnd:
    """A run's end of the wire; it goes to the worker with the run's arguments."""

    folder: Path
    job: str
    run: str

    def require_job(self) -> None:
        """Looks whether this worker can do anything for the job.

        Raises:
            WorkerError: it does not see the job's folder, or is of another version.
        """
        try:
            told = self.told()
        except FileNotFoundError as error:
            raise WorkerError(
                f"the worker {folder_name()} does not see {self.folder}: it needs the folders of studies and app "
                "under the same paths"
            ) from error
        if told.get("version") != __version__:
            theirs = told.get("version")
            raise WorkerError(
                f"the worker {folder_name()} has scaling-app {__version__}, and the job {theirs}: install one version"
            )

    def listener(self) -> Listener:
        """For the time of the run."""
        return Listener(self)

    def told(self) -> dict[str, Any]:
        """What the job said last; nothing where it cannot be read at the moment.

        Raises:
            FileNotFoundError: the job is gone.
        """
        try:
            return dict(json.loads((self.folder / _JOB).read_text()))
        except FileNotFoundError:
            raise
        except (OSError, ValueError, TypeError):  # network disks have their moments
            return {}


class Listener:
    """What a training is given: `on_step` and `should_stop`."""

    def __init__(self, end: RunEnd) -> None:
        self.asked = False
        self._end = end
        self._wrote = self._looked = -EVERY_SECONDS
        self._heard: object = None
        self._heard_at = time.monotonic()

    def on_step(self, report: StepReport) -> None:
        """Writes how far the run is, every few seconds."""
        if time.monotonic() - self._wrote < EVERY_SECONDS or not self._end.folder.is_dir():
            return
        self._wrote = time.monotonic()
        with suppress(OSError):  # the training goes on
            write_whole_text(_steps_file(self._end.folder, self._end.run), to_json(asdict(report)))

    def should_stop(self) -> bool:
        """Whether nobody wants the run any more; once it was so, it stays so."""
        self.asked = self.asked or self._is_unwanted()
        return self.asked

    def _is_unwanted(self) -> bool:
        if time.monotonic() - self._looked < EVERY_SECONDS:
            return False
        self._looked = time.monotonic()
        try:
            told = self._end.told()
        except FileNotFoundError:
            return True
        if told and (told.get("job") != self._end.job or self._end.run not in told.get("runs", ())):
            return True
        if told and told.get("beat") != self._heard:  # by the clock of this machine alone
            self._heard, self._heard_at = told.get("beat"), time.monotonic()
        return time.monotonic() - self._heard_at > SILENT_SECONDS


def _steps_file(folder: Path, run: str) -> Path:
    return folder / f"{run}.step.json"
