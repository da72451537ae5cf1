"""Servers that start in a second or two: forked from a process that has the libraries loaded.

What runs is MONAI Label's `start_server` with all of ours, in a process of its own. Two things differ from a start by
the command line: Python does not load the libraries again, and the server reads labels itself instead of asking a second
process, which would have to load them, too.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

LIBRARIES = (
    "torch",
    "monai.apps",
    "monai.handlers",
    "monai.transforms",
    "scipy.signal",
    "SimpleITK",
    "highdicom.seg",
    "uvicorn",
    "fastapi",
    "scaling_app.studies.labels.intake",
    "scaling_app.service.routes",
)
"""Not MONAI Label itself, which reads its settings when it is imported."""


class WarmServer:
    """A server's process, as `subprocess.Popen` has it.

    Args:
        command: as of a cold start: the interpreter, `-m`, the module and its arguments.
        environment: what is set besides.
        folder: where it works.
        log: what takes its output.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(LIBRARIES))
        self._process = context.Process(target=_serve, args=(command, environment, folder, log))
        self._process.start()

    @property
    def pid(self) -> int:
        """Of the server, which leads a group of its own."""
        return int(self._process.pid or 0)

    def poll(self) -> int | None:
        """The exit status; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> None:
        """Waits for its end."""
        self._process.join(timeout)


def _serve(command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> None:
    from scaling_app.studies.labels.foreign_files import ForeignFiles

    os.setsid()
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.chdir(folder)
    os.environ.update(environment)
    ForeignFiles.apart = lambda self: None  # type: ignore[method-assign]
    sys.argv = list(command[2:])
    runpy.run_module(command[2], run_name="__main__", alter_sys=True)
