"""What the files of labels and images say, as far as labels are judged by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scaling_app.imaging.grids import Grid
from scaling_app.ledger import Stamp
from scaling_app.studies.labels import checks
from scaling_app.studies.session import file_hash


@dataclass(frozen=True)
class LabelFacts:
    """What a label file says: its grid, voxels per value, the names it carries, a hash of its content."""

    grid: Grid
    counts: Mapping[int, int]
    names: tuple[tuple[str, int], ...]
    label_hash: str


def read_facts(path: Path) -> LabelFacts:
    """Reads a label file.

    Raises:
        ValueError: unreadable, or no label map.
    """
    from scaling_app.imaging.geometry import grid_of, label_names, read_label, reading

    label = read_label(path)
    array = np.asarray(label[0])
    with reading(path):
        names = tuple((name, value) for value, name in sorted(label_names(path).items()))
    return LabelFacts(grid_of(label), checks.count_values(array), names, file_hash(path))


def image_grid(path: Path) -> Grid:
    """The grid of an image file, from its header.

    Raises:
        ValueError: unreadable.
    """
    from scaling_app.imaging.geometry import read_grid

    return read_grid(path)


def stamp_of(path: Path) -> Stamp | None:
    """The file's stamp; None when there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return str(path), status.st_mtime_ns, status.st_size
