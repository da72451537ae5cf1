"""A step of an optimiser that finds no memory leaves nothing half made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def whole_step(optimiser: torch.optim.Optimizer) -> Iterator[None]:
    """Forgets what the optimiser has begun to keep in a step that runs out of memory.

    What it keeps of a weight is made in parts at the first step, before any weight moves. Of a step that failed there
    it would take some of the parts for all of them at the next one.
    """
    known = set(optimiser.state)
    try:
        yield
    except torch.OutOfMemoryError:
        for weight in set(optimiser.state) - known:
            del optimiser.state[weight]
        raise
