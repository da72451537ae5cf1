"""A mixture of candidates is one convolution, and the generator copes with any patch."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from scaling_app.strategies.generative.cells import SearchCell, level_strides
from scaling_app.strategies.generative.networks import (
    PatchDiscriminator,
    SearchableGenerator,
    low_pass,
    neighbourhood,
)


def apart(cell: SearchCell, k: int, x: torch.Tensor) -> torch.Tensor:
    """Candidate `k` run as what it is called, not as an embedded kernel."""
    candidate, kernel, dims = cell.candidates[k], cell.kernels[k], len(cell.strides)
    convolve = {2: F.conv2d, 3: F.conv3d}[dims]
    transposed = {2: F.conv_transpose2d, 3: F.conv_transpose3d}[dims]
    pool = {2: F.avg_pool2d, 3: F.avg_pool3d}[dims]
    edges = kernel.shape[2:]
    if not candidate.pooled:
        padding = [(e - 2) // 2 if s == 2 else (e - 1) // 2 for e, s in zip(edges, cell.strides, strict=True)]
        run = convolve if cell.direction == "down" else transposed
        return run(x, kernel, stride=cell.strides, padding=padding)
    if cell.direction == "down":
        return convolve(pool(x, cell.strides), kernel, padding=[e // 2 for e in edges])
    small = transposed(x, kernel, padding=[e // 2 for e in edges])
    return F.interpolate(small, scale_factor=[float(s) for s in cell.strides], mode="nearest")


@pytest.mark.parametrize("direction", ["down", "up"])
@pytest.mark.parametrize("strides", [(2, 2), (2, 2, 2), (2, 2, 1)])
def test_the_merged_kernel_equals_the_weighted_sum_of_the_candidates(direction, strides) -> None:
    torch.manual_seed(0)
    cell = SearchCell(3, 2, strides, direction).double()
    x = torch.randn(2, 3, *[16] * len(strides), dtype=torch.float64)
    p = torch.rand(len(cell.candidates), dtype=torch.float64)
    expected = sum(p[k] * apart(cell, k, x) for k in range(len(p)))
    assert torch.allclose(cell.mixture(x, p), expected, atol=1e-10)


@pytest.mark.parametrize("patch", [(32, 32), (33, 47), (16, 24, 20), (64, 64, 3), (40, 40, 9), (5, 5)])
@pytest.mark.parametrize("context", [True, False])
def test_generator_and_discriminator_keep_the_grid_of_any_patch(patch, context) -> None:
    generator = SearchableGenerator(4, 2, patch, width=4, context=context)
    one_hot = torch.rand(1, 4, *patch)
    image = torch.rand(1, 2, *patch)
    out = generator(one_hot, image if context else None, torch.randn(1, 2, *patch))
    assert out.shape == image.shape
    assert torch.isfinite(PatchDiscriminator(4, 2, patch, width=4)(one_hot, out)).all()


def test_thin_axes_are_not_halved() -> None:
    assert level_strides((64, 64, 5), 3) == [(2, 2, 1)] * 3
    assert level_strides((16, 64, 8), 2) == [(2, 2, 2), (2, 2, 1)]


def test_discretising_keeps_exactly_the_likeliest_candidate_of_every_cell() -> None:
    torch.manual_seed(0)
    generator = SearchableGenerator(2, 1, (16, 16), width=4)
    with torch.no_grad():
        generator.architecture[:, 2] += 3.0
    assert 0.3 < generator.entropy() < 1
    assert generator.discretise() == ["down strided 8x8"] * 2 + ["up strided 8x8"] * 2
    assert torch.equal(generator.probabilities().argmax(-1), torch.full((4,), 2))
    assert generator.entropy() == pytest.approx(0.0, abs=1e-6)


def test_architecture_and_weight_parameters_are_told_apart_by_identity() -> None:
    generator = SearchableGenerator(2, 1, (16, 16), width=4)
    weights = {id(p) for p in generator.weight_parameters()}
    assert id(generator.architecture) not in weights
    assert weights | {id(generator.architecture)} == {id(p) for p in generator.parameters()}


def test_low_pass_keeps_the_mean_and_drops_the_detail() -> None:
    torch.manual_seed(0)
    noise = torch.randn(1, 1, 32, 32)
    assert low_pass(noise, (8, 8)).std() < 0.3 * noise.std()
    assert torch.allclose(low_pass(torch.full((1, 1, 9, 30), 3.0), (8, 8)), torch.tensor(3.0))


def test_neighbourhood_is_one_round_the_label_and_zero_far_away() -> None:
    label = torch.zeros(1, 1, 64, 64)
    label[..., 28:36, 28:36] = 1
    mask = neighbourhood(torch.cat([1 - label, label], 1), (4, 4))
    assert torch.allclose(mask[..., 24:40, 24:40], torch.tensor(1.0))
    assert mask[..., :12, :].max() == 0
    far = neighbourhood(torch.cat([1 - label, label], 1), (9, 9))
    assert torch.allclose(far[..., 20:44, 20:44], torch.tensor(1.0))
    assert far.max() <= 1 + 1e-6
    assert far[0, 0, 0, 0] < 0.2
    assert 0 < mask[0, 0, 32, 20] < 1


@pytest.mark.parametrize("factor", [8, 5, 3])
def test_the_low_pass_image_lies_where_the_image_lies(factor: int) -> None:
    ramp = torch.arange(48.0)[:, None].expand(1, 1, 48, 48).contiguous()
    inside = slice(factor, 48 - factor)
    assert torch.allclose(low_pass(ramp, (factor, factor))[..., inside, :], ramp[..., inside, :], atol=1e-3)
