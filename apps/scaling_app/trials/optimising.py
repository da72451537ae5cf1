"""From a loss to new weights, and which weights become the model: a running mean is steadier than the last ones.

On a GPU nobody waits for a step: what is not finite is left out there, and its loss is read when the next step is on
its way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from scaling_app.imaging.whole_steps import whole_step

_CLIP_NORM = 5.0
_WEIGHT_DECAY = 1e-2
_EARLY = 10


class WeightMean(AveragedModel):
    """The running mean of a network's weights.

    torch's own takes the count of its steps to the GPU and back at each, and waits for all that the GPU has to do.

    Args:
        decay: per step. In early steps it is less, so that the first weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network)
        self._decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Takes in the weights of a step."""
        steps = int(self.n_averaged)  # a number in RAM, wherever the weights are
        kept: list[Tensor] = [*self.module.parameters()]
        new: list[Tensor] = [*model.parameters()]
        if steps == 0:
            torch._foreach_copy_(kept, new)
        else:
            torch._foreach_lerp_(kept, new, 1 - min(self._decay, (1 + steps) / (_EARLY + steps)))
        for own, other in zip(self.module.buffers(), model.buffers(), strict=True):
            own.copy_(other)
        self.n_averaged += 1


class _Told:
    """The loss and the gradient's norm of a step. On a GPU they come by themselves, behind that step and no later one."""

    def __init__(self, loss: Tensor, norm: Tensor) -> None:
        self._values = torch.stack([loss.detach(), norm.detach()])
        self._arrived: torch.cuda.Event | None = None
        if self._values.device.type == "cuda":  # to ask a GPU's tensor is to wait for all that was begun
            on_host = torch.empty(2, dtype=self._values.dtype, pin_memory=True)
            self._values = on_host.copy_(self._values, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def read(self) -> tuple[float, float]:
        """Both numbers."""
        if self._arrived is not None:
            self._arrived.synchronize()
        loss, norm = self._values.tolist()
        return loss, norm


class Descent:
    """AdamW on a network's weights, with clipped gradients and a running mean.

    Attributes:
        average: the running mean, or None where the last weights are the model.
        last_loss: of the last finite step that `settle` has read; None before one.
        skipped: steps left out because their loss or gradient was not finite, or `skip` was called.
        bad_in_a_row: of those not finite, how many came last.
    """

    def __init__(self, network: nn.Module, peak_rate: float, decay: float, device: torch.device) -> None:
        self.network, self.peak_rate = network, peak_rate
        on_gpu = device.type == "cuda"
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=peak_rate, weight_decay=_WEIGHT_DECAY, fused=on_gpu
        )
        self._device = device.type
        self._scaler = self._new_scaler()
        self.average = WeightMean(network, decay) if decay else None
        self._average_lags = False
        self.last_loss: float | None = None
        self.skipped = self.bad_in_a_row = 0
        self._unread: _Told | None = None

    def forget_gradient(self) -> None:
        """Before the loss of the next step."""
        self.optimiser.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """The gradient of a loss."""
        self._scaler.scale(loss).backward()

    def _new_scaler(self) -> torch.amp.GradScaler:
        """It scales nothing: it is here to leave out a step without waiting for it."""
        return torch.amp.GradScaler(self._device, init_scale=1.0)

    def step(self, loss: Tensor, share_of_peak: float) -> None:
        """New weights by the gradient of `loss`; the former ones where it is not finite.

        The mean takes them in when the next step is on its way, or by `settle`.

        Raises:
            torch.OutOfMemoryError: weights, mean and what the optimiser keeps are as they were: `skip` and go on.
        """
        self._follow()
        try:
            with whole_step(self.optimiser):
                self._move(share_of_peak, loss)
        except torch.OutOfMemoryError:
            self._scaler = self._new_scaler()  # the old one takes the gradient for seen
            raise

    def _move(self, share_of_peak: float, loss: Tensor) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.peak_rate * share_of_peak
        self._scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP_NORM)
        told = _Told(loss, norm)
        self._scaler.step(self.optimiser)
        # it would halve at each step left out, and a resumed run would begin with another
        self._scaler.update(1.0)
        self._average_lags = self.average is not None
        before, self._unread = self._unread, told
        self._read(before)

    def _follow(self) -> None:
        """The mean takes in the weights of the last step, once."""
        if self.average is not None and self._average_lags:
            self.average.update_parameters(self.network)
            self._average_lags = False

    def skip(self) -> None:
        """A step that could not be made."""
        self.forget_gradient()
        self.skipped += 1

    def settle(self) -> None:
        """Reads what the last step gave, and takes it into the mean.

        Raises:
            torch.OutOfMemoryError: nothing is settled; it may be tried again.
        """
        self._follow()
        self._read(self._unread)
        self._unread = None

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds of it, beside the weights. `settle` comes first."""
        return {
            "skipped": self.skipped,
            "bad_in_a_row": self.bad_in_a_row,
            "loss": self.last_loss,
            "average": self.average and self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load_state_dict(self, content: Mapping[str, Any]) -> None:
        """Goes on from what `state_dict` gave; other keys are passed over."""
        if self.average is not None:
            self.average.load_state_dict(content["average"])
        self.optimiser.load_state_dict(self._as_made_here(content["optimiser"]))
        for weight, means in self.optimiser.state.items():  # which torch looks at with the next step alone
            if any(means[name].shape != weight.shape for name in ("exp_avg", "exp_avg_sq")):
                raise ValueError("a mean of the gradients has not the shape of its weight")
        self.skipped, self.last_loss = content["skipped"], content["loss"]
        self.bad_in_a_row = content.get("bad_in_a_row", 0)

    def _as_made_here(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """What an optimiser has kept, for the kernels of this one: a processor's may go on on a GPU, and the other way."""
        fused = self.optimiser.defaults["fused"]
        return {**state, "param_groups": [{**group, "fused": fused} for group in state["param_groups"]]}

    def _read(self, result: _Told | None) -> None:
        if result is None:
            return
        loss, norm = result.read()
        if math.isfinite(loss) and math.isfinite(norm):
            self.last_loss, self.bad_in_a_row = loss, 0
        else:
            self.skipped += 1
            self.bad_in_a_row += 1
