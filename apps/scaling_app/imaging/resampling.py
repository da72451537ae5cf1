"""Resizing along a grid's own axes: an oblique volume stays oblique, only its voxel size changes.

The outer faces of the first and last voxel stay where they are, so sizes `(n, m)` relate voxels by
`x = (y + 1/2) n / m - 1/2`. Classes are handled one at a time: the memory needed is that of two volumes,
whatever the number of classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
_MOST = 0.5


def shape_at(shape: Sequence[int], spacing: Sequence[float], target: Sequence[float]) -> tuple[int, ...]:
    """The number of voxels of size `target` (mm) that fill `shape` voxels of size `spacing`."""
    return tuple(max(1, round(n * a / b)) for n, a, b in zip(shape, spacing, target, strict=True))


def resize_image(image: Tensor, shape: Sequence[int]) -> Tensor:
    """`(C, *S)` to `(C, *shape)` float32; linear, averaged first along axes that shrink by 2 or more."""
    if tuple(image.shape[1:]) == tuple(shape):
        return image.float()
    resized = torch.empty((image.shape[0], *shape), dtype=torch.float32)
    for channel, out in zip(image, resized, strict=True):
        out.copy_(_resize_one(channel, shape))
    return resized


def resize_label(label: Tensor, shape: Sequence[int], values: Iterable[int]) -> Tensor:
    """`(1, *S)` to `(1, *shape)`: each value's mask is resized linearly and the largest wins, the first of equal ones.

    Of the values after the first none vanishes, as a plate does that is thinner than half a new voxel: one that nowhere
    wins takes the voxels that it fills more than half as much as the one that it fills most.
    """
    if tuple(label.shape[1:]) == tuple(shape):
        return label
    background, *others = values
    here = set(torch.unique(label).tolist())
    there = [value for value in others if value in here]

    def mask(value: int) -> Tensor:
        return _resize_one((label[0] == value).float(), shape)

    resized = largest(((value, mask(value)) for value in (background, *there)), shape)
    if lost := _lost(resized, there):
        _keep_most_of(resized[0], ((value, mask(value)) for value in lost))
        for value in _lost(resized, there):
            _keep_one_voxel(resized[0], value, mask(value), background)
    return resized.to(label.dtype)


def _lost(resized: Tensor, values: Sequence[int]) -> list[int]:
    left = set(torch.unique(resized).tolist())
    return [value for value in values if value not in left]


def _keep_most_of(resized: Tensor, masks: Iterable[tuple[int, Tensor]]) -> None:
    """Gives each value the voxels that it fills more than half as much as any; of two, to the one that does so more."""
    best = torch.full(resized.shape, _MOST)
    for value, mask in masks:
        share = mask / mask.max().clamp_min(torch.finfo(mask.dtype).tiny)
        resized[share > best] = value
        torch.maximum(best, share, out=best)


def _keep_one_voxel(resized: Tensor, value: int, mask: Tensor, background: int) -> None:
    """The voxel that the value fills most, of those that are not another's last."""
    counts = torch.bincount(resized.flatten().long())
    spare = (counts[resized.long()] > 1) | (resized == background)
    if bool(spare.any()):
        resized.view(-1)[int(torch.where(spare, mask, -torch.inf).argmax())] = value


def largest(maps: Iterable[tuple[int, Tensor]], shape: Sequence[int]) -> Tensor:
    """The value whose map `(*S)` is largest in each voxel, `(1, *S)`; ties go to the first map."""
    winner = torch.zeros(tuple(shape), dtype=torch.int16)
    best = torch.full(tuple(shape), -torch.inf)
    for value, score in maps:
        winner[score > best] = value
        torch.maximum(best, score, out=best)
        del score  # the next map is made before this name is bound again
    return winner[None]


def resize_map(volume: Tensor, shape: Sequence[int]) -> Tensor:
    """One map `(*S)` to `(*shape)`, linearly, as float32."""
    return volume.float() if tuple(volume.shape) == tuple(shape) else _resize_one(volume, shape)


def _resize_one(volume: Tensor, shape: Sequence[int]) -> Tensor:
    dims = volume.ndim
    volume = volume.float()[None, None]
    # linear reading skips voxels when the grid gets much coarser: average whole blocks before
    blocks = tuple(max(1, n // m) for n, m in zip(volume.shape[2:], shape, strict=True))
    if any(block > 1 for block in blocks) and all(
        n >= b for n, b in zip(volume.shape[2:], blocks, strict=True)
    ):
        volume = F.interpolate(volume, size=_block_shape(volume, blocks), mode="area")
    return F.interpolate(volume, size=tuple(shape), mode=_MODES[dims], align_corners=False)[0, 0]


def _block_shape(volume: Tensor, blocks: Sequence[int]) -> tuple[int, ...]:
    return tuple(-(-n // block) for n, block in zip(volume.shape[2:], blocks, strict=True))
