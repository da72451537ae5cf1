"""What the files of labels and images say, as far as labels are judged by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd
import numpy as np

from scaling_app.monai_app import label_checks as checks
from scaling_app.monai_app.session import file_hash


@dataclass(frozen=True)
class LabelFacts:
    """What a label file says: its grid, voxels per value, the names it carries, a hash of its content."""

    grid: checks.Grid
    counts: Mapping[int, int]
    names: tuple[tuple[str, int], ...]
    label_hash: str


def read_facts(path: Path) -> LabelFacts:
    """Reads a label file.

    Raises:
        ValueError: unreadable, or no label map.
    """
    from scaling_app.imaging.geometry import label_names, read_label, reading

    label = read_label(path)
    array = np.asarray(label[0])
    grid = checks.Grid(tuple(array.shape), np.asarray(label.affine, dtype=np.float64))
    with reading(path):
        names = tuple((name, value) for value, name in sorted(label_names(path).items()))
    return LabelFacts(grid, checks.count_values(array), names, file_hash(path))


def facts_to_json(facts: LabelFacts) -> dict[str, object]:
    """The facts as JSON values."""
    return {
        "shape": list(facts.grid.shape),
        "affine": facts.grid.affine.tolist(),
        "counts": sorted(facts.counts.items()),
        "names": facts.names,
        "label_hash": facts.label_hash,
    }


def facts_from_json(said: Mapping[str, Any]) -> LabelFacts:
    """What `facts_to_json` was given."""
    return LabelFacts(
        checks.Grid(tuple(said["shape"]), np.asarray(said["affine"], dtype=np.float64)),
        {int(value): int(count) for value, count in said["counts"]},
        tuple((str(name), int(value)) for name, value in said["names"]),
        str(said["label_hash"]),
    )


def image_grid(path: Path) -> checks.Grid:
    """The grid of an image file, from its header where that is enough.

    Raises:
        ValueError: unreadable.
    """
    from scaling_app.imaging.geometry import read_image, reading, suffix_of
    from scaling_app.imaging.segmentation_nrrd import nrrd_affine
    from scaling_app.imaging.untrusted import judge

    suffix = suffix_of(path)
    judge(path, suffix)
    with reading(path):
        if suffix in (".nii", ".nii.gz"):
            image = nib.load(path)
            return checks.Grid(tuple(map(int, image.shape[:3])), np.asarray(image.affine, dtype=np.float64))
        if suffix == ".nrrd":
            header = nrrd.read_header(str(path))
            return checks.Grid(_spatial_sizes(header), nrrd_affine(header))
    image = read_image(path)
    return checks.Grid(tuple(image.shape[1:]), np.asarray(image.affine, dtype=np.float64))


def _spatial_sizes(header: Mapping[str, object]) -> tuple[int, ...]:
    sizes = [int(n) for n in header["sizes"]]  # type: ignore[attr-defined]
    kinds = list(header.get("kinds", ["domain"] * len(sizes)))  # type: ignore[call-overload]
    spatial = tuple(n for n, kind in zip(sizes, kinds, strict=False) if kind in ("domain", "space"))
    return spatial[-3:]
