"""NRRD: voxels, where they lie, and what Slicer's segmentations (`.seg.nrrd`) call their values.

A Slicer segmentation stores each segment as a value in a layer; segments that overlap lie in different
layers, along a first axis of kind `list`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nrrd
import numpy as np

from scaling_app.imaging.grids import LPS_TO_RAS, Grid, placed
from scaling_app.imaging.untrusted.header import ImageError
from scaling_app.words import whole_number

HIGHEST = 2**31 - 1
"""Of label values."""

_ITK = "NrrdImageIO"
_SPATIAL = {"domain", "space"}
_LPS = (-1.0, -1.0, 1.0)
_TO_RAS = {
    "left-anterior-superior": (-1.0, 1.0, 1.0),
    "las": (-1.0, 1.0, 1.0),
    "right-anterior-superior": (1.0, 1.0, 1.0),
    "ras": (1.0, 1.0, 1.0),
}
"""Every other space, also none, ITK takes for left-posterior-superior."""


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
    """Reads the segments that the header of `path` lists.

    Raises:
        ImageError: a value or layer that no label map has.
    """
    header = nrrd.read_header(str(path))
    segments = []
    while (key := f"Segment{len(segments)}_Name") in header or f"Segment{len(segments)}_ID" in header:
        prefix = f"Segment{len(segments)}_"
        name = str(header.get(key, header.get(f"{prefix}ID")))
        layer, value = header.get(f"{prefix}Layer", 0), header.get(f"{prefix}LabelValue", len(segments) + 1)
        of_segment = f"{path.name} gives the segment {name[:60]!r}"
        segments.append(
            Segment(
                name, _number(layer, f"{of_segment} the layer"), _number(value, f"{of_segment} the value")
            )
        )
    return SegmentTable(tuple(segments))


def _number(said: object, where: str) -> int:
    number = whole_number(str(said).strip())
    if number is None or number > HIGHEST:
        raise ImageError(f"{where} {str(said)[:40]}; export it anew")
    return number


def nrrd_grid(path: Path) -> Grid:
    """The grid that the header gives."""
    return _grid(path, nrrd.read_header(str(path)))


def read_nrrd(path: Path, as_label: bool) -> tuple[np.ndarray, Grid]:
    """Voxels `(C, *S)` in the file's type, several layers of a label flattened, and their grid."""
    array, header = nrrd.read(str(path), index_order="F")
    other = _other_axis(header)
    array = array[None] if other is None else np.moveaxis(array, other, 0)
    if as_label and array.shape[0] > 1:
        array = flatten_layers(array, nrrd_header(path))
    return array, _grid(path, header)


def write_nrrd(
    label: np.ndarray,
    grid: Grid,
    out: Path,
    names: Mapping[int, str] | None = None,
    *,
    compressed: bool = True,
) -> None:
    """Writes a label map; `names` says what its values are called, as Slicer's segmentations do."""
    dims = label.ndim
    affine = LPS_TO_RAS @ grid.affine
    header: dict[str, object] = {"kinds": ["domain"] * dims, "encoding": "gzip" if compressed else "raw"}
    header |= {"space": "left-posterior-superior"} if dims == 3 else {"space dimension": dims}
    header |= {"space origin": affine[:dims, 3], "space directions": affine[:dims, :dims].T}
    for index, (value, name) in enumerate(sorted((names or {}).items())):
        prefix = f"Segment{index}_"
        header |= {f"{prefix}ID": f"Segment_{value}", f"{prefix}Name": name}
        header |= {f"{prefix}LabelValue": str(value), f"{prefix}Layer": "0"}
    nrrd.write(str(out), label, header, index_order="F")


def _grid(path: Path, header: Mapping) -> Grid:
    other = _other_axis(header)
    shape = tuple(int(size) for axis, size in enumerate(header["sizes"]) if axis != other)
    affine = nrrd_affine(header)
    return placed(path, _ITK, shape, affine, [LPS_TO_RAS @ affine] if "space" not in header else [])


def _other_axis(header: Mapping) -> int | None:
    """The axis of channels or layers, None when there is none."""
    axes = len(header["sizes"])
    kinds = list(header.get("kinds", ["domain"] * axes))
    others = [axis for axis, kind in enumerate(kinds) if kind not in _SPATIAL]
    if not others and axes == 4:
        others = [0]
    if len(others) > 1 or axes - len(others) not in (2, 3):
        raise ValueError(f"axes of kinds {kinds}; 2 or 3 spatial axes and at most one other are read")
    return others[0] if others else None


def nrrd_affine(header: Mapping) -> np.ndarray:
    """Voxels to RAS+ mm, 4x4."""
    affine = np.eye(4)
    turn = np.diag([*_TO_RAS.get(str(header.get("space", "")).lower(), _LPS), 1.0])
    if "space directions" not in header:
        spacings = np.asarray(header.get("spacings", [1.0]), dtype=np.float64)
        spacings = spacings[np.isfinite(spacings)][:3]
        affine[range(len(spacings)), range(len(spacings))] = spacings
        return turn @ affine
    rows = header["space directions"]
    directions = np.asarray(
        [row for row in rows if row is not None and np.isfinite(row).all()], dtype=np.float64
    )
    origin = np.asarray(header.get("space origin", np.zeros(directions.shape[1])), dtype=np.float64)
    affine[: directions.shape[1], : directions.shape[0]] = directions.T
    affine[: origin.shape[0], 3] = origin
    return turn @ affine


def flatten_layers(layers: np.ndarray, table: SegmentTable) -> np.ndarray:
    """One label map `(1, *S)` of `(L, *S)`; where segments overlap, the later one of the file wins."""
    if not table.segments:
        raise ValueError(f"{layers.shape[0]} layers, and no header entries that say what they hold")
    flat = np.zeros((1, *layers.shape[1:]), dtype=np.int32)
    for index, segment in enumerate(table.segments):
        flat[0][layers[segment.layer] == segment.value] = table.value_of(index)
    return flat
