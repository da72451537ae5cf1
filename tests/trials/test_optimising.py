"""Steps: what is not finite changes nothing, and nobody has to wait to find out."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils._python_dispatch import TorchDispatchMode

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


class OfADevice(TorchDispatchMode):
    """Refuses to tell a number of what a GPU would compute: it would have to end all that was begun. Counters lie in RAM."""

    def __torch_dispatch__(
        self, what: Any, _types: Any, given: tuple[Any, ...] = (), more: dict[str, Any] | None = None
    ) -> Any:
        asked = what is torch.ops.aten._local_scalar_dense.default
        assert not (asked and given[0].dtype == torch.float32), "a step waits for the device"
        return what(*given, **(more or {}))


def _as_on_a_gpu(decay: float = 0.5) -> Descent:
    descent = Descent(_network(), 0.1, decay, CPU)
    descent.optimiser = torch.optim.AdamW(descent.network.parameters(), lr=0.1, fused=True)
    return descent


def test_nobody_waits_for_a_step() -> None:
    descent = _as_on_a_gpu()
    moved: list[Tensor] = []
    real: Callable[..., Tensor] = Tensor.to

    def to(tensor: Tensor, *where: Any, **more: Any) -> Tensor:
        if not tensor.is_floating_point():  # a counter; the device takes it when all else has ended
            moved.append(tensor)
        return real(tensor, *where, **more)

    with pytest.MonkeyPatch.context() as patched, OfADevice():
        patched.setattr(Tensor, "to", to)
        losses = [_step(descent) for _ in range(4)]
    assert not moved
    assert descent.last_loss == float(losses[2])


def test_the_mean_is_that_of_torch() -> None:
    def mean(kept: list[Tensor], new: list[Tensor], count: Tensor | int) -> None:
        torch._foreach_lerp_(kept, new, 1 - min(0.9, (1 + int(count)) / (10 + int(count))))

    descent = Descent(_network(), 0.1, 0.9, CPU)
    plain = AveragedModel(descent.network, multi_avg_fn=mean)
    for _ in range(6):
        _step(descent)
        descent.settle()
        plain.update_parameters(descent.network)
    assert descent.average is not None
    assert torch.equal(_weights(descent.average), _weights(plain))
    assert descent.average.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize("first", ["processor", "GPU"])
def test_a_training_goes_on_on_another_kind_of_machine(first: str) -> None:
    """A cluster's workers may have GPUs, and the server that takes over none."""

    def begun_on(kind: str) -> Descent:
        return _as_on_a_gpu() if kind == "GPU" else Descent(_network(), 0.1, 0.5, CPU)

    begun = begun_on(first)
    _step(begun)
    begun.settle()
    kept = deepcopy(begun.state_dict())
    other = begun_on("GPU" if first == "processor" else "processor")
    other.network.load_state_dict(begun.network.state_dict())
    other.load_state_dict(kept)
    for descent in (begun, other):
        _step(descent)
    assert torch.allclose(_weights(other.network), _weights(begun.network))
    assert [group["fused"] for group in other.optimiser.param_groups] == [first == "processor"]


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
