"""The process that computes forecasts, so that the server's event loop never waits for one.

It reads requests (`{"ledger": PATH, "n_pool": 60}`, one JSON line each) from standard input and answers on
standard output with `{"forecast": {...}, "revision": 7}` or `{"error": "sentence"}`. It ends when its input
ends, so it never outlives the server, however that died. A plain subprocess rather than multiprocessing:
that would import the server's main module, and with it PyTorch, into every worker.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from threading import Lock
from typing import IO, Any

import scaling_app
from scaling_app.log.lines import log_to_stderr

logger = logging.getLogger(__name__)

NICENESS = 5
"""Behind the server, but not starved by a training: somebody is waiting for the answer."""


class WorkerDiedError(RuntimeError):
    """The process ended without an answer."""


class ForecastWorker:
    """One such process, started at the first question and again after it died.

    Questions are answered one at a time; ask from a thread that may wait.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = Lock()
        self._starting = Lock()
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process id, while there is a process."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Sends a question and waits for its answer.

        Raises:
            WorkerDiedError: the process ended, or was ended, before it answered.
        """
        with self._lock:
            with self._starting:
                process = self._running()
            try:
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write(json.dumps(question) + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
            except (OSError, ValueError) as error:
                raise WorkerDiedError(str(error)) from error
            if not answer:
                raise WorkerDiedError(f"exit status {process.wait()}")
            return json.loads(answer)

    def close(self) -> None:
        """Ends the process, now, and collects it."""
        with self._starting:
            self._closed = True
            process = self._process
        if process is not None:
            process.kill()
            process.wait()
            with self._lock:
                _close_pipes(process)

    def _running(self) -> subprocess.Popen[str]:
        if self._closed:
            raise WorkerDiedError("closed")
        if self._process is not None and self._process.poll() is None:
            return self._process
        if self._process is not None:
            _close_pipes(self._process)
        above = Path(scaling_app.__file__).resolve().parents[1]
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=above,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
        return self._process


def _close_pipes(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        try:
            if pipe is not None:
                pipe.close()
        except OSError:
            logger.debug("a pipe to the forecast process was broken")


def serve(requests: IO[str], answers: IO[str]) -> None:
    """Answers requests until there are no more."""
    from scaling_app.curve.ledger_curve import forecast_from
    from scaling_app.ledger import Ledger

    ledgers: dict[str, Ledger] = {}
    for line in requests:
        question = json.loads(line)
        path = question["ledger"]
        try:
            if path not in ledgers:
                ledgers[path] = Ledger(path, create=False)
            revision = ledgers[path].revision()
            forecast = forecast_from(ledgers[path], n_pool=question["n_pool"])
            ledgers[path].save_forecast(forecast, revision)
            answer: dict[str, Any] = {"forecast": forecast, "revision": revision}
        except Exception as error:
            logger.exception("no forecast for %s", path)
            answer = {"error": str(error) if isinstance(error, ValueError) else _describe(error)}
        answers.write(json.dumps(answer, allow_nan=False) + "\n")
        answers.flush()
        gc.collect()  # while nobody waits


def _describe(error: Exception) -> str:
    return f"the computation failed ({type(error).__name__}: {error})"


def main() -> None:
    """Serves standard input and output; whatever else is printed goes to standard error."""
    log_to_stderr()
    gc.disable()  # a forecast makes tens of thousands of scores, and few circles
    answers, sys.stdout = sys.stdout, sys.stderr
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
