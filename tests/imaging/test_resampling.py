"""Resizing keeps what lies where."""

from __future__ import annotations

import pytest
import torch

from scaling_app.imaging.resampling import largest, resize_image, resize_label, shape_at


def test_the_shape_at_a_spacing_keeps_the_extent() -> None:
    assert shape_at((100, 50, 9), (1.0, 1.0, 10.0), (2.0, 1.0, 3.0)) == (50, 50, 30)
    assert shape_at((3,), (1.0,), (50.0,)) == (1,)


@pytest.mark.parametrize("shape", [(40, 36), (30, 20, 12)])
@pytest.mark.parametrize("factor", [0.4, 1.7])
def test_a_linear_ramp_stays_linear_inside(shape: tuple[int, ...], factor: float) -> None:
    ramp = torch.arange(shape[0], dtype=torch.float32).view(1, -1, *(1,) * (len(shape) - 1)).expand(1, *shape)
    new = tuple(round(n * factor) for n in shape)
    resized = resize_image(ramp, new)[0].flatten(1)[:, 0]
    expected = (torch.arange(new[0]) + 0.5) * shape[0] / new[0] - 0.5
    inside = slice(3, -3)
    assert torch.allclose(resized[inside], expected[inside], atol=0.35 if factor < 0.5 else 1e-4)


def test_much_coarser_grids_average_instead_of_skipping() -> None:
    noise = torch.randn((1, 64, 64), generator=torch.Generator().manual_seed(0))
    assert float(resize_image(noise, (16, 16)).std()) < 0.35  # skipping voxels leaves more than 0.5


def test_a_resized_label_keeps_its_values_and_share() -> None:
    label = torch.zeros((1, 30, 30, 10), dtype=torch.uint8)
    label[0, 5:20, 5:25, 2:8] = 3
    label[0, 8:12, 8:12, 3:6] = 7
    resized = resize_label(label, (45, 60, 10), (0, 3, 7))
    assert resized.dtype == torch.uint8
    assert set(resized.unique().tolist()) == {0, 3, 7}
    for value in (3, 7):
        assert float((resized == value).float().mean()) == pytest.approx(
            float((label == value).float().mean()), rel=0.1
        )


def test_the_same_shape_changes_nothing() -> None:
    label = torch.randint(0, 3, (1, 5, 6, 7), generator=torch.Generator().manual_seed(0))
    assert torch.equal(resize_label(label, (5, 6, 7), (0, 1, 2)), label)


def test_largest_takes_the_first_of_equals() -> None:
    maps = [(0, torch.tensor([0.5, 0.2, 0.0])), (4, torch.tensor([0.5, 0.8, 0.0]))]
    assert largest(maps, (3,)).tolist() == [[0, 4, 0]]


@pytest.mark.parametrize("start", range(40, 50))
def test_a_plate_thinner_than_half_a_voxel_is_whole_wherever_it_lies(start: int) -> None:
    label = torch.zeros((1, 96, 40, 40), dtype=torch.uint8)
    label[0, start : start + 4, 10:30, 10:30] = 1
    resized = resize_label(label, (12, 20, 20), (0, 1))
    across = (resized[0] > 0).sum(dim=0)
    assert bool((across[5:15, 5:15] >= 1).all()) and int(across.max()) <= 2
    assert int(across.sum()) == int(across[5:15, 5:15].sum())


def test_what_does_not_vanish_is_resized_as_ever() -> None:
    label = torch.zeros((1, 48, 48, 48), dtype=torch.uint8)
    label[0, 4:20, 4:20, 4:20] = 1
    label[0, 20:25, 4:40, 4:40] = 2
    label[0, 30:40, 30, 30] = 3
    without = torch.where(label == 3, 0, label)
    shape, values = (12, 12, 12), (0, 1, 2, 3)
    resized = resize_label(label, shape, values)
    changed = resized != resize_label(without, shape, values)
    assert set(resized.unique().tolist()) == {0, 1, 2, 3}
    assert torch.equal(changed, resized == 3) and int(changed.sum()) == 2
    masks = ((value, resize_image((without == value).float(), shape)[0]) for value in values)
    assert torch.equal(resize_label(without, shape, values), largest(masks, shape).to(torch.uint8))


@pytest.mark.parametrize("values", [(1, 2, 3), (3, 1, 2)])
def test_of_several_that_would_vanish_in_one_place_each_keeps_a_voxel(values: tuple[int, ...]) -> None:
    label = torch.zeros((1, 32, 32), dtype=torch.uint8)
    for place, value in enumerate(values):
        label[0, 8 + place, 8:10] = value
    label[0, 11:14, 8:10] = 4
    assert set(resize_label(label, (4, 4), range(5)).unique().tolist()) == {0, 1, 2, 3, 4}
