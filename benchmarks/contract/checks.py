"""Strange values to everything that checks what a client or a user sends, without a server."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from fastapi import HTTPException

from benchmarks.contract.pools import Try
from scaling_app.forecast.scores import read_curve
from scaling_app.storage import inert, restored
from scaling_app.studies.batch_options import parse_batch_options
from scaling_app.studies.conf import KEYS, read_conf
from scaling_app.studies.labels.checks import parse_label_info
from scaling_app.studies.labels.sent import parse_minutes
from scaling_app.studies.train_options import OPTIONS, parse_options, strategies_to_compare
from scaling_app.web.request_checks import read_params, require_plain_name

_STRANGE = (
    None, True, False, 0, -1, 1, 0.5, 1e300, -1e300, math.nan, math.inf, 10**30, "", " ", "a", "0", "1e999", "nan", "-1",
    "=1+1", "@x", "\0", "\ud800", "../x", "a" * 300, "baseline", "all", "organ=1", "organ=-1", "3", "1,2", "[", "{}",
)  # fmt: skip
_BATCH = (
    "max_workers", "max_batch_size", "gpus", "device", "logging", "label_tag", "multi_gpu", "save_label", "images"
)  # fmt: skip
_CELLS = (
    "n", "dice", "case", "4", "8", "1e300", "0.5", "1.5", "-1", "nan", "", "50%", "x", "\0", "=2", "9" * 400, "0,5", '"'
)  # fmt: skip


def value(rng: np.random.Generator, depth: int = 0) -> object:
    """A random JSON value, mostly a strange one."""
    pick = int(rng.integers(10 if depth < 3 else 8))
    if pick == 8:
        return [value(rng, depth + 1) for _ in range(rng.integers(4))]
    if pick == 9:
        keys = ("name", "idx", "minutes", "image", "labels", "a")
        return {keys[rng.integers(len(keys))]: value(rng, depth + 1) for _ in range(rng.integers(4))}
    return _STRANGE[rng.integers(len(_STRANGE))]


def checks_in(folder: Path) -> dict[str, Try]:
    """Each check, tried with the values of a number."""
    conf = read_conf({}, app_dir=folder, studies=str(folder))
    names = [key.name for key in KEYS]
    table = folder / "table.csv"

    def options(rng: np.random.Generator) -> None:
        asked = {name: value(rng) for name in OPTIONS if rng.integers(2)}
        parse_options(asked, conf)
        strategies_to_compare(asked, conf)

    def curve(rng: np.random.Generator) -> None:
        rows = [
            [_CELLS[rng.integers(len(_CELLS))] for _ in range(rng.integers(1, 5))]
            for _ in range(rng.integers(6))
        ]
        head = ["n,dice", "n,dice,case", "sep=;\nn;dice", "", "n"][rng.integers(5)]
        table.write_text("\n".join([head, *(",".join(row) for row in rows)]), encoding="utf-8")
        read_curve(table)

    def cells(rng: np.random.Generator) -> None:
        text = str(value(rng))
        cell = str(inert(text))
        number = cell.strip().lstrip("+-").replace(".", "").replace("e", "").isdigit() or cell in (
            "nan",
            "inf",
            "-inf",
        )
        if cell.startswith(("=", "+", "-", "@")) and not number and cell not in ("-1e+300",):
            raise AssertionError(f"a spreadsheet would run {cell!r}")
        if restored(cell) != text.replace("\r", " "):
            raise AssertionError(f"{text!r} comes back as {restored(cell)!r}")

    def batch(rng: np.random.Generator) -> None:
        parse_batch_options(
            {name: value(rng) for name in _BATCH if rng.integers(2)}, lambda image: image == "a"
        )

    tried: dict[str, Callable[[np.random.Generator], object]] = {
        "params of a form": lambda rng: read_params(_text(rng)),
        "label_info": lambda rng: [idx for _, idx in parse_label_info(value(rng))],
        "minutes": lambda rng: parse_minutes(value(rng)),
        "names": lambda rng: require_plain_name("image", str(value(rng))),
        "options of a training": options,
        "options of a batch": batch,
        "options of the server": lambda rng: read_conf(
            {names[rng.integers(len(names))]: str(value(rng)) for _ in range(rng.integers(1, 4))},
            app_dir=folder, studies=str(folder),
        ),
        "tables of scores": curve,
        "cells of tables": cells,
    }  # fmt: skip
    return {name: _attempt(name, check) for name, check in tried.items()}


def _text(rng: np.random.Generator) -> str:
    text = json.dumps(value(rng))
    if rng.integers(3):
        return text
    place = int(rng.integers(len(text) + 1))
    return text[:place] + ["", "[" * 990, "\0", "}", "NaN", "1e999"][rng.integers(6)] + text[place + 1 :]


def _attempt(name: str, check: Callable[[np.random.Generator], object]) -> Try:
    def attempt(number: int) -> str:
        try:
            check(np.random.default_rng([number, len(name)]))
        except HTTPException as error:
            if not 400 <= error.status_code < 500:
                raise
            return "refused"
        except ValueError:
            return "refused"
        return "read"

    return attempt
