"""Which weights become the model: a running mean of them is steadier than the last."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

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
