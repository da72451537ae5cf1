"""The checkpoints of a replay's runs that have not ended, beside its prepared cases.

A checkpoint's name follows from all that makes its run: first what the table, the recipe and the training set say, then
what the cases' files hold. So a kill costs a run half a minute, and nothing is taken up from a run that is another one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from scaling_app.experiments.lock_files import let_go
from scaling_app.experiments.replay_run import ReplayRun
from scaling_app.storage import make_folder, sweep_parts
from scaling_app.trials.cases import content_of
from scaling_app.trials.checkpoint import identity_of

logger = logging.getLogger(__name__)

MOST_OTHERS = 4
"""Checkpoints of runs that this replay does not make, and that stay: the command before may be given again."""

WAIT_SECONDS = 10.0
"""So long a run waits for a process that a killed replay has left behind; that one hears within seconds to end."""

_ABANDONED_SECONDS = 60.0
_DIGITS = 16


class UnfinishedRuns:
    """The checkpoints in one folder, which is a table's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file_of(self, run: ReplayRun) -> Path:
        """Where the run is kept; those of the same run with other contents of its files are deleted."""
        cases = (*run.training, *run.pool)
        held = [content_of(file) for case in cases for file in (case.image, case.label) if file is not None]
        file = self.folder / f"{_made_of(run)}-{identity_of(held)[:_DIGITS]}.pt"
        for other in self._of(_made_of(run)):
            if other.stem != file.stem:
                other.unlink(missing_ok=True)
        return file

    def forget(self, run: ReplayRun) -> None:
        """Deletes the run's: its rows are in the table, or it would fail there again."""
        for file in self._of(_made_of(run)):
            file.unlink(missing_ok=True)

    def sweep(self, done: Iterable[ReplayRun], due: Iterable[ReplayRun]) -> None:
        """Deletes those of runs that are done, of other runs all but the newest, and what kills left half written."""
        for run in done:
            self.forget(run)
        wanted = {_made_of(run) for run in due}
        others = [file for file in self.folder.glob("*-*.pt") if file.stem.partition("-")[0] not in wanted]
        for file in sorted(others, key=lambda file: file.stat().st_mtime_ns, reverse=True)[MOST_OTHERS:]:
            for stale in self._of(file.stem):
                stale.unlink(missing_ok=True)
        for lock in self.folder.glob("*.lock"):  # of a run that was killed before its first checkpoint
            if lock.stem.partition("-")[0] not in wanted and not lock.with_suffix(".pt").exists():
                lock.unlink(missing_ok=True)
        sweep_parts(self.folder, _ABANDONED_SECONDS)

    def tidy(self) -> None:
        """Takes the folder away if nothing is in it."""
        with suppress(OSError):
            self.folder.rmdir()

    def _of(self, begins: str) -> list[Path]:
        """The checkpoints, and the locks beside them, whose names begin so."""
        return [*self.folder.glob(f"{begins}*.pt"), *self.folder.glob(f"{begins}*.lock")]


@contextmanager
def held(checkpoint: Path | None) -> Iterator[Path | None]:
    """The checkpoint for one process alone; None where another one writes it, or none can be kept there."""
    if checkpoint is None:
        yield None
        return
    lock = FileLock(checkpoint.with_suffix(".lock"))
    try:
        make_folder(checkpoint.parent)
        lock.acquire(timeout=WAIT_SECONDS)
    except (OSError, NotImplementedError) as error:
        logger.warning("a run is made without a checkpoint, and a kill would cost all of it: %s", error)
        yield None
        return
    try:
        yield checkpoint
    finally:
        let_go(lock)


def _made_of(run: ReplayRun) -> str:
    """A digest of what makes the run, but for what its files hold."""
    sets: list[Sequence[object]] = [
        [(case.case_id, case.patient, case.label is not None, case.values) for case in cases]
        for cases in (run.training, run.pool)
    ]
    options = sorted(run.arm.options.items())
    recipe = [run.capacity, run.step_bytes, run.learning_rate, run.max_minutes]
    return identity_of([run.key, run.arm.strategy, options, run.structures, recipe, sets])[:_DIGITS]
