"""Draws the rooms of the house from what keeps them: the layers of import-linter and the packages' first sentences.

    python docs/pictures/rooms.py [--out docs/pictures/rooms.svg]

A row is a layer of `pyproject.toml`; each may import what stands below it. The rooms that may not import torch are
those of the contract that says so.
"""

from __future__ import annotations

import argparse
import ast
import textwrap
from html import escape
from pathlib import Path

from importlinter.api import read_configuration

ROOT = Path(__file__).parents[2]
APP = ROOT / "apps" / "scaling_app"
WIDTH, MARGIN, GAP = 880, 16, 12
LINE, LETTER = 16, 6.6
"""Height of a line, and about the width of a letter of 12 px."""
LIGHT, HEAVY, PLAIN = "#e3f0e6", "#fdeedd", "#eef0f4"
"""Fills: rooms without torch, rooms with it, and those that no contract speaks of."""


def main() -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".svg"))
    parser.parse_args().out.write_text(picture(), encoding="utf-8")


def picture() -> str:
    """The SVG."""
    contracts = read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"]
    layers = next([_names(row) for row in c["layers"]] for c in contracts if c["type"] == "layers")
    light = {
        source
        for contract in contracts
        if contract["type"] == "forbidden" and "torch" in contract["forbidden_modules"]
        for source in contract["source_modules"]
    }
    heavy = {name for layer in layers for name in layer if _uses_torch(name)}
    parts, top = [], MARGIN
    for layer in layers:
        drawn, height = _row(layer, top, light, heavy)
        parts += drawn
        top += height + GAP
    key = (
        (LIGHT, "no torch, by contract"),
        (HEAVY, "uses torch"),
        (PLAIN, "neither"),
    )
    for index, (fill, text) in enumerate(key):
        x = MARGIN + index * (WIDTH - 2 * MARGIN) / 3
        parts.append(f'<rect x="{x:.0f}" y="{top}" width="14" height="14" fill="{fill}" stroke="#8a94a6"/>')
        parts.append(f'<text x="{x + 22:.0f}" y="{top + 12}">{escape(text)}</text>')
    top += LINE + 20
    parts.append(f'<text x="{MARGIN}" y="{top}">A room may import what stands below it.</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + MARGIN}" width="{WIDTH}" height="{top + MARGIN}"'
    style = 'font-family="Helvetica, Arial, DejaVu Sans, sans-serif" font-size="12" fill="#1c2430"'
    paper = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return "\n".join([f"{head} {style}>", paper, *parts, "</svg>", ""])


def _row(names: list[str], top: int, light: set[str], heavy: set[str]) -> tuple[list[str], int]:
    """The boxes of a layer, side by side, and their height."""
    width = (WIDTH - 2 * MARGIN - GAP * (len(names) - 1)) / len(names)
    texts = [textwrap.wrap(_what(name), int((width - 24) / LETTER)) for name in names]
    height = 22 + LINE * (1 + max(len(lines) for lines in texts))
    parts = []
    for index, (name, lines) in enumerate(zip(names, texts, strict=True)):
        x = MARGIN + index * (width + GAP)
        fill = LIGHT if name in light else HEAVY if name in heavy else PLAIN
        parts.append(
            f'<rect x="{x:.0f}" y="{top}" width="{width:.0f}" height="{height}" rx="6" fill="{fill}" stroke="#8a94a6"/>'
        )
        title, rooms = name.removeprefix("scaling_app."), ", ".join(_rooms(name))
        parts.append(
            f'<text x="{x + 12:.0f}" y="{top + 22}" font-size="14" font-weight="bold">{escape(title)}</text>'
        )
        if rooms:
            beside = x + 20 + 9 * len(title)
            parts.append(f'<text x="{beside:.0f}" y="{top + 22}" fill="#5a6678">with {escape(rooms)}</text>')
        parts += [
            f'<text x="{x + 12:.0f}" y="{top + 22 + LINE * (number + 1) + 2}">{escape(line)}</text>'
            for number, line in enumerate(lines)
        ]
    return parts, height


def _names(layer: str) -> list[str]:
    return [f"scaling_app.{name.strip('() ')}" for name in layer.replace(":", "|").split("|")]


def _file(name: str) -> Path:
    folder = APP.parent / name.replace(".", "/")
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


def _what(name: str) -> str:
    """What a package or module says of itself, first."""
    text = ast.get_docstring(ast.parse(_file(name).read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("`", "")


def _rooms(name: str) -> list[str]:
    """Packages inside a package."""
    folder = _file(name)
    inside = sorted(folder.parent.glob("*/__init__.py")) if folder.name == "__init__.py" else []
    return [path.parent.name for path in inside]


def _uses_torch(name: str) -> bool:
    """Whether any module of it imports torch or MONAI itself."""
    file = _file(name)
    modules = file.parent.rglob("*.py") if file.name == "__init__.py" else [file]
    starts = ("import torch", "from torch", "from monai.", "import monai\n")
    return any(
        line.lstrip().startswith(starts) for m in modules for line in m.read_text("utf-8").splitlines()
    )


if __name__ == "__main__":
    main()
