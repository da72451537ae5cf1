"""Every file is written whole: what opens one for writing is in `storage`, fills the part that `whole_file` gave it, or is named here.

The syntax trees are walked, not the modules run: a new writer is found on the day it comes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "apps" / "scaling_app"
MODULES = sorted(p for p in APP.rglob("*.py") if not {"model", "logs"} & set(p.relative_to(APP).parts[:1]))

KIND = "writes one kind of image; `geometry.write_label` hands it the part of a whole file"
SCRATCH = "writes into a temporary folder that its context removes"
RENAMES = "gives a whole file another name in one step"

EXCEPTIONS = {
    ("imaging/nifti_files.py", "write_nifti"): KIND,
    ("imaging/segmentation_nrrd.py", "write_nrrd"): KIND,
    ("imaging/pictures.py", "write_picture"): KIND,
    ("imaging/meta_image.py", "write_meta_image"): KIND,
    ("imaging/nifti_files.py", "write_volume"): "fills the part of a whole file that a preview's pair is written to",
    ("web/request_checks.py", "spooled"): SCRATCH,
    ("monai_app/infer_task.py", "Segmentation.__call__"): "reserves the name of an answer, which is deleted once it was sent",
    ("monai_app/studies_folder.py", "StudiesFolder.get_dataset_archive"): "an archive on its way out; deleted once it was sent",
    ("monai_app/studies_index.py", "StudiesIndex._parsed"): RENAMES,
    ("studies/label_history.py", "LabelHistory.keeping"): RENAMES,
    ("studies/labels/parsing_process.py", "_answer"): "a pipe to the server",
    ("experiments/runs_table.py", "RunsTable.add"): "appends the rows of a run in one write; repeats and a torn end are mended when it is read",
    ("trials/wire.py", "_say"): "on a full disk a new word takes the room of the last one; half a word is passed over",
    ("commands/demo.py", "_server"): "the server's log, which grows",
    ("backups/restoring.py", "_unpack"): "into a hidden folder; nothing of it is used before all of it is on the disk",
    ("backups/restoring.py", "_move"): RENAMES,
    ("studies/train_runs.py", "train_and_publish"): "`TrainedModel.save` writes a whole file",
    ("studies/tracking.py", "tell"): SCRATCH,
}  # fmt: skip
"""(module, function) -> why it may write to a file otherwise. One that writes no more has to go."""

WRITE_MODES = set("wax+")
MODULE_WRITERS = {
    "shutil": {"copy", "copy2", "copyfile", "copyfileobj", "copytree", "move", "make_archive", "unpack_archive"},
    "os": {"rename", "replace", "renames", "link", "symlink", "truncate", "mkfifo", "mknod"},
    "torch": {"save"},
    "json": {"dump"},
    "pickle": {"dump"},
    "np": {"save", "savez", "savez_compressed", "savetxt"},
    "numpy": {"save", "savez", "savez_compressed", "savetxt"},
    "nib": {"save"},
    "nibabel": {"save"},
    "nrrd": {"write", "write_header"},
    "sitk": {"WriteImage"},
    "tempfile": {"mkstemp", "NamedTemporaryFile", "mktemp"},
    "logging": {"FileHandler"},
}  # fmt: skip
METHOD_WRITERS = {
    "write_text", "write_bytes", "touch", "to_csv", "to_excel", "to_parquet", "to_pickle", "tofile",
    "savefig", "write_html", "write_image", "to_filename", "hardlink_to", "symlink_to", "extractall",
}  # fmt: skip
"""Methods of whatever they are called on."""


def called(node: ast.Call) -> tuple[str, str]:
    """The owner's name, as far as it has one, and the name of what is called."""
    function = node.func
    if isinstance(function, ast.Attribute):
        owner = function.value
        return (owner.id if isinstance(owner, ast.Name) else ""), function.attr
    return "", function.id if isinstance(function, ast.Name) else ""


def mode_of(node: ast.Call, place: int) -> str:
    """The mode with which a file is opened; one that is told in a variable counts as writing."""
    given = [keyword.value for keyword in node.keywords if keyword.arg == "mode"]
    mode = given[0] if given else node.args[place] if len(node.args) > place else ast.Constant("r")
    if isinstance(mode, ast.Constant):
        return str(mode.value)
    return "w" if "mode" in ast.unparse(mode) else ""


