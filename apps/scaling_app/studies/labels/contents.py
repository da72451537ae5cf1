"""What the files of labels and images say, as far as labels are judged by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_app.imaging.grids import Grid
from scaling_app.imaging.image_files import label_names, read_grid, read_label_array, reading
from scaling_app.ledger import Stamp
from scaling_app.studies.labels import checks
from scaling_app.studies.studies import file_hash


@dataclass(frozen=True)
class LabelContent:
    """What a label file says: its grid, voxels per value, the names it carries, a hash of its content."""

    grid: Grid
    counts: Mapping[int, int]
    names: tuple[tuple[str, int], ...]
    label_hash: str


def read_content(path: Path) -> LabelContent:
    """Reads a label file.

    Raises:
        ValueError: unreadable, or no label map.
    """
    array, grid = read_label_array(path)
    with reading(path):
        names = tuple((name, value) for value, name in sorted(label_names(path).items()))
    checks.require_short(names)
    return LabelContent(grid, checks.count_values(array[0]), names, file_hash(path))


def facts_to_json(facts: LabelContent) -> dict[str, object]:
    """The facts as JSON values."""
    grid = facts.grid
    return {
        "shape": list(grid.shape),
        "affine": grid.affine.tolist(),
        "others": [other.tolist() for other in grid.others],
        "shown": None if grid.shown is None else grid.shown.tolist(),
        "counts": sorted(facts.counts.items()),
        "names": facts.names,
        "label_hash": facts.label_hash,
    }


def facts_from_json(said: Mapping[str, Any]) -> LabelContent:
    """What `facts_to_json` was given, without the file's own header."""
    grid = Grid(
        tuple(said["shape"]),
        _affine(said["affine"]),
        tuple(_affine(other) for other in said["others"]),
        shown=None if said["shown"] is None else _affine(said["shown"]),
    )
    return LabelContent(
        grid,
        {int(value): int(count) for value, count in said["counts"]},
        tuple((str(name), int(value)) for name, value in said["names"]),
        str(said["label_hash"]),
    )


def _affine(rows: object) -> NDArray[np.float64]:
    return np.asarray(rows, dtype=np.float64)


def image_grid(path: Path) -> Grid:
    """The grid of an image file, from its header, which is opened once as long as the file stays what it is.

    Raises:
        ValueError: unreadable.
    """
    return _grid_of(path, stamp_of(path))


@lru_cache(maxsize=4096)
def _grid_of(path: Path, stamp: Stamp | None) -> Grid:
    return read_grid(path)


def stamp_of(path: Path) -> Stamp | None:
    """The file's stamp; None when there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return str(path), status.st_mtime_ns, status.st_size
