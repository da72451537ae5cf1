"""Steps: what is not finite changes nothing, and nobody has to wait to find out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from scaling_app.trials.optimising import Descent

CPU = torch.device("cpu")


def _network() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def _step(descent: Descent, factor: float = 1.0) -> Tensor:
    descent.forget_gradient()
    loss = factor * descent.network(torch.ones(4, 3)).square().mean()
    descent.backward(loss)
    descent.step(loss, 1.0)
    return loss.detach()


def _weights(network: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten().clone() for weight in network.parameters()])


@pytest.mark.parametrize("fused", [False, True], ids=["as on a processor", "as on a GPU"])
@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_changes_no_weight(fused: bool, factor: float) -> None:
    descent = Descent(_network(), 0.1, 0.5, CPU)
    descent.optimiser = torch.optim.AdamW(descent.network.parameters(), lr=0.1, fused=fused)
    _step(descent)
    before = _weights(descent.network)
    _step(descent, factor)
    assert torch.equal(_weights(descent.network), before)
    assert torch.isfinite(_weights(descent.average)).all()
    descent.settle()
    assert (descent.skipped, descent.bad_in_a_row) == (1, 1)
    _step(descent)
    descent.settle()
    assert (descent.skipped, descent.bad_in_a_row) == (1, 0)
    assert not torch.equal(_weights(descent.network), before)


def test_a_loss_is_read_when_the_next_step_is_on_its_way() -> None:
    descent = Descent(_network(), 0.1, 0.0, CPU)
    first = _step(descent)
    assert descent.last_loss is None
    second = _step(descent)
    assert descent.last_loss == float(first)
    descent.settle()
    assert descent.last_loss == float(second)
    descent.settle()
    assert descent.last_loss == float(second)


def test_the_steps_are_those_of_plain_adamw_with_clipped_gradients() -> None:
    descent, plain = Descent(_network(), 0.1, 0.0, CPU), _network()
    optimiser = torch.optim.AdamW(plain.parameters(), lr=0.1, weight_decay=1e-2)
    for _ in range(5):
        _step(descent, 50.0)
        optimiser.zero_grad()
        (50.0 * plain(torch.ones(4, 3)).square().mean()).backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 5.0)
        optimiser.step()
    assert torch.equal(_weights(descent.network), _weights(plain))


def test_many_steps_left_out_take_nothing_of_the_next_one_nor_of_a_resumed_run() -> None:
    """A scale that halved at each would let small gradients vanish."""
    steady, shaken = (Descent(_network(), 0.1, 0.0, CPU) for _ in "ab")
    for _ in range(200):
        _step(shaken, float("nan"))
    for descent in (steady, shaken):
        _step(descent, 1e-6)
    assert torch.equal(_weights(shaken.network), _weights(steady.network))
    shaken.settle()
    _step(shaken, float("nan"))
    shaken.settle()
    resumed = Descent(_network(), 0.1, 0.0, CPU)
    resumed.load_state_dict(shaken.state_dict())
    assert (resumed.skipped, resumed.bad_in_a_row) == (shaken.skipped, shaken.bad_in_a_row) == (201, 1)
