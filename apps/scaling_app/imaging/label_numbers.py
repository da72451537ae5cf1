"""Label maps with their values exchanged, in passes over the voxels that do not grow with the number of structures.

Memory beside the two maps is that of one slab, the first index of a volume.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LARGEST_TABLE = 65536


def smallest_type(highest: int) -> type[np.integer[Any]]:
    """The smallest type that holds label values up to this one; PyTorch has all of them, too."""
    return np.uint8 if highest <= 255 else np.int16 if highest <= 32767 else np.int32


def exchanged(label: NDArray[np.integer[Any]], others: Mapping[int, int]) -> NDArray[np.integer[Any]]:
    """A label map `(*S)` with other values, 0 where a voxel's value has no other; the smallest type that holds them.

    Args:
        label: values of at least 0, or a mask, in any number of dimensions.
        others: value in `label` to value in the answer, both at least 0.
    """
    label = label.view(np.uint8) if label.dtype.kind == "b" else label
    keys = np.array(sorted(others), dtype=np.int64)
    values = np.array(
        [others[int(key)] for key in keys], dtype=smallest_type(max(others.values(), default=0))
    )
    answer = np.zeros(label.shape, dtype=values.dtype)
    if not len(keys):
        return answer
    table = _table(keys, values, label.dtype)
    for slab, out in zip(
        label.reshape(_slabs(label.shape)), answer.reshape(_slabs(label.shape)), strict=True
    ):
        if table is not None:
            np.take(table, slab, out=out)
        else:
            place = np.searchsorted(keys, slab).clip(max=len(keys) - 1)
            out[...] = np.where(keys[place] == slab, values[place], 0)
    return answer


def numbered(label: NDArray[np.integer[Any]], values: Sequence[int]) -> NDArray[np.integer[Any]]:
    """1 where the label holds the first of the values, 2 for the second, ..., 0 elsewhere."""
    return exchanged(label, {value: number for number, value in enumerate(values, start=1)})


def voxel_counts(label: NDArray[np.integer[Any]], highest: int) -> NDArray[np.int64]:
    """How many voxels hold 0, 1, ..., `highest`."""
    counts = np.zeros(highest + 1, dtype=np.int64)
    for slab in label.reshape(_slabs(label.shape)):
        counts += np.bincount(slab, minlength=highest + 1)
    return counts


def _table(
    keys: NDArray[np.int64], values: NDArray[np.integer[Any]], kind: np.dtype[Any]
) -> NDArray[np.integer[Any]] | None:
    """The answer for every value that a label of this type may hold; None where that were a large table."""
    size = int(np.iinfo(kind).max) + 1
    if size > _LARGEST_TABLE:
        return None
    table = np.zeros(size, dtype=values.dtype)
    table[keys[keys < size]] = values[keys < size]
    return table


def _slabs(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows of a map: the leading indices up to the first that is not 1, times all that follows."""
    rows = 1
    for n in shape[:-1]:
        rows *= n
        if n > 1:
            break
    return rows, int(np.prod(shape, dtype=np.int64)) // max(rows, 1)
