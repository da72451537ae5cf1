"""The extension's own script of its texts, loaded as it stands."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

SCRIPT = Path(__file__).parents[3] / "slicer_extension" / "translations.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("extension_translations", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
