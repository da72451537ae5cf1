"""NRRD headers: where the voxels lie, and what Slicer's segmentations (`.seg.nrrd`) call their values.

A Slicer segmentation stores each segment as a value in a layer; segments that overlap lie in different
layers, along a first axis of kind `list`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nrrd
import numpy as np

_SPATIAL = {"domain", "space"}
_TO_RAS = {
    "left-posterior-superior": (-1.0, -1.0, 1.0),
    "lps": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (-1.0, 1.0, 1.0),
    "las": (-1.0, 1.0, 1.0),
}


@dataclass(frozen=True)
class Segment:
    """One segment: its name, its layer and its value there."""

    name: str
    layer: int
    value: int


@dataclass(frozen=True)
class SegmentTable:
    """The segments of a file, in the file's order; empty for a plain NRRD."""

    segments: tuple[Segment, ...]

    @property
    def layered(self) -> bool:
        """Whether segments share values in different layers, so that they must be renumbered."""
        values = [segment.value for segment in self.segments]
        return len(set(values)) < len(values)

    @property
    def names(self) -> dict[int, str]:
        """Label value (as `flatten_layers` leaves it) to name."""
        return {self.value_of(i): segment.name for i, segment in enumerate(self.segments)}

    def value_of(self, index: int) -> int:
        """The value of a segment in the flattened label map."""
        return index + 1 if self.layered else self.segments[index].value


def nrrd_header(path: Path) -> SegmentTable:
    """Reads the segments that the header of `path` lists."""
    header = nrrd.read_header(str(path))
    segments = []
    while (key := f"Segment{len(segments)}_Name") in header or f"Segment{len(segments)}_ID" in header:
        prefix = f"Segment{len(segments)}_"
        name = str(header.get(key, header.get(f"{prefix}ID")))
        layer, value = header.get(f"{prefix}Layer", 0), header.get(f"{prefix}LabelValue", len(segments) + 1)
        segments.append(Segment(name, int(layer), int(value)))
    return SegmentTable(tuple(segments))


def spatial_last(array: np.ndarray, header: dict) -> np.ndarray:
    """Moves the axis of channels or layers to the front, adding it when there is none."""
    kinds = list(header.get("kinds", ["domain"] * array.ndim))
    others = [axis for axis, kind in enumerate(kinds) if kind not in _SPATIAL]
    if not others and array.ndim == 4:
        others = [0]
    if len(others) > 1 or array.ndim - len(others) not in (2, 3):
        raise ValueError(f"axes of kinds {kinds}; 2 or 3 spatial axes and at most one other are read")
    return np.moveaxis(array, others[0], 0) if others else array[None]


def nrrd_affine(header: dict) -> np.ndarray:
    """Voxels to RAS+ mm, 4x4."""
    affine = np.eye(4)
    if "space directions" not in header:
        spacings = np.asarray(header.get("spacings", [1.0]), dtype=np.float64)
        spacings = spacings[np.isfinite(spacings)][:3]
        affine[range(len(spacings)), range(len(spacings))] = spacings
        return affine
    rows = header["space directions"]
    directions = np.asarray(
        [row for row in rows if row is not None and np.isfinite(row).all()], dtype=np.float64
    )
    origin = np.asarray(header.get("space origin", np.zeros(directions.shape[1])), dtype=np.float64)
    affine[: directions.shape[1], : directions.shape[0]] = directions.T
    affine[: origin.shape[0], 3] = origin
    signs = _TO_RAS.get(str(header.get("space", "")).lower(), (1.0, 1.0, 1.0))
    return np.diag([*signs, 1.0]) @ affine


def flatten_layers(layers: np.ndarray, table: SegmentTable) -> np.ndarray:
    """One label map `(1, *S)` of `(L, *S)`; where segments overlap, the later one of the file wins."""
    if not table.segments:
        raise ValueError(f"{layers.shape[0]} layers, and no header entries that say what they hold")
    flat = np.zeros((1, *layers.shape[1:]), dtype=np.int32)
    for index, segment in enumerate(table.segments):
        flat[0][layers[segment.layer] == segment.value] = table.value_of(index)
    return flat
