"""What may be wrong with a label that was just saved, each finding a sentence for the person who saved it.

Pure functions of a label's voxel counts, its grid and what the client said about it. A label that
cannot be used at all (other shape, structure nobody knows) is an error and is not stored; a label that
looks wrong is stored, flagged, and left out of trainings and curves until somebody confirms it.

The stock Slicer module numbers segments by their place in the list: when one is deleted or moved, every
later class silently changes its value. `label_info` (names and places of the segments sent) against the
lasting value of each structure shows it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from scaling_app.imaging.grids import Grid
from scaling_app.imaging.label_fit import fit_label, with_axes_of
from scaling_app.imaging.segmentation_nrrd import HIGHEST
from scaling_app.ledger.records import Doubt
from scaling_app.studies.structures import placeholder

OUTLIER_Z = 4.0
"""Robust z of the log volume from which a structure's volume is called far outside the others."""

OUTLIER_FROM = 5
"""Other cases with the structure needed before its volume is judged."""

_SMALLEST_SPREAD = math.log(1.25)
"""Volumes within a factor of 1.25 of the median are never far outside, however alike the others are."""

MOST_NEW_VALUES = 64
"""More values than this that no structure has, in one label, are an image's intensities and no structures."""

HIGHEST_NEW_VALUE = 255
"""Values above it are taken for intensities unless a structure has them."""

LONGEST_NAME = 200
"""Characters of a structure's name: every answer of the server holds it."""

SETTLED_FROM = 3
"""Other usable labels from which on a structure that none of them has is a doubt."""


class LabelError(ValueError):
    """A label that is not stored; the message says why and what to do."""


def count_values(label: NDArray[np.generic]) -> dict[int, int]:
    """Voxels per label value, 0 left out.

    Counts slab by slab, so that a large label never keeps the interpreter from other requests for more
    than a few milliseconds.

    Args:
        label: `(*S)` of whole numbers, in any number type.

    Raises:
        LabelError: values that are not whole numbers, negative or above 65535.
    """
    total = np.zeros(0, dtype=np.int64)
    flat = label.reshape(-1) if label.flags.c_contiguous else label.ravel(order="K")
    for start in range(0, flat.size, 1 << 18):
        slab = flat[start : start + (1 << 18)]
        if slab.dtype.kind == "f":
            whole = np.rint(slab)
            if not np.array_equal(whole, slab):
                raise LabelError("The label holds values that are not whole numbers; save it as a label map.")
            slab = whole
        if slab.size and (slab.min() < 0 or slab.max() > 65535):
            raise LabelError("The label holds values outside 0..65535; save it as a label map.")
        counts = np.bincount(slab.astype(np.int64, copy=False))
        if counts.size > total.size:
            total = np.pad(total, (0, counts.size - total.size))
        total[: counts.size] += counts
    return {int(value): int(total[value]) for value in np.flatnonzero(total) if value > 0}


def parse_label_info(raw: object) -> list[tuple[str, int]]:
    """The client's `label_info` as `(name, idx)` pairs, background left out; junk entries are dropped.

    Slicer calls the value `idx`, the OHIF viewer `segmentIndex`.
    """
    pairs: list[tuple[str, int]] = []
    for item in raw if isinstance(raw, list) else []:
        if not isinstance(item, Mapping):
            continue
        name = str(item.get("name") or "").strip()
        idx = item.get("idx", item.get("segmentIndex"))
        if name and name.lower() != "background" and isinstance(idx, int) and 0 < idx <= HIGHEST:
            pairs.append((name, idx))
    return pairs


def require_short(names: Sequence[tuple[str, int]]) -> None:
    """Raises `LabelError` when a structure's name is longer than any list could show."""
    for name, value in names:
        if len(name) > LONGEST_NAME:
            raise LabelError(
                f"The structure with the value {value} has a name of {len(name):,} characters ({name[:40]!r}...); give it "
                f"one of at most {LONGEST_NAME} and save again."
            )


def require_same_shape(label: Grid, image: Grid) -> None:
    """Raises `LabelError` unless label and image have the same voxels, a last axis of one slice aside."""
    if with_axes_of(label, image).shape != image.shape:
        raise LabelError(_shape_sentence(label, image))


def require_alike(label: Sequence[int], image: Sequence[int]) -> None:
    """Raises `LabelError` unless the axes of a label and its image are as long, in whatever order; ones do not count."""
    if sorted(n for n in label if n > 1) != sorted(n for n in image if n > 1):
        raise LabelError(_voxels_sentence(label, image))


def require_known(label_info: Sequence[tuple[str, int]], structures: Mapping[str, int]) -> None:
    """Raises `LabelError` when `label_info` names a structure that this task does not have."""
    strange = [name for name, _ in label_info if name not in structures]
    if strange:
        raise LabelError(
            f"Unknown structure {', '.join(map(repr, strange))}; this task has: {', '.join(structures)}. "
            "Rename or remove the segment and save again."
        )


def check_geometry(label: Grid, image: Grid) -> list[Doubt]:
    """Whether the label fits the image (see `fit_label`): the same voxels, at the same place."""
    if fit_label(label, image) is not None:
        return []
    flat = with_axes_of(label, image)
    if flat.shape != image.shape:
        return [Doubt("geometry", _shape_sentence(label, image))]
    return [
        Doubt(
            "geometry",
            f"The label lies up to {image.apart_mm(flat.affine):.1f} mm away from its image (origin, spacing or "
            "orientation differ); export it with the image as reference and save it again.",
        )
    ]


