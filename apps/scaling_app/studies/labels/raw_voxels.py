"""Labels that come as voxels alone: the OHIF viewer sends no header with them.

They lie in memory as the viewer's volume does: columns first, then rows, then slices along their normal. That is the
order of the copy that a series has here, too.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from scaling_app.imaging.geometry import write_label
from scaling_app.imaging.image_files import read_grid, suffix_of
from scaling_app.imaging.result_kind import result_kind
from scaling_app.imaging.untrusted import judge

logger = logging.getLogger(__name__)

SUFFIX = ".bin"

_TYPES: dict[int, np.dtype[Any]] = {1: np.dtype(np.uint8), 2: np.dtype("<u2")}
"""By the bytes of a voxel: what the viewer's versions 3 and 2 keep labels in."""


@contextmanager
def as_label_map(path: Path, image_uri: str) -> Iterator[Path]:
    """The label's file; of raw voxels a label map on the image's grid, gone afterwards.

    Raises:
        ValueError: the voxels are not as many as the image's, or the image cannot be read.
    """
    if path.suffix != SUFFIX:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            converted = _on_grid(path, Path(image_uri), Path(folder))
        except (ValueError, OSError) as error:
            logger.warning("Raw voxels of %s could not be used: %s", image_uri, error)
            raise ValueError(
                "The raw voxels of the label cannot be put on the grid of the image; open the image again and redraw."
            ) from error
        yield converted


def _on_grid(path: Path, image: Path, folder: Path) -> Path:
    voxels = math.prod(judge(image, suffix_of(image), unpacked=False).sizes)
    size = path.stat().st_size
    kind = next((kind for kind in _TYPES.values() if size == voxels * kind.itemsize), None)
    if kind is None:
        raise ValueError(f"{size} bytes for {voxels} voxels")
    grid = read_grid(image)
    label = np.fromfile(path, dtype=kind).reshape(grid.shape, order="F")
    return write_label(label.astype(np.int32), grid, folder / f"label{result_kind(None, '.nii.gz', grid)}")
