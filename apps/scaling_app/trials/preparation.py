"""One case on the plan's grid: turned, resampled, normalised, its structures numbered as classes."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from scaling_app.imaging.geometry import Canonical, read_image, read_label, same_grid, spacing_of
from scaling_app.imaging.label_numbers import exchanged
from scaling_app.imaging.resampling import resize_image, resize_label, shape_at
from scaling_app.imaging.untrusted import ImageError
from scaling_app.trials.boxes import Box, box_about, widened
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.image_facts import MOST_APART, blank_value, blank_words, kind_words
from scaling_app.trials.label_names import renumbered
from scaling_app.trials.plan import Plan

Points = NDArray[np.int32]
"""Voxels `(N, D)` of a case on the plan's grid."""

_VERSION = 4
_POINTS_PER_CLASS = 4096


def prepare(plan: Plan, files: CaseFiles) -> tuple[Tensor, Tensor | None]:
    """A case on the plan's grid: image `(C, *S)` float32 and label `(1, *S)` of class indices.

    Raises:
        ImageError: unreadable files, other channels or dimensions than planned, or grids that differ.
    """
    image = read_image(files.image)
    if plan.margin_mm is not None:
        return _prepare_box(plan, files, image)
    prepared = prepare_image(plan, image)
    if files.label is None:
        return prepared, None
    classes = _classes_of(plan, files, image)
    del image
    return prepared, _resized(classes, plan, prepared)


def _prepare_box(plan: Plan, files: CaseFiles, image: MetaTensor) -> tuple[Tensor, Tensor]:
    """The box about a case's structures; all of a case that holds none.

    So wide that a patch about any voxel that a coarse look may box lies inside.
    """
    classes = _classes_of(plan, files, image)
    box = box_about(classes[0] > 0) or tuple(slice(0, n) for n in classes.shape[1:])
    margin, patch = plan.reach(Canonical.of(image).turn(spacing_of(image)))
    more = [a + -(-b // 2) for a, b in zip(margin, patch, strict=True)]
    box = widened(box, more, patch, classes.shape[1:])
    prepared = prepare_image(plan, image, box)
    in_box = (slice(None), *box)
    return prepared, _resized(classes[in_box], plan, prepared)


def _classes_of(plan: Plan, files: CaseFiles, image: MetaTensor) -> Tensor:
    label = renumbered(read_label(files.known_label, image), files)
    if (difference := same_grid(image, label)) is not None:
        raise ImageError(f"case {files.case_id}: {difference}")
    return class_indices(Canonical.of(image).apply(label.as_tensor()), plan)


def _resized(classes: Tensor, plan: Plan, prepared: Tensor) -> Tensor:
    return resize_label(classes, prepared.shape[1:], range(len(plan.class_values))).contiguous()


def prepare_image(plan: Plan, image: MetaTensor, box: Box | None = None) -> Tensor:
    """Turns, resamples and normalises an image; in a 2D plan of volumes, within the slices.

    Args:
        box: what of the image in canonical order to prepare, normalised as part of the whole; default all.

    Raises:
        ImageError: other channels or dimensions than planned, another scale by far, one value in all voxels, or values
            that cannot be normalised.
    """
    dims = image.ndim - 1
    expected = 3 if plan.slice_axis is not None else plan.spatial_dims
    if image.shape[0] != plan.channels or dims != expected:
        raise ImageError(
            f"the image is {kind_words(dims, image.shape[0])}, those trained on are "
            f"{kind_words(expected, plan.channels)}"
        )
    if (value := blank_value(image)) is not None:
        raise ImageError(blank_words(value))
    turn = Canonical.of(image)
    turned = turn.apply(image.as_tensor())
    spacing = turn.turn(spacing_of(image))
    if box is None:
        shape = prepared_shape(plan, tuple(turned.shape[1:]), spacing)
        _require_scale(plan, shape)
        prepared = plan.intensity.apply(resize_image(turned, shape)).contiguous()
    else:
        in_box = (slice(None), *box)
        part = plan.intensity.apply(turned)[in_box]
        prepared = resize_image(part, prepared_shape(plan, tuple(part.shape[1:]), spacing)).contiguous()
    if not bool(torch.isfinite(prepared.amin()) & torch.isfinite(prepared.amax())):
        raise ImageError(
            f"the image's values, from {float(image.amin()):.3g} to {float(image.amax()):.3g}, cannot be normalised"
        )
    return prepared


def _require_scale(plan: Plan, shape: tuple[int, ...]) -> None:
    """Refuses what would take the memory of thousands of cases, or be a few voxels of one."""
    inside = [n for axis, n in enumerate(shape) if axis != plan.slice_axis]
    apart = math.prod(inside) / math.prod(plan.median_shape)
    if not 1 / MOST_APART <= apart <= MOST_APART:
        raise ImageError(
            f"the image would have {' x '.join(map(str, inside))} voxels on the common grid, where the training cases "
            f"have about {' x '.join(map(str, plan.median_shape))}; correct the voxel size in its header"
        )


def prepared_shape(plan: Plan, shape: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[int, ...]:
    """The shape on the plan's grid of a canonical image of this shape and spacing."""
    target = list(plan.spacing)
    if plan.slice_axis is not None:
        target.insert(plan.slice_axis, spacing[plan.slice_axis])
    return shape_at(shape, spacing, target)


def class_indices(label: Tensor, plan: Plan) -> Tensor:
    """Label values to class indices; values that are no structure of the plan are background."""
    classes = {value: index for index, value in enumerate(plan.class_values)}
    return torch.from_numpy(exchanged(label.numpy(), classes))


def preparation_hash(plan: Plan) -> str:
    """Identifies everything in a plan that changes a prepared case."""
    parts = [_VERSION, plan.spatial_dims, plan.spacing, plan.channels, plan.class_values, plan.slice_axis]
    if plan.margin_mm is not None:
        parts += [plan.margin_mm, plan.patch]
    text = json.dumps([*parts, asdict(plan.intensity)])
    return hashlib.sha256(text.encode()).hexdigest()


def foreground_points(label: Tensor, classes: int) -> list[Points]:
    """For each class but the background, at most 4096 voxels `(N, D)` of a label `(1, *S)`."""
    return by_class(foreground_table(label, classes), classes)


def by_class(table: Points, classes: int) -> list[Points]:
    """The rows of `foreground_table` of each class but the background, without their class."""
    return [table[table[:, 0] == index, 1:] for index in range(1, classes)]


def foreground_table(label: Tensor, classes: int) -> Points:
    """Rows (class, *voxel), at most 4096 per class, evenly spaced in scan order."""
    array = label[0].numpy()
    rows = [np.zeros((0, 1 + array.ndim), dtype=int)]
    for index, box in enumerate(ndimage.find_objects(array, classes - 1), start=1):
        if box is None:
            continue
        part = array[box]  # as many structures, as many small boxes
        flat = np.flatnonzero(part == index)
        flat = flat[np.unique(np.linspace(0, len(flat) - 1, min(len(flat), _POINTS_PER_CLASS)).astype(int))]
        voxels = np.stack(np.unravel_index(flat, part.shape), axis=1) + [side.start for side in box]
        rows.append(np.concatenate([np.full((len(voxels), 1), index), voxels], axis=1))
    return np.concatenate(rows).astype(np.int32)
