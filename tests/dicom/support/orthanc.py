"""A real Orthanc, where there is one; else the test is left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from benchmarks.common import orthanc
from benchmarks.common.orthanc import PASSWORD, USER, Orthanc, OrthancMissingError

__all__ = ["PASSWORD", "USER", "Orthanc", "running_orthanc"]


@contextmanager
def running_orthanc(folder: Path, port: int | None = None) -> Iterator[Orthanc]:
    """Starts Orthanc on a folder and ends it on leaving; skips where it is not installed."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(orthanc.running_orthanc(folder, port))
        except OrthancMissingError as error:
            pytest.skip(str(error))
        yield running
