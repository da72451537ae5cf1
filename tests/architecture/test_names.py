"""The names inside the app folder are not free: MONAI Label puts that folder first on the path."""

from __future__ import annotations

import ast
import sys
from importlib import metadata
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "apps" / "scaling_app"
MODULES = sorted(
    p for p in APP.rglob("*.py") if not {"model", "logs", "lib", "bin"} & set(p.relative_to(APP).parts[:1])
)
MAKES_AT_START = {"lib", "model", "logs", "bin"}


def top_names() -> set[str]:
    return {p.stem for p in APP.glob("*.py")} | {p.parent.name for p in APP.glob("*/__init__.py")}


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 20


def test_no_name_hides_a_module_of_the_standard_library_or_of_an_installed_package() -> None:
    installed = set(metadata.packages_distributions()) - {"scaling_app"}
    ours = top_names() - {"__init__", "main"}
    assert not ours & (set(sys.stdlib_module_names) | installed | MAKES_AT_START)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(APP)))
def test_imports_of_our_own_are_absolute_and_the_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    ours = top_names()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            assert (node.module or "").split(".")[0] not in ours - {"main"}, (
                f"line {node.lineno}: say scaling_app.{node.module}"
            )
        elif isinstance(node, ast.Import):
            for alias in node.names:
                assert alias.name.split(".")[0] not in ours - {"main"}, (
                    f"line {node.lineno}: say scaling_app.{alias.name}"
                )
    assert ast.get_docstring(tree), "no module docstring"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(APP)))
def test_a_module_keeps_to_one_job(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
