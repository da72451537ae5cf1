"""The coupling is real: the validation loss reaches the generator through the segmenter's step."""

from __future__ import annotations

import pytest
import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn

from scaling_app.imaging.network_table import NETWORKS
from scaling_app.imaging.networks import build_network
from scaling_app.strategies.generative.hypergradient import (
    FrozenSegmenter,
    ImageHypergradient,
    Pairs,
    image_hypergradient,
    outer_gradient,
    training_gradient,
)

from .conftest import make_world


def dice_ce(logits: Tensor, label: Tensor) -> Tensor:
    return DiceCELoss(to_onehot_y=True, softmax=True, include_background=False)(logits, label)


def hypergradient_of(world, generated: Tensor) -> ImageHypergradient:
    frozen = FrozenSegmenter(world.network)
    synthetic = Pairs(generated, world.source.label)
    return image_hypergradient(
        frozen,
        dice_ce,
        world.real,
        synthetic,
        world.validation,
        unpainted=world.source.image,
        weights=world.pair_weights,
        step_gradient=training_gradient(
            frozen,
            dice_ce,
            world.real,
            Pairs(generated.detach(), world.source.label),
            world.pair_weights,
        ),
        step_size=world.step_size,
    )


def gradient_of(world, outer: list[nn.Parameter]) -> list[Tensor]:
    generated = world.generated()
    return outer_gradient([generated], [hypergradient_of(world, generated).image], outer)


def central_difference(world, parameter: nn.Parameter, direction: Tensor, h: float) -> float:
    sides = []
    for sign in (1, -1):
        with torch.no_grad():
            parameter += sign * h * direction
        sides.append(world.objective())
        with torch.no_grad():
            parameter -= sign * h * direction
    return (sides[0] - sides[1]) / (2 * h)


def test_every_architecture_weight_matches_brute_force_differences_of_the_true_objective(world) -> None:
    alpha = world.generator.architecture
    (gradient,) = gradient_of(world, [alpha])
    brute = torch.zeros_like(alpha)
    for index in range(alpha.numel()):
        unit = torch.zeros_like(alpha)
        unit.view(-1)[index] = 1.0
        brute.view(-1)[index] = central_difference(world, alpha, unit, h=1e-2)
    cosine = torch.cosine_similarity(gradient.flatten(), brute.flatten(), dim=0)
    assert brute.norm() > 0
    assert cosine >= 0.999
    assert (gradient - brute).norm() / brute.norm() <= 1e-2


def test_generator_weights_receive_the_same_exact_gradient(world) -> None:
    weight = world.generator.head.conv.weight
    (gradient,) = gradient_of(world, [weight])
    direction = gradient / gradient.norm()
    brute = central_difference(world, weight, direction, h=1e-3)
    assert abs(float(gradient.norm()) - brute) <= 1e-2 * abs(brute)


def test_a_detached_image_gives_exactly_zero(world) -> None:
    generated = world.generated()
    image = hypergradient_of(world, generated).image
    assert image.abs().max() > 0
    (gradient,) = outer_gradient([generated.detach()], [image], [world.generator.architecture])
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_an_unrelated_validation_loss_breaks_the_match(world) -> None:
    """The check has power: with another validation case the gradient is another one."""
    alpha = world.generator.architecture
    (right,) = gradient_of(world, [alpha])
    flipped = Pairs(world.validation.image.flip(-1), world.validation.label)
    world.validation = flipped
    (wrong,) = gradient_of(world, [alpha])
    assert (right - wrong).norm() / right.norm() > 0.1


def test_the_computation_leaves_the_segmenter_and_the_random_state_bit_identical(world) -> None:
    network = nn.Sequential(
        world.network, nn.BatchNorm2d(3) if world.real.image.dim() == 4 else nn.BatchNorm3d(3)
    )
    network.append(nn.Dropout(0.3)).double().train()
    world.network = network
    before = {name: t.clone() for name, t in network.state_dict().items()}
    random_state = torch.get_rng_state()
    generated = world.generated()
    hypergradient_of(world, generated)
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
    assert torch.equal(random_state, torch.get_rng_state())
    assert all(p.grad is None for p in network.parameters())


