"""What the extension would package and show, checked without Slicer; and the syntax of its Python."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "slicer_extension"
MODULE = EXTENSION / "DataSufficiency"
CLIENT = ROOT / "client" / "scaling_app_client"
BESIDE = sorted({*CLIENT.glob("*.py")} - {CLIENT / "blocking.py"})
"""What the client has in Slicer: all but what is for scripts."""
SOURCES = sorted(
    [*MODULE.glob("*.py"), *MODULE.glob("DataSufficiencyLib/*.py"), *MODULE.glob("Testing/**/*.py"), *BESIDE]
)

needs_cmake = pytest.mark.skipif(
    shutil.which("cmake") is None, reason="there is no cmake here (Debian: cmake)"
)


@pytest.fixture
def configure(tmp_path: Path) -> Callable[[Callable[[Path], None]], subprocess.CompletedProcess]:
    """Configure a copy of the extension that was changed in some way."""
    copy = tmp_path / "copy"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(EXTENSION, copy / "slicer_extension", ignore=ignore)
    shutil.copytree(ROOT / "client", copy / "client", ignore=ignore)
    for name in ("CMakeLists.txt", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)

    def go(change: Callable[[Path], None]) -> subprocess.CompletedProcess:
        change(copy / "slicer_extension" / "DataSufficiency")
        stub = Path(__file__).parent / "cmake_stub"
        command = ["cmake", "-S", copy, "-B", tmp_path / "build", f"-DSlicer_DIR={stub}"]
        for language in ("C", "CXX"):  # nothing is compiled, so no compiler is needed
            command += [
                f"-DCMAKE_{language}_COMPILER={shutil.which('true')}",
                f"-DCMAKE_{language}_COMPILER_FORCED=1",
            ]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)

    return go


@needs_cmake
def test_the_package_is_complete(configure: Callable) -> None:
    result = configure(lambda module: None)
    assert result.returncode == 0, result.stderr


@needs_cmake
def test_a_missing_file_is_found(configure: Callable) -> None:
    result = configure(lambda module: (module / "DataSufficiencyLib" / "states.py").unlink())
    assert result.returncode != 0
    assert "states.py" in result.stderr


@needs_cmake
def test_the_client_is_packaged_beside_the_module(configure: Callable) -> None:
    result = configure(
        lambda module: (module.parents[1] / "client" / "scaling_app_client" / "calls.py").unlink()
    )
    assert result.returncode != 0
    assert "calls.py" in result.stderr


@needs_cmake
@pytest.mark.parametrize(
    "name",
    [
        "DataSufficiencyLib/forgotten.py",
        "Resources/Icons/forgotten.png",
        "../../client/scaling_app_client/forgotten.py",
    ],
)
def test_an_unlisted_file_is_found(configure: Callable, name: str) -> None:
    result = configure(lambda module: (module / name).write_text(""))
    assert result.returncode != 0
    assert "forgotten" in result.stderr


@needs_cmake
def test_a_missing_licence_is_found(configure: Callable) -> None:
    result = configure(lambda module: (module.parents[1] / "LICENSE").unlink())
    assert result.returncode != 0


def test_the_root_file_has_what_the_catalogues_check_reads() -> None:
    text = (ROOT / "CMakeLists.txt").read_text()
    entry = json.loads((EXTENSION / "DataSufficiency.json").read_text())
    assert re.search(r"project\((\w+)\)", text).group(1) == "DataSufficiency"
    assert re.search(r'set\(EXTENSION_ICONURL "[^"]+"\)', text)
    assert re.search(r'set\(EXTENSION_SCREENSHOTURLS "[^"]+"\)', text)
    assert entry["category"] == "Active Learning"
    assert set(entry) == {
        "$schema",
        "build_dependencies",
        "build_subdirectory",
        "category",
        "scm_revision",
        "scm_url",
        "tier",
    }


def test_the_icon_is_square_and_large_enough() -> None:
    from PIL import Image

    with Image.open(MODULE / "Resources" / "Icons" / "DataSufficiency.png") as icon:
        assert icon.size == (128, 128)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_the_syntax_is_that_of_slicer_5_8(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]
    futures = {
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
        for alias in node.names
    }
    unions = [
        node for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)
    ]
    if "annotations" not in futures:
        assert not [
            node for node in unions if isinstance(node.right, ast.Constant) and node.right.value is None
        ]


@pytest.mark.skipif(shutil.which("python3.9") is None, reason="there is no Python 3.9 here")
def test_python_3_9_compiles_everything(tmp_path: Path) -> None:
    command = [
        "python3.9",
        "-c",
        "import sys; [compile(open(p, encoding='utf-8').read(), p, 'exec') for p in sys.argv[1:]]",
    ]
    environment = {**os.environ, "PYENV_VERSION": "3.9"}  # for a python3.9 that pyenv hands out
    result = subprocess.run(
        [*command, *map(str, SOURCES)], capture_output=True, text=True, check=False, env=environment
    )
    if "pyenv" in result.stderr:
        pytest.skip("pyenv has no Python 3.9 here")
    assert result.returncode == 0, result.stderr


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


def test_nothing_is_needed_that_slicer_does_not_bring() -> None:
    import sys

    ours = {"DataSufficiencyLib", "scaling_app_client", "__future__"}
    brought = {"qt", "ctk", "slicer", "vtk", "numpy", "qSlicerSegmentationsEditorEffectsPythonQt"} | set(
        sys.stdlib_module_names
    )
    needed = set().union(*map(imports_of, SOURCES))
    assert needed - brought - ours == set()


def test_each_layer_touches_only_what_it_may() -> None:
    lib = MODULE / "DataSufficiencyLib"
    plain = "signal activity label_questions ports"
    windows = {"transport", "timers", "table_view", "question_rows"}
    for path in lib.glob("*.py"):
        imports = imports_of(path)
        if path.stem in plain.split():
            assert not imports & {"qt", "slicer", "vtk", "ctk"}, path.name
        if "qt" in imports:
            assert path.stem in windows, path.name


def test_files_are_short() -> None:
    long = {path.name: len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in long.items() if lines > 400} == {}


def test_nothing_asks_for_a_size_hint() -> None:
    """PythonQt reads it as an attribute, other bindings as a method."""
    asking = [path.name for path in SOURCES if re.search(r"izeHint\b", path.read_text("utf-8"))]
    assert asking == []
