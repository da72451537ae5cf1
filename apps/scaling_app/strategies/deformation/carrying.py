"""Labels carried over to images of the pool: the registered group used as an atlas.

The labelled cases, brought to the template, give the share of each structure at every point; the registration
of an image without a label brings these shares to it, and the most frequent class is its label. Such a label
is as good as the registration, but it comes with a real image that nobody has labelled. How good that is, the
labelled cases tell: each is left out in turn with all of its patient's, registered by its image alone to what the
others make of the template, and its carried label compared with its own.

Sources: Iglesias and Sabuncu, "Multi-atlas segmentation of biomedical images: a survey", Medical Image
Analysis 2015; Zhao et al., "Data augmentation using learned transformations for one-shot medical image
segmentation", CVPR 2019 (training on what registration to unlabelled images yields).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from scaling_app.imaging.label_numbers import smallest_type
from scaling_app.strategies.base import PreparedCase
from scaling_app.strategies.deformation.alignment import Frame, Placement, resample
from scaling_app.strategies.deformation.atlas import Registered
from scaling_app.strategies.deformation.group import Group
from scaling_app.strategies.deformation.interpolation import FieldReader
from scaling_app.strategies.deformation.registration import warp
from scaling_app.strategies.deformation.velocity import Lattice

logger = logging.getLogger(__name__)

CHECKED = 10
"""Labelled cases, at most, that are left out in turn to see how good carried labels are; each costs a registration."""
MOST_VOXELS = 2**28
"""Carried labels are kept in memory; images beyond this many voxels in all are left out."""


def carry_labels(
    group: Group, labelled: Sequence[PreparedCase], pool: Sequence[PreparedCase], values: Sequence[int]
) -> list[PreparedCase]:
    """The pool's registered images, each under a label carried to it from the labelled cases.

    Args:
        group: the registered fold.
        labelled: its labelled cases.
        pool: the images that the group was drawn from; none but the registered ones is opened.
        values: the structures' values.

    Returns:
        As many as memory allows; an image whose label cannot be carried is left out.
    """
    shares = _shares(group.frame, labelled, group.labelled, values)
    found, voxels = [], 0
    for case_id, registered in group.unlabelled.items():
        try:
            case = pool[group.drawn[case_id]]
            voxels += case.image[0].numel()
            if voxels > MOST_VOXELS:
                break
            found.append(_carry(group.frame, shares, case, registered, values))
        except (ValueError, ArithmeticError, RuntimeError, OSError) as error:
            logger.warning("no label is carried to %s: %s", case_id, error)
    return found


def left_out_dice(group: Group, labelled: Sequence[PreparedCase], values: Sequence[int]) -> float | None:
    """Mean Dice of labels carried to labelled cases from the others, over cases and their structures.

    Args:
        group: the registered fold, with some cases left out.
        labelled: its labelled cases.
        values: the structures' values.

    Returns:
        None where no case can be compared, since there is no other patient or it has no structure.
    """
    scores = []
    for case in labelled:
        if case.case_id not in group.left_out:
            continue
        atlas, registered = group.left_out[case.case_id]
        shares = _shares(group.frame, labelled, atlas.members, values)
        carried = _carry(group.frame, shares, case, registered, values)
        scores += dice_of(carried, case, values)
    return sum(scores) / len(scores) if scores else None


def dice_of(carried: PreparedCase, own: PreparedCase, values: Sequence[int]) -> list[float]:
    """Dice of a case under a carried label, for each structure that its own label has."""
    pairs = [(own.known_label == value, carried.known_label == value) for value in values]
    return [float(2 * (a & b).sum() / (a.sum() + b.sum())) for a, b in pairs if a.any()]


def _carry(
    frame: Frame, shares: Tensor, case: PreparedCase, registered: Registered, values: Sequence[int]
) -> PreparedCase:
    """The case's image under the most frequent class of `shares (len(values), *G)`, brought onto it."""
    brought = warp(shares, registered.velocity, frame.nodes, frame.grid.shape)
    label = _most_frequent(brought, registered.placement, frame.grid, case.image.shape[1:], values)
    return PreparedCase(case.case_id, case.patient, case.image, label[None])


def _shares(
    frame: Frame, labelled: Sequence[PreparedCase], around: Mapping[str, Registered], values: Sequence[int]
) -> Tensor:
    """Share `(len(values), *G)` of the registered cases that have each structure at a point of the template."""
    there = [case for case in labelled if case.case_id in around]
    brought = (_brought(frame, case, around[case.case_id], values) for case in there)
    return sum(brought, torch.zeros(())) / len(there)


def _brought(frame: Frame, case: PreparedCase, registered: Registered, values: Sequence[int]) -> Tensor:
    """A labelled case's structures `(len(values), *G)`, each 0 to 1, brought to the template."""
    masks = [resample((case.known_label == v).float(), registered.placement, frame.grid)[0] for v in values]
    return warp(torch.cat(masks), -registered.velocity, frame.nodes, frame.grid.shape)


def _most_frequent(
    shares: Tensor, placement: Placement, grid: Lattice, shape: Sequence[int], values: Sequence[int]
) -> Tensor:
    """The most frequent class `(*S)` at every voxel, 0 where none is or outside the frame."""
    read = FieldReader(shares)
    classes = torch.from_numpy(np.array([0, *values], dtype=smallest_type(max(values, default=0))))
    origin, extent = torch.tensor(grid.origin_mm), torch.tensor(grid.extent_mm)
    offset, matrix = torch.tensor(placement.offset_mm), placement.matrix
    plane = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in shape[1:]], indexing="ij"), dim=-1)
    planes = []
    for first in range(shape[0]):
        points = torch.cat([torch.full((*plane.shape[:-1], 1), float(first)), plane], dim=-1)
        unit = 2 * (points.reshape(-1, len(shape)) @ matrix.T + offset - origin) / extent - 1
        here = read(unit.T.flip(0).contiguous()) * (unit.abs() <= 1).all(dim=1)
        background = 1 - here.sum(dim=0, keepdim=True)
        planes.append(classes[torch.cat([background, here]).argmax(dim=0)].reshape(plane.shape[:-1]))
    return torch.stack(planes)
