"""Every network trains on every patch that a plan or a window may bring."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from scaling_app.imaging.network_table import NETWORKS
from scaling_app.imaging.networks import (
    build_network,
    padded_shape,
    parameter_count,
    patch_multiples,
    planned_weights,
    strides_for,
)
from scaling_app.imaging.resenc import SampleNorm

SHAPES = [(2, (33, 18)), (3, (17, 22, 9)), (3, (24, 20, 1))]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("dims", "shape"), SHAPES)
def test_odd_and_thin_patches_go_forward_and_backward(name: str, dims: int, shape: tuple[int, ...]) -> None:
    if NETWORKS[name].planar and dims == 3:
        pytest.skip("for pictures alone")
    if name == "swinunetr" and shape == (17, 22, 9):
        pytest.skip("the thin patch covers it, and it takes seconds")
    strides = strides_for(shape, (1.0,) * dims)
    network = build_network(name, dims, 2, 3, "small", strides=strides)
    logits = network(torch.randn((1, 2, *shape), generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (1, 3, *shape)
    logits.square().mean().backward()
    gradients = [weight.grad for weight in network.parameters() if weight.requires_grad]
    assert all(g is None or torch.isfinite(g).all() for g in gradients)
    assert sum(float(g.abs().sum()) > 0 for g in gradients if g is not None) > len(gradients) / 2


@pytest.mark.parametrize("name", ["resunet", "unet", "segresnet", "dynunet", "resenc"])
def test_activations_are_smooth(name: str) -> None:
    network = build_network(name, 3, 1, 2)
    kinds = {type(module) for module in network.modules()}
    assert nn.GELU in kinds
    assert not kinds & {nn.ReLU, nn.LeakyReLU, nn.PReLU}


def test_the_small_residual_network_has_the_size_it_is_named_for() -> None:
    assert 0.13e6 < parameter_count(build_network("resunet", 3, 1, 3)) < 0.17e6


def test_capacity_grows_with_its_name_and_number() -> None:
    sizes = [parameter_count(build_network("resunet", 2, 1, 2, c)) for c in (4, "small", "medium", "large")]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 4


def test_thick_slices_are_not_halved() -> None:
    assert all(step[2] == 1 for step in strides_for((96, 96, 12), (1.0, 1.0, 10.0)))
    assert all(step[2] == 1 for step in strides_for((96, 96, 9), (1.0, 1.0, 1.0)))
    assert strides_for((116, 128, 10), (2.0, 2.0, 1.0)) == ((2, 2, 1),) * 3  # a file that knows no better
    assert strides_for((40, 56, 40), (1.0, 1.0, 1.0)) == ((2, 2, 2),) * 3


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_padded_once_need_no_more_padding(name: str) -> None:
    multiples = patch_multiples(name, 3, ((2, 2, 2), (2, 2, 1), (2, 2, 1)))
    once = padded_shape((31, 40, 9), multiples)
    assert padded_shape(once, multiples) == once
    assert all(n % m == 0 for n, m in zip(once, multiples, strict=True))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("resnet", 3, 1, 2), "resunet"),
        (("unet", 4, 1, 2), "4D"),
        (("unet", 3, 1, 2, "huge"), "large"),
        (("deeplab", 3, 1, 2), "slices"),
    ],
)
def test_what_cannot_be_built_says_what_can(arguments: tuple, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        build_network(*arguments)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_the_norm_of_samples_is_instance_norm(dtype: torch.dtype, layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(0)
    given = torch.randn((3, 4, 5, 6, 7), generator=generator).to(dtype).contiguous(memory_format=layout)
    above = torch.randn(given.shape, generator=generator).to(dtype)
    norm, true = SampleNorm(4), nn.InstanceNorm3d(4, affine=True)
    for own, other in zip(norm.parameters(), true.parameters(), strict=True):
        own.data = other.data = torch.rand(4, generator=generator)
    inputs = given.clone().requires_grad_(), given.float().clone().requires_grad_()
    made, expected = norm(inputs[0]), true(inputs[1])
    made.backward(above)
    expected.backward(above.float())
    near = {"atol": 1e-5, "rtol": 1e-4} if dtype is torch.float32 else {"atol": 0.05, "rtol": 0.02}
    assert made.is_contiguous(memory_format=layout)
    torch.testing.assert_close(made.float(), expected, **near)
    torch.testing.assert_close(inputs[0].grad.float(), inputs[1].grad, **near)
    for own, other in zip(norm.parameters(), true.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, atol=near["atol"] * 10, rtol=near["rtol"])


def test_the_residual_encoder_sees_every_voxel_at_full_resolution() -> None:
    network = build_network("resenc", 3, 1, 2, strides=((2, 2, 1), (2, 2, 2))).network
    seen = []
    network.levels[0].register_forward_hook(lambda _module, _inputs, made: seen.append(made.shape))
    logits = network(torch.zeros((1, 1, 16, 12, 4)))
    assert logits.shape == (1, 2, 16, 12, 4)
    assert seen == [(1, 8, 4, 16, 12)]  # thick slices first
    assert [level[0].first.kernel_size for level in network.levels] == [(1, 3, 3), (1, 3, 3), (3, 3, 3)]


@pytest.mark.parametrize("name", NETWORKS)
def test_hundreds_of_structures_cost_a_step_some_times_as_much_not_a_hundred(name: str) -> None:
    def work(classes: int) -> int:
        with FlopCounterMode(display=False) as counter:
            build_network(name, 2, 1, classes)(torch.zeros(1, 1, 64, 64))
        return counter.get_total_flops()

    assert work(301) < 8 * work(3)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_are_counted_without_a_network(name: str) -> None:
    dims = 2 if NETWORKS[name].planar else 3
    strides = strides_for((64,) * dims, (1.0,) * dims)
    counted = planned_weights(name, dims, 2, 40, "small", strides)
    assert counted == parameter_count(build_network(name, dims, 2, 40, strides=strides))