def check_values(counts: Mapping[int, int], structures: Mapping[str, int]) -> list[Doubt]:
    """Empty labels and values that no structure has."""
    if not counts:
        return [Doubt("empty", "The label is empty: no voxel belongs to a structure.")]
    strange = sorted(set(counts) - set(structures.values()))
    if not strange:
        return []
    known = ", ".join(f"{name}={value}" for name, value in structures.items())
    return [
        Doubt(
            "unknown_value",
            f"The label holds the value{'s' if len(strange) > 1 else ''} {', '.join(map(str, strange))}, "
            f"which no structure has ({known}).",
        )
    ]


def check_new_values(
    counts: Mapping[int, int], structures: Mapping[str, int], n_others: int, names: Mapping[int, str]
) -> list[Doubt]:
    """Whether values that no structure has yet may become structures.

    Args:
        structures: those known before this label.
        n_others: how many other labels are usable.
        names: what the client calls its values.
    """
    new = sorted(set(counts) - set(structures.values()))
    if len(new) > MOST_NEW_VALUES or (new and new[-1] > HIGHEST_NEW_VALUE):
        return [
            Doubt(
                "not_a_label_map",
                f"The label holds {len(new)} value{'s' if len(new) > 1 else ''} that no structure has, up to "
                f"{new[-1]}: it looks like an image, not like a label map. Save the label map; if these are "
                "structures, name them with --conf labels and start the server again.",
            )
        ]
    if not new or n_others < SETTLED_FROM:
        return []
    listed = ", ".join(f"{value} ({names[value]!r})" if value in names else str(value) for value in new)
    return [
        Doubt(
            "new_structure",
            f"The label holds the value{'s' if len(new) > 1 else ''} {listed}: a structure that no other "
            "label has. Remove it and save again, or confirm the label if the structure is new.",
        )
    ]


def check_label_info(
    label_info: Sequence[tuple[str, int]], counts: Mapping[int, int], structures: Mapping[str, int]
) -> list[Doubt]:
    """Whether names and voxels tell the same story as the task's lasting values.

    A client means by `idx` either the voxel value, or, as the stock Slicer module, the segment's place
    in a list from which some were skipped (then the k-th segment sent has value k). Every reading under
    which all voxels have a name must agree with the structures.
    """
    if not label_info or not counts:
        return []
    in_order = [name for name, _ in sorted(label_info, key=lambda pair: pair[1])]
    readings = [
        {idx: name for name, idx in label_info},
        dict(enumerate(in_order, start=1)),
    ]
    possible = [reading for reading in readings if set(counts) <= set(reading)]
    if not possible:
        sent = ", ".join(f"{name}={idx}" for name, idx in label_info)
        found = ", ".join(map(str, sorted(counts)))
        return [
            Doubt("label_info", f"The segments sent ({sent}) do not name the values in the label ({found}).")
        ]
    by_name = {name: value for name, value in structures.items() if name != placeholder(value)}
    by_value = {value: name for name, value in by_name.items()}
    for reading in possible:
        wrong = [
            v
            for v in sorted(counts)
            if by_value.get(v, reading[v]) != reading[v] or by_name.get(reading[v], v) != v
        ]
        if wrong:
            value, name = wrong[0], reading[wrong[0]]
            means = (
                f"Value {value} means {by_value[value]!r} in this task"
                if value in by_value
                else f"{name!r} has the value {by_name[name]} in this task"
            )
            return [
                Doubt(
                    "permuted",
                    f"{means}, but the segment sent with value {value} is {name!r}: a segment was probably deleted or "
                    f"moved. Put the segments in the order {', '.join(sorted(structures, key=structures.__getitem__))} "
                    "and save again.",
                )
            ]
    return []


def check_volumes(volumes_ml: Mapping[str, float], others_ml: Mapping[str, Sequence[float]]) -> list[Doubt]:
    """Structures whose volume is far outside the other cases' (robust z of the log volume).

    Args:
        volumes_ml: volume of each structure in this label, ml; absent structures left out.
        others_ml: the same of the other cases.
    """
    doubts = []
    for name, volume in volumes_ml.items():
        others = [math.log(v) for v in others_ml.get(name, ()) if v > 0]
        if len(others) < OUTLIER_FROM or volume <= 0:
            continue
        middle = statistics.median(others)
        spread = max(1.4826 * statistics.median(abs(v - middle) for v in others), _SMALLEST_SPREAD)
        if abs(math.log(volume) - middle) / spread > OUTLIER_Z:
            doubts.append(
                Doubt(
                    "volume",
                    f"{name} has {volume:.3g} ml here; in the other {len(others)} cases it has about "
                    f"{math.exp(middle):.3g} ml. Please look at it again, or confirm it.",
                )
            )
    return doubts


def _shape_sentence(label: Grid, image: Grid) -> str:
    return _voxels_sentence(label.shape, image.shape)


def _voxels_sentence(label: Sequence[int], image: Sequence[int]) -> str:
    return (
        f"The label has {_by(label)} voxels, its image {_by(image)}; "
        "export the label on the grid of the image and save it again."
    )


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
