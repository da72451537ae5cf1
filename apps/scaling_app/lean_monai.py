"""MONAI's import without the libraries that nothing here uses: half the seconds, in every process that loads it.

MONAI imports all of itself at once, and takes what it finds of some forty libraries. Those below are the slow ones. MONAI
is written to do without them. Who wants its features that need one imports `monai` before this package.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

NOT_NEEDED = ("ignite", "matplotlib", "mlflow", "pandas", "tensorboard")
"""Trackers, tables and plots; `ignite` brings half of torch's distributed and symbolic parts."""


class _LeanMonai(MetaPathFinder):
    """Finds `monai` as ever, and hides those libraries while it loads."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "monai":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_lean(module: ModuleType) -> None:
                with _hidden(NOT_NEEDED):
                    load(module)

            spec.loader.exec_module = load_lean  # type: ignore[method-assign]
        return spec


@contextmanager
def _hidden(names: Sequence[str]) -> Iterator[None]:
    """As if these libraries were not installed; one that is loaded already stays."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: Python's mark of a module that is not there
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def install() -> None:
    """From now on `import monai` is lean; a second call changes nothing."""
    if not any(isinstance(finder, _LeanMonai) for finder in sys.meta_path):
        sys.meta_path.insert(0, _LeanMonai())
