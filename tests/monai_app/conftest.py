"""The desk, and one thread for it."""

import pytest
import torch

from ..desk import desk_of

__all__ = ["desk_of"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Small tensors are slower on several threads, most of all beside other work."""
    torch.set_num_threads(1)
