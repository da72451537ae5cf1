"""Every text that a person reads can be translated, and the translations keep up with the sources."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import panel_bench
import pytest
import translations_of_the_extension
from DataSufficiencyLib import forecast_words
from DataSufficiencyLib.forecast_words import table_rows
from german import in_german
from stub_server import sufficiency

from scaling_app.forecast.answer import SEARCHED_TIMES
from scaling_app_client.payload import Payload

EXTENSION = Path(__file__).parents[2] / "slicer_extension"
MODULE = EXTENSION / "DataSufficiency"

#: Calls whose texts a person sees.
SHOWING = re.compile(
    r"^(set(Text|ToolTip|Title|PlaceholderText|HorizontalHeaderLabels|WindowTitle)|addItems?|addAction"
    r"|QLabel|QPushButton|QCheckBox|QTableWidgetItem|show_text|Notice|confirmYesNoDisplay|errorDisplay|infoDisplay)$"
)
#: Calls whose texts are for programmers: errors whose text is not shown (`LoadError`'s and `ExportError`'s are), and
#: the log.
SILENT = re.compile(
    r"((?<!Load)(?<!Export)Error|Answer|Failure|JsonReader|^get|^debug|^info|^warning|^error|^exception|_fault)$"
)
SENTENCE = re.compile(r"[A-Za-z]{2,} [a-z]{2,}")


translations = translations_of_the_extension.load()


def sources() -> list[Path]:
    return [*MODULE.glob("*.py"), *MODULE.glob("DataSufficiencyLib/*.py")]


def name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def untranslated(path: Path) -> Iterator[str]:
    """Texts that look as if a person read them, outside `_()`, `translate()`, errors, the log and docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    excused: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (
            name_of(node.func) in ("_", "translate") or SILENT.search(name_of(node.func))
        ):
            excused |= set(ast.walk(node))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            excused.add(node.value)
        if isinstance(node, ast.ClassDef) and node.name.endswith("Test"):
            excused |= set(ast.walk(node))
    for node in ast.walk(tree):
        shown = isinstance(node, ast.Call) and SHOWING.match(name_of(node.func))
        for argument in node.args if shown else ():
            for text in ast.walk(argument):
                if is_text(text) and text not in excused and re.search(r"[A-Za-z]{2}", text.value):
                    yield f"{path.name}:{text.lineno} {text.value!r}"
        if is_text(node) and node not in excused and SENTENCE.search(node.value):
            yield f"{path.name}:{node.lineno} {node.value!r}"


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


#: Texts that are no words of ours: node names in the scene, MIME types, an example address, patterns, what a server says.
ALLOWED = re.compile(
    r"Sufficiency (forecast|measured)|<span style|DataSufficiency (export|import)|Binary labelmap|http://127|form-data"
    r"|no label\||space directions|no space left|out of memory| label'|label$|App contributors|'The measurement is being started|'Blind case: please draw this"
    r"|'A prediction may be shown"
)


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_every_text_for_people_goes_through_the_translation(path: Path) -> None:
    assert [text for text in untranslated(path) if not ALLOWED.search(text)] == []


def test_a_forgotten_text_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "forgetful.py"
    path.write_text(
        'label.setText("Please wait")\nx = "Some words here"\nlabel.setToolTip(_("Fine words here"))\n'
        'raise ExportError(f"cannot write {path}")\nraise RuntimeError("no such method")\n'
    )
    assert len(set(untranslated(path))) == 3


def test_the_translation_files_are_up_to_date() -> None:
    assert translations.main(["--check"]) == 0


def test_the_german_translation_is_whole_and_keeps_what_is_filled_in() -> None:
    known = translations.known_translations(translations.path_of("de-DE"))
    wanted = {(context, text) for context, strings in translations.texts().items() for text in strings}
    assert wanted - set(known) == set()
    for (_context, text), german in known.items():
        assert fields(text) == fields(german), text


def fields(text: str) -> set[str]:
    return {name for _words, name, _spec, _conversion in string.Formatter().parse(text) if name is not None}


def test_the_panel_speaks_german(scene: object, tmp_path: Path) -> None:
    with in_german(tmp_path):
        module = panel_bench.open_module()
        assert module.ui.connectButton.text == "Verbindung prüfen"
        assert module.ui.caseLabel.text == "Kein Fall geladen"
        assert module.ui.adviceLabel.text.startswith("Verbinden Sie sich")
        panel_bench.close_module(module)


def test_a_target_beyond_the_sizes_looked_at_is_so_in_german_too(scene: object, tmp_path: Path) -> None:
    data = sufficiency(12)
    data["target"]["cases"] = {"median": None, "lo80": 30, "hi80": None}
    answer = Payload.from_json(data)
    with in_german(tmp_path):
        cases = [row.cases for row in table_rows(answer.overall, answer.target)]
    assert "über dem 32-Fachen der Fälle" in cases


def test_the_panel_names_as_many_times_the_cases_as_the_server_looks_at() -> None:
    assert forecast_words.SEARCHED_TIMES == SEARCHED_TIMES
