"""The benchmarks can be started: each folder has its three parts, and every module imports."""

from __future__ import annotations

import importlib
import multiprocessing
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for path in ROOT.glob("benchmarks/*/README.md"))
ELSEWHERE = {"nnunetv2"}
"""Packages that have an environment of their own."""


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_question_has_its_command_its_page_and_its_results(folder: Path) -> None:
    assert (folder / "run.py").is_file()
    assert any((folder / "results").iterdir())
    index = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    assert f"({folder.name}/README.md)" in index


def import_all(names: list[str]) -> None:
    """Imports these modules, those that run in another environment as far as it goes here."""
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name not in ELSEWHERE:
                raise


@pytest.mark.slow_processes
def test_every_module_of_the_benchmarks_imports() -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib")
    modules = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in ROOT.glob("benchmarks/**/*.py")]
    # in a fork: what they bring into the process ends with it, and what is loaded need not be loaded anew
    process = multiprocessing.get_context("fork").Process(target=import_all, args=(modules,))
    process.start()
    process.join()
    assert process.exitcode == 0, "the traceback stands above"
