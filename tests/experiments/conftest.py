"""Synthetic cases on disk, and coarse registrations."""

import pytest

from ..coarse import coarse_registrations
from ..volumes import pictures, volumes

__all__ = ["coarse_registrations", "pictures", "volumes"]


@pytest.fixture(autouse=True)
def few_steps(coarse_registrations: None) -> None:
    """No test of this room asks how well shapes are registered."""
