"""The baseline changes intensities as its generator says, and leaves its input alone."""

from __future__ import annotations

import pytest
import torch

from scaling_app.strategies.baseline import vary_intensity
from scaling_app.strategies.making import make_strategy


def batch(dims: int = 3, channels: int = 2) -> torch.Tensor:
    shape = (64, channels, *(10, 9, 8)[:dims])
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("dims", "channels"), [(2, 3), (3, 1)])
def test_appearance_keeps_shape_input_and_finiteness(dims: int, channels: int) -> None:
    image = batch(dims, channels)
    before = image.clone()
    varied = make_strategy("baseline").appearance(image, torch.Generator().manual_seed(1))
    assert varied.shape == image.shape
    assert torch.equal(image, before)
    assert torch.isfinite(varied).all()
    assert 0.5 < float((varied != image).flatten(1).any(1).float().mean()) < 1.0


def test_the_same_generator_state_gives_the_same_image() -> None:
    image = batch()
    first, second, other = (vary_intensity(image, torch.Generator().manual_seed(s)) for s in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_samples_stay_recognisable() -> None:
    image = torch.nn.functional.avg_pool3d(batch(3, 1), 3, stride=1, padding=1)
    varied = vary_intensity(image, torch.Generator().manual_seed(5))
    for before, after in zip(image.flatten(1), varied.flatten(1), strict=True):
        assert float(torch.corrcoef(torch.stack([before, after]))[0, 1]) > 0.5


def test_a_constant_image_stays_finite() -> None:
    varied = vary_intensity(torch.zeros((32, 1, 8, 8, 8)), torch.Generator().manual_seed(0))
    assert torch.isfinite(varied).all()


def test_a_single_slice_can_be_varied() -> None:
    varied = vary_intensity(torch.randn((16, 1, 12, 12, 1)), torch.Generator().manual_seed(0))
    assert torch.isfinite(varied).all()


def test_none_changes_nothing() -> None:
    strategy, image = make_strategy("none"), batch()
    assert strategy.affine is False
    assert strategy.appearance(image, torch.Generator()) is image
