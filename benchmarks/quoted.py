"""Do the figures that the pages quote still stand in their results?

    python -m benchmarks.quoted          # all pages; exit code 1 and a line for each figure that does not

A figure is a number with its interval: `2.4 (1.2 to 3.6)`, `0.89 [0.83, 0.93]`, `+2.9 (80 %: 2.3 to 3.5)`. Before it,
in the same file, a comment names the results that it is from, relative to the repository:

    <!-- figures: benchmarks/deformation/results/short/table.csv -->

The comment holds until the next one. A figure stands when one row of these results has its three numbers, the ends of
the interval side by side, rounded as the page rounds them. A number with decimals but without an interval has to stand
somewhere in them, too; what is a setting and no result is written as `code`. Results are the rows of CSV (also `.gz`), of
tables in Markdown, and of JSON objects. `<!-- figures: none -->` ends the rule for numbers without interval; a figure with
its interval always needs a source. A source that no figure uses is named, too.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (
    *("README.md", "apps/scaling_app/README.md", "slicer_extension/README.md", "client/README.md"),
    *("docs/*.md", "benchmarks/README.md", "benchmarks/*/README.md"),
)

_NUMBER = r"(?<![\w.])[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?!\.?\d)"
_FIGURE = re.compile(
    rf"({_NUMBER})\**(?: points)?(?:\s\(|,\s)(?:\d+ %:\s)?({_NUMBER})\sto\s({_NUMBER})\)?|({_NUMBER})\s\[({_NUMBER}),\s({_NUMBER})\]"
)
_DECIMAL = re.compile(r"(?<![\w.])[-+]?\d*\.\d+(?!\.?\d|\w)")
_SOURCE = re.compile(r"<!-- figures: (?P<paths>[^>]*?) -->")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_UNREAD = re.compile(r"\]\([^)\s]*\)|<!--.*?-->", re.DOTALL)
"""Addresses and comments: as in code, nothing in them is quoted."""

Row = tuple[float, ...]


@dataclass(frozen=True)
class Figure:
    """What a page says: the mean and the ends of its interval, or a number alone."""

    text: str
    line: int

    @property
    def numbers(self) -> list[str]:
        """As written, without the level of the interval."""
        found = _FIGURE.fullmatch(self.text)
        return [number for number in found.groups() if number] if found else [self.text]

    def stands_in(self, row: Row) -> bool:
        """Whether a row of the results says the same, rounded like this."""
        mean, *ends = self.numbers
        places = [i for i, value in enumerate(row) if _rounds_to(value, mean)]
        if not ends or not places:
            return bool(places)
        pairs = pairwise(row)
        return any(
            at > places[0] and _rounds_to(low, ends[0]) and _rounds_to(high, ends[1])
            for at, (low, high) in enumerate(pairs)
        )


def main() -> int:
    """Names every figure that stands nowhere; 1 if there is one."""
    pages = sorted(page for pattern in PAGES for page in ROOT.glob(pattern))
    complaints = [
        f"{page.relative_to(ROOT)}:{told}"
        for page in pages
        for told in complaints_of(page.read_text("utf-8"))
    ]
    print("\n".join(complaints) or f"{len(pages)} pages: every figure stands in its results")
    return 1 if complaints else 0


def complaints_of(page: str, root: Path = ROOT) -> list[str]:
    """What is wrong with a page's figures, each as `line: sentence`."""
    told = []
    for sources, figures in _sections(page):
        unused = set(sources)
        for figure in figures:
            if not sources:
                told.append(f"{figure.line}: {figure.text} names no results")
                continue
            used = {path for path in sources if any(figure.stands_in(row) for row in rows_of(root / path))}
            if not used:
                told.append(f"{figure.line}: {figure.text} does not stand in {', '.join(sources)}")
            unused -= used
        told += [f"no figure is from {path}" for path in sorted(unused)]
    return told


def _sections(page: str) -> Iterator[tuple[Sequence[str], list[Figure]]]:
    """(results, figures) from each comment to the next."""
    page = _blank(_CODE, page)
    marks = [
        (0, 0, ""),
        *((m.start(), m.end(), m["paths"]) for m in _SOURCE.finditer(page)),
        (len(page), 0, ""),
    ]
    for (_, start, paths), (end, _, _) in pairwise(marks):
        sources = () if paths in ("", "none") else tuple(paths.split())
        figures = _figures(
            _blank(_UNREAD, page[start:end]), 1 + page.count("\n", 0, start), alone=bool(sources)
        )
        yield sources, figures


def _figures(text: str, line: int, *, alone: bool) -> list[Figure]:
    """In a text that begins at a line of the page; numbers without interval where asked for."""
    found = [(m.start(), m[0]) for m in _FIGURE.finditer(text)]
    found += [(m.start(), m[0]) for m in _DECIMAL.finditer(_blank(_FIGURE, text))] if alone else []
    return [Figure(" ".join(said.split()), line + text.count("\n", 0, at)) for at, said in sorted(found)]


def _blank(kind: re.Pattern[str], text: str) -> str:
    """The text with everything of a kind blotted out, line by line as long as before."""
    return kind.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


@cache
def rows_of(path: Path) -> tuple[Row, ...]:
    """The numbers of each row of a file of results.

    Raises:
        ValueError: the file has another ending than .csv, .csv.gz, .md, .json.
    """
    if path.name.endswith((".csv", ".csv.gz")):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        cells = [" ".join(row) for row in csv.reader(io.StringIO(data.decode("utf-8")))]
    elif path.suffix == ".md":
        cells = [line for line in path.read_text("utf-8").splitlines() if line.startswith("|")]
    elif path.suffix == ".json":
        cells = [json.dumps(value) for value in json.loads(path.read_text("utf-8")).values()]
    else:
        raise ValueError(f"{path}: figures are read from .csv, .csv.gz, .md and .json only")
    return tuple(tuple(float(n) for n in re.findall(_NUMBER, cell)) for cell in cells)


def _rounds_to(value: float, said: str) -> bool:
    decimals = len(said.partition(".")[2])
    return abs(value - float(said)) <= 0.5000001 * 10**-decimals


if __name__ == "__main__":
    sys.exit(main())
