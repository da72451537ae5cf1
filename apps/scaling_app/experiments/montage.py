"""Pictures of deformed cases: outlines on the image, the deformed grid, and the change of volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from scaling_app.strategies.base import PointMap, PreparedCase
from scaling_app.strategies.deformation.folds import jacobian, voxel_grid

HEIGHT = 260
GAP = 6
_COLOURS = np.array(
    [[239, 83, 80], [66, 165, 245], [102, 187, 106], [255, 202, 40], [171, 71, 188], [38, 198, 218]],
    dtype=np.float32,
)


def montage_row(
    case: PreparedCase,
    image: Tensor,
    label: Tensor,
    deformation: PointMap | None,
    spacing_mm: Sequence[float],
) -> NDArray[Any]:
    """One row `(HEIGHT, W, 3)` uint8: case, deformed case, deformed grid, log Jacobian.

    Volumes are shown in the slice that holds most of the structures, the same one in every panel, y upwards; pictures
    as in their files, y downwards.
    """
    axis, index = _slice_of(case.known_label[0], spacing_mm)
    windows = [np.quantile(channel.numpy(), [0.005, 0.995]) for channel in _shown(case.image)]
    shape = tuple(case.image.shape[1:])
    points = voxel_grid(shape)
    moved = deformation(points) if deformation is not None else points
    size = _panel_size(shape, axis, spacing_mm)
    panels = [
        _outlined(_planes(case.image, axis, index), _cut(case.known_label[0], axis, index), windows, size),
        _outlined(_planes(image, axis, index), _cut(label[0], axis, index), windows, size),
        _grid_picture(moved, axis, index, size, spacing_mm),
        _volume_picture(moved, axis, index, size),
    ]
    gap = np.full((size[0], GAP, 3), 255, dtype=np.uint8)
    row = np.concatenate([part for panel in panels for part in (panel, gap)][:-1], axis=1)
    return row[::-1] if axis is None else row


def stack_rows(rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Rows one under the other, on white."""
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, GAP), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate(padded)


def _slice_of(label: Tensor, spacing_mm: Sequence[float]) -> tuple[int | None, int]:
    """The axis and index of the slice to show: across the coarsest axis, where most is labelled."""
    if label.ndim == 2:
        return None, 0
    axis = int(np.argmax(spacing_mm)) if max(spacing_mm) > 1.2 * min(spacing_mm) else 1
    if min(label.shape) < 0.3 * max(label.shape):
        axis = int(np.argmin(label.shape))
    others = tuple(a for a in range(3) if a != axis)
    return axis, int((label > 0).sum(dim=others).argmax())


def _shown(image: Tensor) -> Tensor:
    """Three channels as red, green and blue; of any other number their mean."""
    return image if len(image) == 3 else image.mean(dim=0, keepdim=True)


def _planes(image: Tensor, axis: int | None, index: int) -> list[Tensor]:
    return [_cut(channel, axis, index) for channel in _shown(image)]


def _cut(volume: Tensor, axis: int | None, index: int) -> Tensor:
    return volume if axis is None else volume.select(axis, index)


def _panel_size(shape: Sequence[int], axis: int | None, spacing_mm: Sequence[float]) -> tuple[int, int]:
    """Height and width in pixels; the second shown array axis runs upwards."""
    across, up = [n * s for a, (n, s) in enumerate(zip(shape, spacing_mm, strict=True)) if a != axis]
    return HEIGHT, max(24, round(HEIGHT * across / up))


def _enlarge(plane: Tensor, size: tuple[int, int]) -> NDArray[Any]:
    """A plane `(X, Y)` as a picture of `size`, x to the right and y upwards, linear."""
    return F.interpolate(
        plane.T.flip(0)[None, None].float(), size=size, mode="bilinear", align_corners=False
    )[0, 0].numpy()


def _outlined(
    planes: Sequence[Tensor], classes: Tensor, windows: Sequence[NDArray[Any]], size: tuple[int, int]
) -> NDArray[Any]:
    """One plane in grey, or three in colour, each within its window, with the outlines of the classes."""
    shown = [
        np.clip((_enlarge(plane, size) - low) / max(high - low, 1e-6), 0, 1)
        for plane, (low, high) in zip(planes, windows, strict=True)
    ]
    picture = np.stack(shown if len(shown) == 3 else 3 * shown, axis=2) * 255
    for value in torch.unique(classes).tolist():
        if value:
            mask = _enlarge((classes == value).float(), size) > 0.5
            edge = mask & ~ndimage.binary_erosion(mask, iterations=2)
            picture[edge] = _COLOURS[(int(value) - 1) % len(_COLOURS)]
    return picture.astype(np.uint8)


def _grid_picture(
    moved: Tensor, axis: int | None, index: int, size: tuple[int, int], spacing_mm: Sequence[float]
) -> NDArray[Any]:
    """Where lines of equal coordinate of the source come to lie, about sixteen across."""
    shown = [a for a in range(moved.shape[-1]) if a != axis]
    extents = [moved.shape[a] * spacing_mm[a] for a in shown]
    step = max(extents) / 16
    picture = np.full((*size, 3), 255, dtype=np.float32)
    for component in shown:
        lines = _enlarge(_cut(moved[..., component], axis, index) * spacing_mm[component], size) / step
        slope = np.hypot(*np.gradient(lines)) + 1e-6
        distance = np.abs(lines - np.round(lines)) / slope
        picture *= np.clip(0.25 + 0.75 * (distance - 0.4), 0.25, 1.0)[..., None]
    return picture.astype(np.uint8)


def _volume_picture(moved: Tensor, axis: int | None, index: int, size: tuple[int, int]) -> NDArray[Any]:
    """log2 of the relative volume that is read: blue where the sample shrank, red where it grew."""
    change = (
        jacobian(moved).clamp(min=1e-3).log2().neg()
        if min(moved.shape[:-1]) > 1
        else torch.zeros(moved.shape[:-1])
    )
    plane = _cut(change, axis, min(index, change.shape[axis] - 1) if axis is not None else 0)
    amount = np.clip(_enlarge(plane, size), -1, 1)[..., None]
    white, red, blue = (
        np.array(c, dtype=np.float32) for c in ((247, 247, 247), (178, 24, 43), (33, 102, 172))
    )
    return (white + np.where(amount > 0, amount * (red - white), -amount * (blue - white))).astype(np.uint8)
