"""The ledger: the single source of truth about cases, runs and observations, in one SQLite file."""

from __future__ import annotations

import os

from scaling_app.ledger.cases import CaseBook
from scaling_app.ledger.counting import CountBook
from scaling_app.ledger.files import FileBook
from scaling_app.ledger.notes import NoteBook
from scaling_app.ledger.processes import lives
from scaling_app.ledger.readings import ReadingBook
from scaling_app.ledger.runs import RunBook


class Ledger(CaseBook, ReadingBook, RunBook, NoteBook, FileBook, CountBook):
    """One file that many threads and processes read and write at once.

    Every method is one short transaction: it has happened, durably, when the call returns, or it has not
    happened at all, also when the process is killed in the middle.

    Args:
        path: the SQLite file, made when missing (folders too).
        create: False makes a missing file an error.

    Raises:
        LedgerError: no ledger, from a newer version, missing, or not writable.

    Example:
        >>> from tempfile import mkdtemp
        >>> from scaling_app.ledger import Case, utc_now
        >>> ledger = Ledger(mkdtemp() + "/ledger.sqlite")
        >>> ledger.save_case(Case("liver_01", "sha256:0a1b", utc_now(), patient="liver_01"))
        >>> [case.image_id for case in ledger.usable_cases()]
        ['liver_01']
    """

    def trainers(self) -> set[int]:
        """The ids of the other processes of this machine that train for this ledger now."""
        job, process = self._job_and_process()
        busy = [*self._run_processes(), process if job["state"] == "running" else None]
        return {p["pid"] for p in busy if p and lives(p)} - {os.getpid()}

    def close_everything(self, message: str) -> None:
        """Marks every unfinished run and the job as stopped, whoever runs them: in a copy, nobody does."""
        self.close_unfinished_runs(message, elsewhere=True, living=True)
        self.close_unfinished_job(message, elsewhere=True, living=True)
