"""What the pages point at is there: files, pictures, headings, commands and their options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from scaling_app.commands.cli import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not {".venv", "node_modules", "build", ".git"} & set(page.relative_to(ROOT).parts)
)
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)|<img [^>]*src=\"([^\"]+)\"")
COMMAND = re.compile(r"(?:^|[`(]|&& )((?:scaling-app|python -m benchmarks|make) [^`\n|#]+)", re.MULTILINE)
IDS = [str(page.relative_to(ROOT)) for page in PAGES]


def headings(page: Path) -> set[str]:
    """The anchors that a page's headings have."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_relative_link_and_picture_is_there(page: Path) -> None:
    for link in (a or b for a, b in LINK.findall(CODE.sub("", page.read_text("utf-8")))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in headings(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_command_of_ours_exists_with_its_options(page: Path) -> None:
    commands = typer.main.get_command(app).commands
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in COMMAND.findall(page.read_text("utf-8").replace("\\\n", " ")):
        program, *words = shlex.split(command.replace("...", ""), comments=False)
        if program == "make":
            assert words[0].rstrip(",.;:)") in targets, command
        elif program == "python":
            assert (ROOT / (words[1].replace(".", "/") + ".py")).is_file(), command
        elif words[0] in commands:
            known = {name for option in commands[words[0]].params for name in option.opts}
            asked = {
                word.partition("=")[0].strip("[],.;:)") for word in words if word.startswith(("--", "[--"))
            }
            assert asked <= known | {"--help"}, command
        else:
            assert words[0].startswith("-") or not words[0].isalpha(), command
