"""Values of label maps are exchanged alike however many there are, whatever type and shape the map has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_app.imaging.label_numbers import exchanged, numbered, smallest_type, voxel_counts

SHAPES = st.sampled_from([(7,), (1, 5), (1, 1, 3, 4), (3, 4, 5), (1, 6, 1, 2), (0, 3)])
KINDS = st.sampled_from([np.uint8, np.int16, np.uint16, np.int32, np.int64])


@given(
    shape=SHAPES,
    kind=KINDS,
    others=st.dictionaries(
        st.integers(0, 2**31 - 1) | st.integers(0, 300), st.integers(0, 70000), max_size=6
    ),
    seed=st.integers(0, 99),
)
def test_each_value_becomes_the_other_and_all_else_0(shape, kind, others, seed) -> None:
    rng = np.random.default_rng(seed)
    there = [value for value in (*others, 0, 1, 7, 255) if value <= np.iinfo(kind).max]
    label = rng.choice(np.array(there), size=shape).astype(kind)
    expected = np.zeros(shape, np.int64)
    for value, other in others.items():
        expected[label == value] = other
    found = exchanged(label, others)
    assert np.array_equal(found, expected) and found.shape == shape
    assert found.dtype == smallest_type(max(others.values(), default=0))


def test_a_turned_map_and_a_mask_are_taken_too() -> None:
    label = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    turned = np.moveaxis(label, 0, 2)[::-1]
    assert np.array_equal(exchanged(turned, {5: 1, 23: 300}), (turned == 5) + 300 * (turned == 23))
    assert exchanged(label > 20, {1: 4}).sum() == 12


@pytest.mark.parametrize("count", [3, 300])
def test_values_are_numbered_in_the_order_given(count: int) -> None:
    values = [7 * n + 5 for n in reversed(range(count))]
    label = np.array([values, values[::-1]], dtype=np.int32)
    assert numbered(label, values)[0].tolist() == list(range(1, count + 1))
    counts = voxel_counts(numbered(label, values), count)
    assert counts.tolist() == [0] + [2] * count