def test_one_outer_step_lowers_the_validation_loss_to_first_order(world) -> None:
    alpha = world.generator.architecture
    (gradient,) = gradient_of(world, [alpha])
    before = world.objective()
    delta = 1e-2 / float(gradient.norm())
    with torch.no_grad():
        alpha -= delta * gradient
    promised = delta * float(gradient.norm()) ** 2
    lowered = before - world.objective()
    assert lowered > 0
    assert abs(lowered - promised) <= 0.05 * promised


def test_alignment_is_the_inner_product_with_the_validation_gradient(world) -> None:
    generated = world.generated().detach()
    result = hypergradient_of(world, generated)
    frozen = FrozenSegmenter(world.network)
    synthetic = Pairs(generated, world.source.label)
    step = training_gradient(frozen, dice_ce, world.real, synthetic, world.pair_weights)
    ahead = {n: w.requires_grad_() for n, w in frozen.moved(step, -world.step_size).items()}
    v = torch.autograd.grad(frozen.loss(ahead, dice_ce, world.validation), list(ahead.values()))
    norm = torch.sqrt(sum((q * q).sum() for q in v))
    unpainted = Pairs(world.source.image, world.source.label)
    for pairs, found in ((synthetic, result.alignment), (unpainted, result.unpainted)):
        for i in range(2):
            leaves = {n: w.clone().requires_grad_() for n, w in frozen.weights.items()}
            own = torch.autograd.grad(frozen.losses(leaves, dice_ce, pairs)[i], list(leaves.values()))
            inner = sum((a * b).sum() for a, b in zip(own, v, strict=True)) / norm
            assert torch.isclose(found[i], inner, rtol=1e-2)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_of_the_app_is_left_as_it_was_and_smooth_ones_give_the_exact_gradient(name) -> None:
    world = make_world(2)
    torch.manual_seed(0)
    world.network = build_network(name, 2, 1, 3, "small").double().eval()
    tensors = {n: (id(t), t.clone()) for n, t in _tensors(world.network)}
    generated, network = world.generated().detach(), world.network
    found = hypergradient_of(world, generated).image
    assert {n: id(t) for n, t in _tensors(network)} == {n: identity for n, (identity, _) in tensors.items()}
    assert all(torch.equal(t, tensors[n][1]) for n, t in _tensors(network))
    if name == "swinunetr":  # has kinks
        return
    frozen = FrozenSegmenter(network)
    synthetic = Pairs(generated, world.source.label)
    step = training_gradient(frozen, dice_ce, world.real, synthetic, world.pair_weights)
    ahead = {n: w.requires_grad_() for n, w in frozen.moved(step, -world.step_size).items()}
    v = torch.autograd.grad(frozen.loss(ahead, dice_ce, world.validation), list(ahead.values()))
    image = generated.clone().requires_grad_()
    leaves = {n: w.clone().requires_grad_() for n, w in frozen.weights.items()}
    losses = frozen.losses(leaves, dice_ce, Pairs(image, world.source.label))
    own = torch.autograd.grad((world.pair_weights * losses).sum(), list(leaves.values()), create_graph=True)
    inner = sum((a * b).sum() for a, b in zip(own, v, strict=True))
    exact = -world.step_size * torch.autograd.grad(inner, image)[0]
    assert (found - exact).norm() <= 1e-2 * exact.norm()


def _tensors(network: nn.Module) -> list[tuple[str, Tensor]]:
    """Weights and buffers under every name they have."""
    return [
        *network.named_parameters(remove_duplicate=False),
        *network.named_buffers(remove_duplicate=False),
    ]
