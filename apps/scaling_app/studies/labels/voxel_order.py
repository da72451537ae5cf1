"""A submitted label, stored as the image's own file would hold it.

Slicer turns the slices of a left-handed file round, and adds an axis to pictures. What fits the image is written
anew in the image's order, with the image's header: whoever reads both then sees them in one place.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from scaling_app.imaging.grids import Grid
from scaling_app.imaging.label_fit import fit_label


@contextmanager
def in_image_order(
    path: Path, label: Grid, image: Grid, names: Mapping[int, str] | None = None
) -> Iterator[Path]:
    """The label's file, or for as long as the context lasts a copy of it on the image's grid.

    Args:
        path: the label's file.
        label, image: where the voxels lie.
        names: what the file calls its values.
    """
    fit = fit_label(label, image)
    if fit is None or (not fit.moved and label.shape == image.shape):
        yield path
        return
    from scaling_app.imaging.geometry import read_label, write_label
    from scaling_app.imaging.image_files import suffix_of

    voxels = np.ascontiguousarray(fit.apply(np.asarray(read_label(path)[0])))
    with tempfile.TemporaryDirectory() as folder:
        yield write_label(voxels, image, Path(folder) / f"label{suffix_of(path)}", names)
