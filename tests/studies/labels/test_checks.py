"""What is said about a label when it is saved."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from scaling_app.imaging.grids import Grid
from scaling_app.ledger import LASTING_DOUBTS
from scaling_app.studies.conf import ConfError
from scaling_app.studies.labels import intake
from scaling_app.studies.labels.checks import (
    LabelError,
    check_geometry,
    check_label_info,
    check_new_values,
    check_values,
    check_volumes,
    count_values,
    parse_label_info,
    require_known,
    require_same_shape,
)
from scaling_app.studies.labels.images import ODD_IMAGE, UNREADABLE_IMAGE
from scaling_app.studies.structures import renamed, still_held, with_conf, with_label

STRUCTURES = {"anterior": 1, "posterior": 2}


def kinds(doubts):
    return [doubt.kind for doubt in doubts]


@settings(max_examples=50, deadline=None)
@given(
    arrays.arrays(
        np.uint8, arrays.array_shapes(min_dims=2, max_dims=3, max_side=9), elements=st.integers(0, 5)
    )
)
def test_voxels_are_counted_per_value(label):
    values, counts = np.unique(label, return_counts=True)
    expected = {int(v): int(c) for v, c in zip(values, counts, strict=True) if v > 0}
    assert count_values(label) == expected
    assert count_values(np.asfortranarray(label).astype(np.float32)) == expected


def test_counting_goes_on_over_many_slabs():
    label = np.zeros((300, 300, 9), dtype=np.uint8)
    label[150:, 10, :] = 7
    assert count_values(label) == {7: 150 * 9}


@pytest.mark.parametrize("value", [0.5, -1, 70000])
def test_what_is_no_label_map_is_refused(value):
    with pytest.raises(LabelError, match="label map"):
        count_values(np.full((3, 3), value, dtype=np.float64))


def test_empty_and_strange_values():
    assert kinds(check_values({}, STRUCTURES)) == ["empty"]
    assert kinds(check_values({1: 5, 9: 1}, STRUCTURES)) == ["unknown_value"]
    assert check_values({1: 5}, STRUCTURES) == []


@pytest.mark.parametrize(
    ("sent", "voxels", "expected"),
    [
        ([("anterior", 1), ("posterior", 2)], {1, 2}, []),
        ([("posterior", 2)], {2}, []),  # the other one is absent
        ([("posterior", 2), ("anterior", 1)], {1, 2}, []),
        ([("posterior", 1)], {1}, ["permuted"]),  # stock Slicer after deleting "anterior"
        ([("posterior", 1), ("anterior", 2)], {1, 2}, ["permuted"]),  # after moving a segment
        ([("anterior", 2), ("posterior", 3)], {1, 2}, []),  # a skipped segment came first
        ([("anterior", 2), ("posterior", 3)], {2}, ["permuted"]),  # the same, but it cannot be told
        ([("anterior", 1)], {1, 2}, ["label_info"]),  # voxels that nobody named
        ([], {1, 2}, []),
    ],
)
def test_names_and_voxels_must_tell_the_same_story(sent, voxels, expected):
    assert kinds(check_label_info(sent, dict.fromkeys(voxels, 10), STRUCTURES)) == expected


@pytest.mark.parametrize(
    ("values", "others", "expected"),
    [
        ([1, 2], 9, []),
        ([1, 7], 2, []),  # the first labels say what there is
        ([1, 7], 3, ["new_structure"]),
        (range(1, 67), 0, []),
        (range(1, 68), 0, ["not_a_label_map"]),
        ([1, 256], 0, ["not_a_label_map"]),
        ([1, 255], 0, []),
    ],
)
def test_new_values_become_structures_only_where_that_is_plausible(values, others, expected):
    assert kinds(check_new_values(dict.fromkeys(values, 5), STRUCTURES, others, {})) == expected


def test_doubts_that_no_confirmation_settles_are_those_that_stop_a_training():
    grid, other = Grid((4, 4, 4), np.eye(4)), Grid((4, 4, 3), np.eye(4))
    doubts = [*check_geometry(other, grid), *check_new_values({999: 1}, {}, 0, {})]
    assert {*kinds(doubts), intake.UNREADABLE, UNREADABLE_IMAGE, ODD_IMAGE} == set(LASTING_DOUBTS)


def test_the_sentence_says_what_to_do():
    (doubt,) = check_label_info([("posterior", 1)], {1: 9}, STRUCTURES)
    assert (
        "'anterior'" in doubt.sentence and "'posterior'" in doubt.sentence and "save again" in doubt.sentence
    )


def test_geometry_in_millimetres():
    image = Grid((10, 10, 10), np.diag([1.0, 1.0, 2.0, 1.0]))
    moved = image.affine.copy()
    moved[0, 3] = 30
    assert check_geometry(image, image) == []
    assert kinds(check_geometry(Grid((10, 10, 10), moved), image)) == ["geometry"]
    assert kinds(check_geometry(Grid((10, 10, 10), np.diag([-1.0, 1, 2, 1])), image)) == ["geometry"]
    rounded = image.affine + 1e-3
    rounded[-1] = image.affine[-1]
    assert check_geometry(Grid((10, 10, 10), rounded), image) == []


def test_another_shape_is_refused_with_both_shapes():
    image, label = Grid((10, 10, 10), np.eye(4)), Grid((10, 10, 9), np.eye(4))
    with pytest.raises(LabelError, match="10 x 10 x 9 voxels, its image 10 x 10 x 10"):
        require_same_shape(label, image)


def test_an_unknown_structure_is_refused():
    with pytest.raises(LabelError, match="Unknown structure 'tumour'"):
        require_known([("anterior", 1), ("tumour", 3)], STRUCTURES)


def test_a_volume_far_outside_the_others():
    others = {"anterior": [1.0, 1.2, 0.9, 1.1, 1.05]}
    assert check_volumes({"anterior": 1.4}, others) == []
    assert kinds(check_volumes({"anterior": 9.0}, others)) == ["volume"]
    assert kinds(check_volumes({"anterior": 0.01}, others)) == ["volume"]
    assert check_volumes({"anterior": 9.0}, {"anterior": [1.0] * 4}) == []
    assert check_volumes({"anterior": 1.3}, {"anterior": [1.0] * 20}) == []


def test_voxel_volume_in_millilitres():
    assert Grid((4, 4, 4), np.diag([2.0, 5.0, 10.0, 1.0])).voxel_ml == pytest.approx(0.1)


def test_label_info_from_any_client():
    raw = [
        {"name": "background", "idx": 0},
        {"name": "a", "idx": 1},
        {"name": "", "idx": 2},
        "junk",
        {"idx": 3},
        {"name": "b", "segmentIndex": 4, "labelmapIndex": 0},  # the OHIF viewer
    ]
    assert parse_label_info(raw) == [("a", 1), ("b", 4)]
    assert parse_label_info(None) == []


def test_values_keep_their_meaning_as_labels_come():
    first = with_label({}, [1, 2], [("anterior", 1), ("posterior", 2)])
    assert first == STRUCTURES
    assert with_label(first, [1], [("posterior", 1)]) == first
    assert with_label(first, [1, 3], [("anterior", 1), ("tail", 3)]) == {**first, "tail": 3}
    assert with_label({}, [4], []) == {"structure_4": 4}


def test_a_placeholder_takes_the_first_name():
    before = {"structure_1": 1, "structure_2": 2}
    after = with_label(before, [1], [("anterior", 1)])
    assert after == {"anterior": 1, "structure_2": 2}
    assert renamed(before, after) == {"structure_1": "anterior"}
    assert check_label_info([("posterior", 2)], {2: 5}, before) == []


def test_a_structure_is_kept_while_a_label_holds_or_names_it():
    stored = {"anterior": 1, "posterior": 2, "tail": 3}
    assert still_held(stored, [1], [("posterior", 2), ("other", 3)]) == {"anterior": 1, "posterior": 2}


def test_conf_names_placeholders_but_moves_nothing():
    assert with_conf({"structure_1": 1}, STRUCTURES) == STRUCTURES
    assert with_conf(STRUCTURES, {**STRUCTURES, "tail": 3}) == {**STRUCTURES, "tail": 3}
    with pytest.raises(ConfError, match="'anterior' has had the value 1"):
        with_conf(STRUCTURES, {"posterior": 1, "anterior": 2})


@given(st.lists(st.tuples(st.sets(st.integers(1, 4)), st.permutations(["a", "b", "c", "d"])), max_size=8))
def test_no_sequence_of_labels_gives_a_named_value_another_name(labels):
    structures: dict[str, int] = {}
    for values, names in labels:
        before = dict(structures)
        structures = with_label(structures, sorted(values), list(zip(names, range(1, 5), strict=True)))
        assert len(set(structures.values())) == len(structures)
        for name, value in before.items():
            assert structures.get(name) == value or name == f"structure_{value}"
