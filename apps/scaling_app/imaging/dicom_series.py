"""A DICOM series as one volume: where its slices lie, and its voxels; what is no regular grid is refused by name.

The geometry comes from the headers of all slices, and not from the first and the last one: a slice that is missing
moves every label behind it, in silence. Voxels are read by ITK, which knows every compression that Slicer knows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from scaling_app.imaging.grids import LPS_TO_RAS, Grid
from scaling_app.imaging.nifti_files import write_nifti
from scaling_app.imaging.untrusted.header import ImageError
from scaling_app.storage import whole_file

_OFF_GRID = 0.1
"""Of the smallest voxel size: how far a slice may lie from where a regular grid has it."""

_TURNED = 1e-3
"""How far the cosines of two slices' axes may differ before they are two orientations."""

_UNEVEN = 0.02
"""Of the spacing: how much a distance of neighbours may differ, by the rounding of positions."""


class SeriesError(ImageError):
    """A series that is no regular volume; the sentence says what was found."""


_LARGEST_MM = 1000.0
"""Of a pixel; no scanner makes such, and places are computed with it."""

MOST_A_BYTE = 1000
"""Voxels that a byte of a compressed file may stand for: memory is taken by what a header claims."""


@dataclass(frozen=True, eq=False)
class Plane:
    """A stored slice: which header it belongs to, which frame of it, its upper left voxel in LPS mm."""

    header: int
    frame: int
    position: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Series:
    """A series whose slices form a regular grid.

    Attributes:
        headers: its instances, in the order in which they came.
        planes: its slices, along the normal of rows and columns.
        axes: directions of columns' and rows' numbers and of the slices, as columns, in LPS.
        spacing: in the same order, mm.
    """

    headers: tuple[Dataset, ...]
    planes: tuple[Plane, ...]
    axes: NDArray[np.float64]
    spacing: tuple[float, float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Columns, rows, slices."""
        first = self.headers[0]
        return int(first.Columns), int(first.Rows), len(self.planes)

    @cached_property
    def grid(self) -> Grid:
        """Where its volume lies, in RAS mm; the array's axes are columns, rows, slices."""
        affine = np.eye(4)
        affine[:3, :3] = self.axes * np.asarray(self.spacing)
        affine[:3, 3] = self.planes[0].position
        return Grid(self.shape, LPS_TO_RAS @ affine)

    def place_of(self, position: Sequence[float]) -> int | None:
        """The number of the slice that begins at a position, LPS mm; None where there is none."""
        away = np.asarray(position, dtype=np.float64) - self.planes[0].position
        place = round(float(away @ self.axes[:, 2]) / self.spacing[2])
        if not 0 <= place < len(self.planes):
            return None
        apart = np.linalg.norm(np.asarray(position) - self.planes[place].position)
        return place if apart <= 2 * _OFF_GRID * min(self.spacing) else None


def series_of(headers: Sequence[Dataset]) -> Series:
    """The volume that a series' headers describe.

    Args:
        headers: of all its instances, with or without voxels.

    Raises:
        SeriesError: no images, or no regular grid.
    """
    try:
        return _series_of(tuple(headers))
    except SeriesError:
        raise
    except Exception as error:  # headers come from anywhere, and any field of them may hold anything
        raise SeriesError(f"its headers cannot be read; they may be damaged ({error})") from error


def _series_of(headers: tuple[Dataset, ...]) -> Series:
    if not headers:
        raise SeriesError("the series holds no instance")
    for header in headers:
        _require_picture(header)
    if len({str(h.SOPInstanceUID) for h in headers}) < len(headers):
        raise SeriesError("two instances of it have the same number (SOPInstanceUID)")
    sizes = {(int(h.Columns), int(h.Rows)) for h in headers}
    if len(sizes) > 1:
        found = " and ".join(f"{c} x {r}" for c, r in sorted(sizes)[:3])
        raise SeriesError(f"its slices have different sizes ({found} pixels)")
    if len({h.get("FrameOfReferenceUID") for h in headers}) > 1:
        raise SeriesError("its slices have no common frame of reference")
    stored = [
        (Plane(i, f, _numbers(p, "ImagePositionPatient", 3)), o, m)
        for i, h in enumerate(headers)
        for f, (p, o, m) in enumerate(_groups(h))
    ]
    cosines = np.stack([_numbers(o, "ImageOrientationPatient", 6) for _, o, _ in stored])
    if np.abs(cosines - cosines[0]).max() > _TURNED:
        raise SeriesError("its slices have more than one orientation, as those of a localiser do")
    pixels = np.stack([_numbers(m, "PixelSpacing", 2) for _, _, m in stored])
    if np.abs(pixels - pixels[0]).max() > _TURNED * pixels[0].min() or not (pixels[0] > 0).all():
        raise SeriesError("its slices have more than one pixel spacing")
    right, down = cosines[0, :3], cosines[0, 3:]
    lengths = np.linalg.norm(right), np.linalg.norm(down)
    if abs(right @ down) > _TURNED or max(abs(length - 1) for length in lengths) > 0.01:
        raise SeriesError("the directions of its rows and columns stand at no right angle")
    right = right / lengths[0]
    down = down - (down @ right) * right
    axes = np.stack([right, down / np.linalg.norm(down), np.zeros(3)], axis=1)
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    planes = sorted((plane for plane, _, _ in stored), key=lambda plane: float(plane.position @ axes[:, 2]))
    if pixels[0].max() > _LARGEST_MM:
        raise SeriesError(f"its pixels are {pixels[0].max():g} mm wide, and {_LARGEST_MM:g} are believed")
    in_plane = float(pixels[0, 1]), float(pixels[0, 0])  # DICOM gives the distance of rows first
    step = _step([plane.position for plane in planes], axes[:, 2], in_plane, stored[0][2])
    return Series(headers, tuple(planes), axes, (*in_plane, step))


def write_volume(series: Series, files: Sequence[Path], out: Path) -> Path:
    """Writes the voxels of a series, in its own units, as one NIfTI on its grid.

    Args:
        series: what its headers said.
        files: the instances, in the order of `series.headers`.
        out: a `.nii.gz`.

    Raises:
        SeriesError: an instance cannot be read, or holds another number of voxels than its header says.
    """
    columns, rows, _ = series.shape
    stored = [
        _voxels(file, header, (rows, columns)) for file, header in zip(files, series.headers, strict=True)
    ]
    kind = np.result_type(*{array.dtype for array in stored})
    kind = kind if kind in (np.int16, np.uint8, np.uint16, np.int32) else np.dtype(np.float32)
    volume = np.empty(series.shape, dtype=kind, order="F")
    for place, plane in enumerate(series.planes):
        volume[:, :, place] = stored[plane.header][plane.frame].T
    with whole_file(out) as part:
        write_nifti(volume, series.grid, part)
    return out


def _voxels(file: Path, header: Dataset, size: tuple[int, int]) -> NDArray:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
        if math.prod(reader.GetSize()) > MOST_A_BYTE * file.stat().st_size:
            raise SeriesError("a slice of it claims more voxels than its file can hold")
        array = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise SeriesError("a slice of it cannot be read; it may be damaged") from error
    frames = int(header.get("NumberOfFrames") or 1)
    if array.shape != (frames, *size):
        raise SeriesError("a slice of it holds another number of voxels than its header says")
    return array


def _require_picture(header: Dataset) -> None:
    if not (header.get("Rows") and header.get("Columns")):
        raise SeriesError("it holds something else than images")
    if int(header.Rows) < 1 or int(header.Columns) < 1 or not header.get("SOPInstanceUID"):
        raise SeriesError("an instance of it has no size or no number of its own (SOPInstanceUID)")
    if int(header.get("SamplesPerPixel") or 1) != 1:
        raise SeriesError("its pixels are colours, and no single values")


def _groups(header: Dataset) -> list[tuple[Dataset, Dataset, Dataset]]:
    """For each frame what says its position, its orientation and its pixels' measures."""
    frames = header.get("PerFrameFunctionalGroupsSequence")
    if not frames:
        if int(header.get("NumberOfFrames") or 1) > 1:
            raise SeriesError("it has several frames and does not say where they lie")
        return [(header, header, header)]
    if len(frames) != int(header.get("NumberOfFrames") or 1):
        raise SeriesError(f"it has {header.get('NumberOfFrames')} frames, and says where {len(frames)} lie")
    if len({_scale(frame) for frame in frames}) > 1:
        raise SeriesError("the values of its frames are scaled in different ways, which is not read")
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]

    def group(frame: Dataset, name: str) -> Dataset:
        found = frame.get(name) or shared.get(name) or [Dataset()]
        return found[0]

    names = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
    return [tuple(group(frame, name) for name in names) for frame in frames]  # type: ignore[misc]


