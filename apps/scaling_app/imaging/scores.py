"""How well a predicted label map agrees with a reference, per structure.

Dice is the overlap; NSD the share of both surfaces that lies within a tolerance (mm) of the other
(Nikolov et al., J Med Internet Res 23:e26151, 2021); HD95 the larger of both 95th percentiles of surface
distance (mm). MONAI's definitions throughout; a volume of a single slice is scored as a picture. A score is None where
it is undefined: nothing is scored for a structure that the reference does not hold; a prediction of it there is a
hallucination.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from monai.metrics import compute_dice
from monai.metrics.utils import get_edge_surface_distance
from scipy import ndimage
from torch import Tensor

from scaling_app.imaging.label_numbers import numbered

_MARGIN = 1


@dataclass(frozen=True)
class StructureScore:
    """The scores of one structure in one case; None where a score is undefined.

    `missed`: in the reference and not predicted at all (Dice and NSD 0, HD95 undefined).
    `hallucinated`: predicted although the reference holds none of it.
    """

    structure: str
    dice: float | None
    nsd: float | None
    nsd_tolerance_mm: float
    hd95_mm: float | None
    bce: float | None
    missed: bool
    hallucinated: bool


def score_case(
    prediction: Tensor,
    reference: Tensor,
    structures: Mapping[str, int],
    spacing_mm: Sequence[float],
    tolerance_mm: float = 2.0,
    probabilities: Tensor | Mapping[str, float] | None = None,
) -> list[StructureScore]:
    """Scores each structure of a case.

    Args:
        prediction: label values `(1, *S)`.
        reference: label values `(1, *S)` on the same grid.
        structures: name to label value.
        spacing_mm: voxel size per axis.
        tolerance_mm: distance within which two surfaces agree.
        probabilities: `(1 + len(structures), *S)`, background first and structures in ascending order of
            their values; or the cross-entropy of each structure when it is known already.

    Raises:
        ValueError: shapes differ, or the spacing or tolerance is not positive.
    """
    if prediction.shape != reference.shape:
        raise ValueError(
            f"prediction {tuple(prediction.shape)} and reference {tuple(reference.shape)} differ"
        )
    if len(spacing_mm) != reference.ndim - 1 or min(spacing_mm) <= 0 or tolerance_mm < 0:
        raise ValueError(f"spacing {tuple(spacing_mm)} and tolerance {tolerance_mm} mm must be positive")
    losses = probabilities
    if isinstance(probabilities, Tensor):
        losses = _cross_entropies(probabilities, reference, structures)
    maps = [numbered(label[0].numpy(), list(structures.values())) for label in (prediction, reference)]
    found = zip(*(ndimage.find_objects(numbers, len(structures)) for numbers in maps), strict=True)
    scores = []
    for number, (name, boxes) in enumerate(zip(structures, found, strict=True), start=1):
        bce = (losses or {}).get(name)
        if None in boxes:
            scores.append(
                _without_overlap(name, boxes[0] is not None, boxes[1] is not None, tolerance_mm, bce)
            )
            continue
        box = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(*boxes, strict=True))
        masks = (torch.from_numpy(numbers[box] == number) for numbers in maps)
        dice, nsd, hd95 = _agreement(*masks, _extended_axes(reference.shape[1:]), spacing_mm, tolerance_mm)
        scores.append(StructureScore(name, dice, nsd, tolerance_mm, hd95, bce, False, False))
    return scores


def binary_cross_entropy(probability: Tensor, mask: Tensor) -> float:
    """Mean over voxels of the cross-entropy of one structure's probability `(*S)` against its mask."""
    total = 0.0
    for part, inside in zip(
        probability.split(32), mask.split(32), strict=True
    ):  # no copies of a whole volume
        chosen = torch.where(inside, part, 1 - part).float().clamp_min_(1e-6).log_()
        total -= float(chosen.sum(dtype=torch.float64))
    return total / mask.numel()


def mean_dice(scores: Sequence[StructureScore]) -> float | None:
    """The mean of the Dice scores that are defined."""
    values = [score.dice for score in scores if score.dice is not None]
    return sum(values) / len(values) if values else None


def _cross_entropies(
    probabilities: Tensor, reference: Tensor, structures: Mapping[str, int]
) -> dict[str, float]:
    if probabilities.shape != (1 + len(structures), *reference.shape[1:]):
        raise ValueError(
            f"probabilities {tuple(probabilities.shape)} do not fit background and {len(structures)} structures "
            f"on {tuple(reference.shape[1:])}"
        )
    ordered = sorted(structures, key=structures.__getitem__)
    return {
        name: binary_cross_entropy(probabilities[index], reference[0] == structures[name])
        for index, name in enumerate(ordered, start=1)
    }


def _without_overlap(
    name: str, is_predicted: bool, is_there: bool, tolerance_mm: float, bce: float | None
) -> StructureScore:
    """The scores of a structure that one of the two maps does not hold, or both."""
    score = 0.0 if is_there else None
    return StructureScore(name, score, score, tolerance_mm, None, bce, is_there, is_predicted)


def _agreement(
    predicted: Tensor, true: Tensor, axes: Sequence[int], spacing_mm: Sequence[float], tolerance_mm: float
) -> tuple[float, float | None, float | None]:
    """Dice, NSD and HD95 of two masks `(*S)`, along these axes; the others are of length 1."""
    predicted, true = (
        mask.squeeze(tuple(_others(axes, mask.ndim)))[None, None] for mask in (predicted, true)
    )
    dice = float(compute_dice(predicted.float(), true.float()))
    return dice, *_surface_scores(predicted, true, [spacing_mm[axis] for axis in axes], tolerance_mm)


def _extended_axes(shape: Sequence[int]) -> list[int]:
    """The axes of a grid but those of length 1, and at least two: a single slice has an outline, no faces."""
    single = [axis for axis, n in enumerate(shape) if n == 1][: max(0, len(shape) - 2)]
    return _others(single, len(shape))


def _others(axes: Sequence[int], dims: int) -> list[int]:
    return [axis for axis in range(dims) if axis not in axes]


def _surface_scores(
    predicted: Tensor, true: Tensor, spacing_mm: Sequence[float], tolerance_mm: float
) -> tuple[float | None, float | None]:
    """NSD and HD95 from one pass over the surfaces; equal to MONAI's two metrics."""
    pads = [_MARGIN] * (2 * len(spacing_mm))
    predicted = torch.nn.functional.pad(predicted[0, 0], pads)
    true = torch.nn.functional.pad(true[0, 0], pads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 passes itself a deprecated argument
        _, (there, back), _ = get_edge_surface_distance(
            predicted,
            true,
            distance_metric="euclidean",
            spacing=[float(x) for x in spacing_mm],
            symmetric=True,
        )
    within = int((there <= tolerance_mm).sum()) + int((back <= tolerance_mm).sum())
    nsd = within / (len(there) + len(back))
    hd95 = max(_quantile95(there), _quantile95(back))
    return nsd, hd95 if math.isfinite(hd95) else None


def _quantile95(distances: Tensor) -> float:
    # torch.quantile refuses more than 16 million values
    values = torch.sort(distances.double().flatten()).values
    position = 0.95 * (len(values) - 1)
    low = math.floor(position)
    high = min(low + 1, len(values) - 1)
    return float(values[low] + (position - low) * (values[high] - values[low]))
