"""Says what is missing when the extension's tests cannot run on this machine."""

from __future__ import annotations

import os

import pytest


def test_the_extensions_tests_can_run_here() -> None:
    missing = os.environ.get("SLICER_TESTS_MISSING")
    if missing:
        pytest.skip(
            f"{missing}; Debian: libgl1 libegl1 libxkbcommon0 libdbus-1-3 libfontconfig1, pip: .[test]"
        )
    import slicer

    assert slicer.vtkMRMLScene is not None
