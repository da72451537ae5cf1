"""Random intensity fields: monotone, finite, label-preserving, and steered by an exact hypergradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_app.strategies.generative.fields import KINDS, FieldNoise, IntensityFields
from scaling_app.strategies.generative.hypergradient import (
    FrozenSegmenter,
    Pairs,
    image_hypergradient,
    outer_gradient,
    training_gradient,
)

from .conftest import dice_ce, nested_blobs

SHAPES = [(2, 1, 24, 20), (2, 3, 16, 16), (1, 1, 12, 10, 2), (2, 2, 16, 12, 8)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(0, 10_000), st.floats(-1.5, 0.7))
@settings(max_examples=30, deadline=None)
def test_the_curve_keeps_the_order_of_intensities_and_their_mean_and_deviation(seed, log_strength) -> None:
    fields = IntensityFields()
    torch.nn.init.constant_(fields.log_strength, log_strength)
    image = torch.randn((2, 1, 8, 9), generator=generator(seed))
    noise = fields.draw(image, generator(seed))
    curve_alone = FieldNoise(
        torch.randn(noise.curve.shape, generator=generator(seed)), 0 * noise.gain, 0 * noise.offset
    )
    bent = fields(image, curve_alone).detach()
    for before, after in zip(image, bent, strict=True):
        steps = after.flatten()[before.flatten().argsort()].diff()
        assert steps.min() >= -1e-5
    assert torch.allclose(bent.mean((2, 3)), image.mean((2, 3)), atol=1e-4)
    assert torch.allclose(bent.std((2, 3)), image.std((2, 3)), atol=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_fields_fit_pictures_colours_volumes_and_two_slices(shape) -> None:
    fields, image = IntensityFields(), torch.randn(shape, generator=generator())
    noise = fields.draw(image, generator(1))
    seen = fields(image, noise)
    assert seen.shape == image.shape and bool(torch.isfinite(seen).all())
    again = fields(image, fields.draw(image, generator(1)))
    assert torch.equal(seen, again)
    assert not torch.equal(seen, fields(image, fields.draw(image, generator(2))))


def test_gain_and_offset_are_smooth_and_vary_by_about_their_strength() -> None:
    fields, flat = IntensityFields(), torch.zeros(400, 1, 64, 64)
    noise = fields.draw(flat, generator())
    full = FieldNoise(0 * noise.curve, 0 * noise.gain, torch.randn(noise.offset.shape, generator=generator()))
    offset = fields(flat, full).detach()
    assert 0.2 < float(offset.std()) < 0.6
    step = (offset[..., 1:] - offset[..., :-1]).abs().mean()
    assert step < 0.1 * offset.std()


def test_without_strength_nothing_changes_and_a_constant_image_stays_finite() -> None:
    fields = IntensityFields()
    torch.nn.init.constant_(fields.log_strength, -30.0)
    image = torch.randn((3, 1, 16, 16), generator=generator())
    noise = fields.draw(image, generator())
    assert not torch.allclose(image, IntensityFields()(image, noise))
    seen = fields(image, FieldNoise(0 * noise.curve, noise.gain, noise.offset))
    assert float((seen - image).abs().max()) < 0.6  # the neutral curve is a smooth one, nearly a line
    assert torch.equal(image.flatten(1).argsort(1), seen.flatten(1).argsort(1))
    constant = torch.full((2, 1, 8, 8), 3.0)
    assert bool(torch.isfinite(IntensityFields()(constant, fields.draw(constant, generator()))).all())


def test_the_strengths_receive_the_exact_gradient_also_through_the_real_images(world) -> None:
    fields = IntensityFields().double()
    source = nested_blobs(5, len(world.noise.shape) - 2, world.noise.shape[-1])
    drawn = fields.draw(source.image, generator(3))
    noise, of_real = (
        FieldNoise(*(torch.randn(n.shape, generator=generator(seed), dtype=torch.float64) for n in drawn))
        for seed in (4, 5)
    )
    frozen = FrozenSegmenter(world.network)

    def objective() -> float:
        synthetic = Pairs(fields(source.image, noise).detach(), source.label)
        real = Pairs(fields(world.real.image, of_real).detach(), world.real.label)
        step = training_gradient(frozen, dice_ce, real, synthetic, world.pair_weights)
        ahead = frozen.moved(step, -world.step_size)
        with torch.no_grad():
            return float(frozen.loss(ahead, dice_ce, world.validation))

    seen, real_seen = fields(source.image, noise), fields(world.real.image, of_real)
    synthetic, real = Pairs(seen.detach(), source.label), Pairs(real_seen.detach(), world.real.label)
    hypergradient = image_hypergradient(
        frozen,
        dice_ce,
        real,
        synthetic,
        world.validation,
        unpainted=source.image,
        weights=world.pair_weights,
        step_gradient=training_gradient(frozen, dice_ce, real, synthetic, world.pair_weights),
        step_size=world.step_size,
        through_real=True,
    )
    slopes = [hypergradient.image, hypergradient.real_image]
    (found,) = outer_gradient([seen, real_seen], slopes, [fields.log_strength])
    brute = torch.zeros(len(KINDS), dtype=torch.float64)
    for k in range(len(KINDS)):
        sides = []
        for sign in (1, -1):
            with torch.no_grad():
                fields.log_strength[k] += sign * 1e-3
            sides.append(objective())
            with torch.no_grad():
                fields.log_strength[k] -= sign * 1e-3
        brute[k] = (sides[0] - sides[1]) / 2e-3
    assert brute.norm() > 0
    assert torch.cosine_similarity(found, brute, dim=0) >= 0.999
    assert (found - brute).norm() / brute.norm() <= 1e-2


def test_strengths_stay_within_their_range() -> None:
    fields = IntensityFields()
    torch.nn.init.constant_(fields.log_strength, 5.0)
    fields.keep_in_range()
    assert all(0.2 < strength < 2.1 for strength in fields.strengths().values())
