"""Keeps the translation files in step with the sources: `python slicer_extension/translations.py [--check]`.

Texts are what stands in `_("...")` in the Python files and in `<string>` in the `.ui` file. Contexts are those
that Slicer's `slicer.i18n.tr` looks under: the file's name, after its package's name for files of the library,
and the form's class for the `.ui` file. A text that is new comes in unfinished, one that is gone goes.
"""

from __future__ import annotations

import ast
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

MODULE = Path(__file__).parent / "DataSufficiency"
FOLDER = MODULE / "Resources" / "Translations"
LANGUAGES = ("en-US", "de-DE")

Texts = dict[str, list[str]]
Known = dict[tuple[str, str], str]


class TextError(ValueError):
    """A text that cannot be translated as it stands."""


def texts() -> Texts:
    """Every translatable text, by context, each once, in the order of the sources."""
    found: Texts = {}
    for path in [*sorted(MODULE.glob("*.py")), *sorted(MODULE.glob("DataSufficiencyLib/*.py"))]:
        package = "" if path.parent == MODULE else path.parent.name + "."
        strings = _python_texts(path)
        if strings:
            found[package + path.stem] = list(dict.fromkeys(strings))
    for path in sorted(MODULE.glob("Resources/UI/*.ui")):
        root = ET.parse(path).getroot()
        strings = [node.text for node in root.iter("string") if node.text and node.get("notr") != "true"]
        found.setdefault(root.findtext("class") or path.stem, []).extend(dict.fromkeys(strings))
    return found


def _python_texts(path: Path) -> list[str]:
    strings = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
            text = node.args[0]
            if not isinstance(text, ast.Constant) or not isinstance(text.value, str):
                raise TextError(f"{path.name}:{node.lineno}: _() takes a plain text, not an expression")
            strings.append((node.lineno, node.col_offset, text.value))
    return [text for _line, _column, text in sorted(strings)]


def known_translations(path: Path) -> Known:
    """What a `.ts` file has translated so far."""
    if not path.exists():
        return {}
    found = {}
    for context in ET.parse(path).getroot().iter("context"):
        for message in context.iter("message"):
            translation = message.find("translation")
            if translation is not None and translation.text and translation.get("type") != "unfinished":
                found[context.findtext("name") or "", message.findtext("source") or ""] = translation.text
    return found


def document(language: str, found: Texts, known: Known) -> str:
    """A `.ts` file with these texts and what is known of their translations."""
    root = ET.Element("TS", version="2.1", language=language.replace("-", "_"), sourcelanguage="en")
    for name, strings in sorted(found.items()):
        context = ET.SubElement(root, "context")
        ET.SubElement(context, "name").text = name
        for text in strings:
            message = ET.SubElement(context, "message")
            ET.SubElement(message, "source").text = text
            translated = known.get((name, text))
            translation = ET.SubElement(message, "translation", {} if translated else {"type": "unfinished"})
            translation.text = translated
    ET.indent(root, "    ")
    body = ET.tostring(root, encoding="unicode", short_empty_elements=False)
    return f'<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n{body}\n'


def path_of(language: str) -> Path:
    return FOLDER / f"DataSufficiency_{language}.ts"


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` say which are stale."""
    stale = 0
    for language in LANGUAGES:
        path = path_of(language)
        fresh = document(language, texts(), known_translations(path))
        if path.exists() and path.read_text(encoding="utf-8") == fresh:
            continue
        stale += 1
        if "--check" in arguments:
            sys.stderr.write(f"{path.name} is stale; run this script without --check\n")
        else:
            path.write_text(fresh, encoding="utf-8")
    return stale if "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
