"""Synthetic cases on disk, and one thread."""

import pytest
import torch

from ..volumes import volumes

__all__ = ["volumes"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Small tensors are slower on several threads, and results do not depend on their number."""
    torch.set_num_threads(1)
