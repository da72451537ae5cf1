"""How lines come into the log: for people, or one JSON object a line for programs that gather logs.

The choice is in the environment, so that every process that a server starts writes as the server does.
"""

from __future__ import annotations

import io
import logging
import os
from typing import Any

VARIABLE = "SCALING_APP_LOGS"
TEXT, JSON = "text", "json"

PLAIN = "%(levelname)s %(name)s: %(message)s"


def wants_json() -> bool:
    """Whether this process writes JSON."""
    return os.environ.get(VARIABLE, TEXT) == JSON


def json_format() -> dict[str, Any]:
    """The formatter of JSON lines, as `logging.config` takes it: `at`, `level`, `logger`, `process`, `thread`, `message`."""
    return {
        "()": "pythonjsonlogger.json.JsonFormatter",
        "fmt": ["levelname", "name", "process", "threadName", "message"],
        "rename_fields": {"levelname": "level", "name": "logger", "threadName": "thread"},
        "timestamp": "at",
        "json_ensure_ascii": False,
    }


def log_to_stderr(level: int = logging.WARNING) -> None:
    """Has a process that serves the server log to its standard error, in the server's form."""
    logging.basicConfig(level=level, handlers=[_to_stderr()])


def warn_before_start(name: str, sentence: str) -> None:
    """Says something on standard error before the server's log begins, in its form."""
    _to_stderr().handle(logging.LogRecord(name, logging.WARNING, "", 0, sentence, None, None))


def _to_stderr() -> logging.Handler:
    handler = logging.StreamHandler()
    if wants_json():
        from pythonjsonlogger.json import JsonFormatter

        handler.setFormatter(JsonFormatter(**{k: v for k, v in json_format().items() if k != "()"}))
    else:
        handler.setFormatter(logging.Formatter(PLAIN))
    return handler


class LoggedLines(io.TextIOBase):
    """A text stream whose lines become entries of a log: what libraries print, in a log that is JSON alone."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self._logger, self._rest = logger, ""

    def writable(self) -> bool:
        """It can be written to."""
        return True

    def write(self, text: str) -> int:
        """Takes text; a line enters the log when it is complete."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                self._logger.info(line)
        return len(text)
