"""From a loss to new weights, and which weights become the model: a running mean is steadier than the last ones.

On a GPU nobody waits for a step: what is not finite is left out there, and its loss is read when the next step is on
its way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_CLIP_NORM = 5.0
_WEIGHT_DECAY = 1e-2
_EARLY = 10


def averaged(network: nn.Module, decay: float) -> AveragedModel | None:
    """What keeps the running mean of a network's weights; None where the last ones are the model.

    Args:
        decay: per step; 0 for none. In early steps it is less, so that the first weights are soon forgotten.
    """
    if not decay:
        return None

    @torch.no_grad()
    def mean(kept: Sequence[Tensor], new: Sequence[Tensor], count: Tensor | int) -> None:
        steps = int(count)
        torch._foreach_lerp_(list(kept), list(new), 1 - min(decay, (1 + steps) / (_EARLY + steps)))

    return AveragedModel(network, multi_avg_fn=mean)


class Descent:
    """AdamW on a network's weights, with clipped gradients and a running mean.

    Attributes:
        average: the running mean, or None.
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
        # it scales nothing: it is here to leave out a step without waiting for it
        self._scaler = torch.amp.GradScaler(device.type, init_scale=1.0)
        self.average = averaged(network, decay)
        self.last_loss: float | None = None
        self.skipped = self.bad_in_a_row = 0
        self._unread: tuple[Tensor, Tensor] | None = None

    def forget_gradient(self) -> None:
        """Before the loss of the next step."""
        self.optimiser.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """The gradient of a loss."""
        self._scaler.scale(loss).backward()

    def step(self, loss: Tensor, share_of_peak: float) -> None:
        """New weights by the gradient of `loss`; the former ones where it is not finite."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.peak_rate * share_of_peak
        self._scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP_NORM)
        self._scaler.step(self.optimiser)
        # it would halve at each step left out, and a resumed run would begin with another
        self._scaler.update(1.0)
        if self.average is not None:
            self.average.update_parameters(self.network)
        before, self._unread = self._unread, (loss.detach(), norm)
        self._read(before)

    def skip(self) -> None:
        """A step that could not be made."""
        self.forget_gradient()
        self.skipped += 1

    def settle(self) -> None:
        """Reads what the last step gave."""
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
        self.optimiser.load_state_dict(content["optimiser"])
        self.skipped, self.last_loss = content["skipped"], content["loss"]
        self.bad_in_a_row = content.get("bad_in_a_row", 0)

    def _read(self, result: tuple[Tensor, Tensor] | None) -> None:
        if result is None:
            return
        loss, norm = map(float, result)
        if math.isfinite(loss) and math.isfinite(norm):
            self.last_loss, self.bad_in_a_row = loss, 0
        else:
            self.skipped += 1
            self.bad_in_a_row += 1