def _scale(frame: Dataset) -> tuple[float, float] | None:
    """Slope and intercept of a frame's values, where it has its own."""
    said = frame.get("PixelValueTransformationSequence")
    return (float(said[0].RescaleSlope), float(said[0].RescaleIntercept)) if said else None


def _numbers(where: Dataset, name: str, count: int) -> NDArray[np.float64]:
    value = where.get(name)
    try:
        numbers = np.asarray([float(number) for number in value], dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise SeriesError(f"a slice of it does not say where it lies ({name} is missing or damaged)")
    return numbers


def _step(
    positions: Sequence[NDArray[np.float64]],
    normal: NDArray[np.float64],
    in_plane: tuple[float, float],
    measures: Dataset,
) -> float:
    """The distance of neighbouring slices, mm; of a single one its thickness."""
    if len(positions) == 1:
        thickness = float(measures.get("SliceThickness") or 0)
        return thickness if thickness > 0 else 1.0
    along = np.asarray([float(position @ normal) for position in positions])
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    if gaps.min() < _TURNED:
        raise SeriesError("it holds several slices at one place, as series over time do")
    if np.abs(gaps - usual).max() > _UNEVEN * usual:
        widest = int(np.argmax(gaps))
        whole = gaps / usual
        if np.abs(whole - np.rint(whole)).max() < 5 * _UNEVEN:
            raise SeriesError(
                f"a slice is missing: {along[widest]:.1f} mm and {along[widest + 1]:.1f} mm are neighbours, where "
                f"slices lie {usual:.2f} mm apart"
            )
        raise SeriesError(f"its slices lie between {gaps.min():.2f} and {gaps.max():.2f} mm apart")
    step = float(along[-1] - along[0]) / (len(positions) - 1)
    regular = positions[0] + np.arange(len(positions))[:, None] * step * normal
    if np.linalg.norm(np.stack(positions) - regular, axis=1).max() > _OFF_GRID * min(*in_plane, step):
        raise SeriesError(
            "its slices are shifted against each other, as with a tilted gantry; resample it first"
        )
    return step
