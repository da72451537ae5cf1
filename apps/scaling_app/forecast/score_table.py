"""Tables of scores as text: CSV as replays, servers and spreadsheets write it, row by row, with line numbers.

Two things are mended while reading, and said: a run that is there twice, as when two replays wrote one table, counts
once; and the last line of a replay's table is left out where a kill cut it.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

logger = logging.getLogger(__name__)

MOST_ROWS = 500_000
"""About 1 GB and 45 s of a forecast; ten structures in 500 test cases of 100 trainings."""
MOST_BYTES = 2**28
RUN = ("dataset", "network", "strategy", "n", "draw", "seed", "steps")
"""The columns that tell the trainings of a replay apart."""
SCORE = (*RUN, "case", "structure")
"""The columns that tell its scores apart."""

Row = Mapping[str, str]


class CurveError(ValueError):
    """Scores that cannot be used; the message says what, where, and what to do."""


def table_text(path: Path) -> str:
    """The text of a table.

    Raises:
        CurveError: the file is larger than `MOST_BYTES`.
        OSError, UnicodeDecodeError: it cannot be read, or is no text in UTF-8.
    """
    if (size := path.stat().st_size) > MOST_BYTES:
        raise CurveError(
            f"{path} holds {size / 2**20:.0f} MB, and up to {MOST_BYTES // 2**20} are read; keep fewer columns, or the "
            "rows of a part of the test cases picked at random"
        )
    return path.read_text(encoding="utf-8-sig")


def rows_of(text: str, path: Path) -> Iterator[tuple[int, Row]]:
    """The rows with their line numbers in the file (the first line is 1), column names in lower case.

    Columns are separated by commas, semicolons or tabs; a first line such as `sep=;` says by which.

    Raises:
        CurveError: no header, a column twice, a row of another length, a line that is none of a table, an unfinished
            last line, or more than `MOST_ROWS`.
    """
    head, _, rest = text.partition("\n")
    said = head.strip().strip('"').lower()
    separator = said[4:] if said.startswith("sep=") and len(said) == 5 else None
    skipped = 1 if separator or said == "sep=" else 0
    lines = io.StringIO(rest if skipped else text)
    first = next((line for line in (rest if skipped else text).splitlines() if line.strip()), "")
    if not first:
        raise CurveError(f"{path} is empty; it needs a header n,dice and one row per curve point")
    reader = csv.reader(lines, delimiter=separator or max(",;\t", key=first.count))
    numbered = _cells(reader, path, skipped)
    header = [name.strip().lower() for name in next(numbered)[1]]
    if doubled := sorted({name for name in header if name and header.count(name) > 1}):
        raise CurveError(f"{path} has the column {', '.join(doubled)} more than once; keep one of each")
    yield from _without_repeats(
        _rows(numbered, header, path, unfinished=not text.endswith("\n")), header, path
    )


def number_of(text: str, name: str) -> float:
    """A number whose decimal sign may be a comma.

    Raises:
        CurveError: it is none.
    """
    decimal = text.replace(",", ".") if text.count(",") == 1 and "." not in text else text
    try:
        if "_" not in text:  # which Python takes for a thousands sign
            return float(decimal)
    except ValueError:
        pass
    raise CurveError(f"{name} must be a number, got {text!r}")


def score_of(text: str, name: str) -> float | None:
    """A Dice or surface Dice, `0.81` or `81 %`; None where it is blank or undefined.

    Raises:
        CurveError: it is no number.
    """
    if text == "" or text.lower() in {"nan", "none", "na"}:
        return None
    if text.endswith("%"):
        return round(number_of(text[:-1].strip(), name) / 100, 12)
    return number_of(text, name)


def steps_of(row: Row) -> int | None:
    """The steps of the row's training; None where the table does not tell, or only that they were `auto`."""
    told = (whole_of(row.get(name, "")) for name in ("trained_steps", "steps"))
    return next((steps for steps in told if steps), None)


def whole_of(text: str) -> int | None:
    """A whole number, as `1120.0` too, which a table becomes where some of its cells are empty; None for anything else."""
    try:
        number = number_of(text, "number")
    except CurveError:
        return None
    return int(number) if number.is_integer() and number >= 0 and "," not in text else None


def steps_asked(row: Row) -> str:
    """What was asked for: a number, written in one way, or `auto`; empty where the table does not tell."""
    text = row.get("steps", "")
    number = whole_of(text)
    return text if number is None else str(number)


def _cells(reader: Iterator[list[str]], path: Path, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not blank, in cells; a row of several lines, as a quote without its end makes, by its first."""
    while True:
        line = reader.line_num + skipped + 1  # type: ignore[attr-defined]
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise CurveError(f"{path}, line {line} is no row of a table ({error}); correct it") from None
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield line, [cell.strip() for cell in cells]


def _rows(
    numbered: Iterable[tuple[int, list[str]]], header: list[str], path: Path, *, unfinished: bool
) -> Iterator[tuple[int, Row]]:
    waiting: tuple[int, list[str]] | None = None
    for count, line in enumerate(numbered, start=1):
        if count > MOST_ROWS:
            raise CurveError(
                f"{path} holds more than {MOST_ROWS:,} rows; keep a part of the test cases, picked at random, with "
                "all their rows"
            )
        if waiting is not None:
            yield _row(*waiting, header)
        waiting = line
    if waiting is None:
        return
    if unfinished and set(SCORE) <= set(header):
        logger.warning("%s: the last line, %d, is unfinished and left out", path, waiting[0])
        return
    if unfinished and _is_cut(waiting[1], header):
        raise CurveError(f"{path}, line {waiting[0]} is unfinished; complete it, or remove it")
    yield _row(*waiting, header)


def _row(number: int, cells: list[str], header: list[str]) -> tuple[int, Row]:
    if len(cells) != len(header):
        raise CurveError(f"line {number} has {len(cells)} values but the header has {len(header)} columns")
    return number, dict(zip(header, cells, strict=True))


def _is_cut(cells: list[str], header: list[str]) -> bool:
    """Whether a last line without its end stops before, or within, the last value."""
    needed = len(cells) == len(header) and header[-1] in ("n", "dice")
    return len(cells) < len(header) or cells[-1].endswith((".", ",")) or (needed and not cells[-1])


def _without_repeats(
    rows: Iterable[tuple[int, Row]], header: list[str], path: Path
) -> Iterator[tuple[int, Row]]:
    """Of a score that a replay's table holds twice, the first; other tables do not tell repeats from other runs."""
    if not set(SCORE) <= set(header):
        yield from rows
        return
    seen: set[tuple[str, ...]] = set()
    repeats: list[int] = []
    for number, row in rows:
        key = tuple(row[name] for name in SCORE)
        if key in seen:
            repeats.append(number)
            continue
        seen.add(key)
        yield number, row
    if repeats:
        logger.warning(
            "%s: %d rows, the first in line %d, repeat scores of the same runs; the first of each is read",
            path,
            len(repeats),
            repeats[0],
        )
