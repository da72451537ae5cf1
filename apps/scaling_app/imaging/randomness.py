"""Draws from torch's global generator (initial weights, dropout) that depend on a seed alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Inside, torch's global generators begin at `seed`; afterwards they are what they were.

    Args:
        device: the GPU whose generator is meant besides the CPU's, if any.
    """
    devices = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