def writes(node: ast.Call) -> bool:
    """Whether the call writes a file, or gives one a name."""
    owner, name = called(node)
    bare = isinstance(node.func, ast.Name)
    if name == "open" and owner == "os":
        return any(
            isinstance(part, ast.Attribute) and part.attr in ("O_WRONLY", "O_RDWR", "O_CREAT", "O_APPEND")
            for part in ast.walk(node)
        )
    if name in ("open", "fdopen"):
        second = bare or owner in ("os", "io", "gzip", "bz2", "lzma", "codecs", "tarfile")
        return owner != "Image" and bool(WRITE_MODES & set(mode_of(node, int(second))))
    if name in ("ZipFile", "GzipFile"):
        return bool(WRITE_MODES & set(mode_of(node, 1)))
    if name in MODULE_WRITERS.get(owner, ()) or (name in METHOD_WRITERS and not bare):
        return True
    if name in ("replace", "rename") and not bare and owner not in MODULE_WRITERS:
        return len(node.args) == 1 and not node.keywords  # of a text it has two
    return name == "save" and not bare and owner != "self"


def is_part(node: ast.Call, parts: set[str]) -> bool:
    """Whether the call writes to the part of a whole file."""
    said = [*node.args, *(keyword.value for keyword in node.keywords)]
    if isinstance(node.func, ast.Attribute):
        said.append(node.func.value)
    names = (name for value in said for name in ast.walk(value) if isinstance(name, ast.Name))
    return any(name.id in parts for name in names)


def writers(
    tree: ast.AST, place: tuple[str, ...] = (), parts: frozenset[str] = frozenset()
) -> Iterator[tuple[str, int]]:
    """The functions that write past `whole_file`, and the lines where they do."""
    for node in ast.iter_child_nodes(tree):
        inside, given = place, parts
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inside = (*place, node.name)
        elif isinstance(node, ast.With):
            given = parts | {
                item.optional_vars.id
                for item in node.items
                if isinstance(item.optional_vars, ast.Name)
                and isinstance(item.context_expr, ast.Call)
                and called(item.context_expr)[1] == "whole_file"
            }
        elif isinstance(node, ast.Call) and writes(node) and not is_part(node, set(parts)):
            yield ".".join(place), node.lineno
        yield from writers(node, inside, given)


@pytest.fixture(scope="module")
def found() -> list[tuple[str, str, int]]:
    """The writers of every module: its name, the function and the line."""
    return [
        (path.relative_to(APP).as_posix(), function, line)
        for path in MODULES
        for function, line in writers(ast.parse(path.read_text(encoding="utf-8")))
    ]


def test_files_are_written_whole(found: list[tuple[str, str, int]]) -> None:
    strange = [
        f"{name}: {function}, line {line}"
        for name, function, line in found
        if not name.startswith("storage/") and (name, function) not in EXCEPTIONS
    ]
    assert not strange, f"they write past scaling_app.storage: {strange}"


def test_every_exception_is_still_needed(found: list[tuple[str, str, int]]) -> None:
    assert EXCEPTIONS.keys() <= {(name, function) for name, function, _ in found}


@pytest.mark.parametrize(
    "code",
    [
        "open(p, 'w')", "open(p, mode='ab')", "p.open('x')", "p.open(mode)", "os.fdopen(h, 'wb')", "gzip.open(p, 'wb')",
        "p.write_text(t)", "p.write_bytes(b)", "shutil.copy2(a, b)", "shutil.move(a, b)", "torch.save(m, p)",
        "json.dump(o, f)", "np.save(p, a)", "nib.save(i, p)", "sitk.WriteImage(i, p)", "os.replace(a, b)", "a.rename(b)",
        "a.replace(b)", "table.to_csv(p)", "Image.fromarray(a).save(p)", "os.open(p, os.O_WRONLY | os.O_CREAT)",
        "with whole_file(p) as part:\n    q.write_text(t)",
    ],
)  # fmt: skip
def test_a_writer_is_found(code: str) -> None:
    assert list(writers(ast.parse(f"def f():\n    {code.replace(chr(10), chr(10) + '    ')}"))) != []


@pytest.mark.parametrize(
    "code",
    [
        "open(p)", "p.open('rb')", "p.open()", "Image.open(p)", "os.open(p, os.O_RDONLY)", "text.replace('a', 'b')",
        "replace(case, x=1)", "zipfile.ZipFile(p)",
        "with whole_file(p) as part:\n    part.write_text(t)", "with whole_file(p) as part:\n    torch.save(m, part)",
    ],
)  # fmt: skip
def test_what_reads_or_fills_a_part_is_none(code: str) -> None:
    assert list(writers(ast.parse(f"def f():\n    {code.replace(chr(10), chr(10) + '    ')}"))) == []
