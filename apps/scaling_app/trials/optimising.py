"""How fast the weights move, and which of them become the model: what suits each network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

PEAK_RATES = {
    "resunet": 1e-2,
    "unet": 1e-2,
    "dynunet": 5e-3,
    "segresnet": 5e-3,
    "swinunetr": 1e-3,
    "deeplab": 1e-3,
    "resenc": 5e-3,
}
_DECAYS = {"resenc": 0.99}
_EARLY = 10


def averaged(network: nn.Module, name: str, decay: float | None) -> AveragedModel | None:
    """What keeps the running mean of a network's weights, steadier than the last ones; None where those are kept.

    Args:
        name: the network's, whose own decay holds if none is given.
        decay: per step; 0 for none. In early steps it is less, so that the first weights are soon forgotten.
    """
    decay = _DECAYS.get(name, 0.0) if decay is None else decay
    if not decay:
        return None

    @torch.no_grad()
    def mean(kept: Sequence[Tensor], new: Sequence[Tensor], count: Tensor | int) -> None:
        steps = int(count)
        torch._foreach_lerp_(list(kept), list(new), 1 - min(decay, (1 + steps) / (_EARLY + steps)))

    return AveragedModel(network, multi_avg_fn=mean)
