"""The names inside the app folder are not free: MONAI Label puts that folder first on the path."""

from __future__ import annotations

import ast
import re
import symtable
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
APP = ROOT / "apps" / "scaling_app"
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


def test_imports_of_our_own_are_absolute_and_each_module_says_what_it_is() -> None:
    ours, found = top_names(), []
    for path in MODULES:
        name, tree = path.relative_to(APP).as_posix(), ast.parse(path.read_text())
        found += [f"{name} has no docstring"] if not ast.get_docstring(tree) else []
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                found.append(f"{name}, line {node.lineno}: a relative import")
            for imported in imported_by(node):
                if imported.split(".")[0] in ours - {"main"}:
                    found.append(f"{name}, line {node.lineno}: say scaling_app.{imported}")
    assert found == []


def imported_by(node: ast.AST) -> list[str]:
    """The modules that a statement imports, as they are called there."""
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def test_a_name_is_imported_from_the_module_that_makes_it() -> None:
    """Or from a package that lists it: one way to each thing."""
    made = {_module_of(path): _made_in(path) for path in MODULES if path.name != "__init__.py"}
    others = [p for folder in ("tests", "benchmarks", "docs") for p in (ROOT / folder).rglob("*.py")]
    passed_on = [
        f"{path.relative_to(ROOT)}: {name} from {module}"
        for path in [*MODULES, *others]
        for module, names in _IMPORT.findall(re.sub(r"#.*", "", path.read_text("utf-8")))
        for name in re.findall(r"(\w+)(?: as \w+)?,?", names.strip("()"))
        if module in made and name not in made[module]
    ]
    assert passed_on == []


_IMPORT = re.compile(r"^[ ]*from (scaling_app[\w.]*) import (\([^)]*\)|[^(\n]+)", re.MULTILINE)


def _module_of(path: Path) -> str:
    return ".".join(path.relative_to(APP.parent).with_suffix("").parts)


def _made_in(path: Path) -> set[str]:
    """The names that a module gives to something itself."""
    table = symtable.symtable(path.read_text("utf-8"), path.name, "exec")
    return {s.get_name() for s in table.get_symbols() if s.is_assigned() and not s.is_imported()}


def test_each_module_keeps_to_one_job() -> None:
    others = [
        p for folder in ("client", "slicer_extension", "benchmarks") for p in (ROOT / folder).rglob("*.py")
    ]
    lines = {p.relative_to(ROOT).as_posix(): len(p.read_text().splitlines()) for p in [*MODULES, *others]}
    assert {name: n for name, n in lines.items() if n > 400} == {}
