"""Slicer in German, as far as this module has a translation."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import qt

TRANSLATION = (
    Path(__file__).parents[3]
    / "slicer_extension"
    / "DataSufficiency"
    / "Resources"
    / "Translations"
    / "DataSufficiency_de-DE.ts"
)


@contextmanager
def in_german(folder: Path) -> Iterator[None]:
    """Translate until the end; the compiled file goes to the folder."""
    name = "pyside6-lrelease"
    lrelease = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if lrelease is None:
        pytest.skip("PySide6 brings no lrelease here")
    compiled, translator = folder / "de.qm", qt.QTranslator()
    subprocess.run([lrelease, TRANSLATION, "-qm", compiled], check=True, capture_output=True)
    assert translator.load(str(compiled))
    qt.QCoreApplication.installTranslator(translator)
    try:
        yield
    finally:
        qt.QCoreApplication.removeTranslator(translator)
